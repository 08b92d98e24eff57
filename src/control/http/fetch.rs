//! Asking a page, as a probe does: for a server's check of itself and for `waypost health`.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What a page answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The status code.
    pub status: u16,
    /// The body, or the beginning of one that is longer than a probe reads.
    pub body: String,
}

/// GETs `path` at `address`, whose name is `host`. The caller limits the time.
///
/// # Errors
/// If the connection fails or what comes is no HTTP/1.
pub async fn get(address: SocketAddr, host: &str, path: &str) -> io::Result<Fetched> {
    let mut stream = TcpStream::connect(address).await?;
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nUser-Agent: waypost\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut text = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut text).await?;
    read(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "malformed HTTP response"))
}

fn read(answer: &[u8]) -> Option<Fetched> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut words = head.lines().next()?.split(' ');
    let status = words.next().filter(|version| version.starts_with("HTTP/1.")).and(words.next())?;
    Some(Fetched { status: status.parse().ok()?, body: body.to_owned() })
}

/// More than any probe's page has.
const ANSWER_BYTES_MAX: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_its_status_and_body() {
        let check = |text: &str, want: Option<(u16, &str)>| {
            let got = read(text.as_bytes());
            assert_eq!(got.as_ref().map(|f| (f.status, f.body.as_str())), want, "{text:?}");
        };
        check("HTTP/1.1 200 OK\r\na: b\r\n\r\nOK", Some((200, "OK")));
        check("HTTP/1.0 503 Service Unavailable\r\n\r\n", Some((503, "")));
        check("HTTP/1.1 200 OK\r\na: b\r\n", None);
        check("SSH-2.0 200\r\n\r\n", None);
        check("HTTP/1.1 x\r\n\r\n", None);
        check("", None);
    }
}
