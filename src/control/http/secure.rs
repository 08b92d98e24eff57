//! TLS on a connection for pages. Who speaks plain HTTP here is told so, as by Go's server.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::Stream;
use super::connection::PLAIN_TO_TLS;

/// The head of a record (RFC 8446 5.1), and enough of a request to know it by.
const HEAD_BYTES: usize = 5;

/// How requests begin, as far as Go's server looks.
const HTTP: &[&[u8; HEAD_BYTES]] = &[b"GET /", b"HEAD ", b"POST ", b"PUT /", b"OPTIO"];

/// Takes up a connection over TLS. Who calls it bounds the time.
///
/// # Errors
/// What went wrong with the handshake; a client that speaks plain HTTP has been answered.
pub async fn secure(mut stream: TcpStream, config: Arc<ServerConfig>) -> io::Result<Box<dyn Stream>> {
    let mut head = [0; HEAD_BYTES];
    stream.read_exact(&mut head).await?;
    if HTTP.contains(&&head) {
        let answer = format!("HTTP/1.0 400 Bad Request\r\n\r\n{PLAIN_TO_TLS}");
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        // What is left unread when a connection is closed resets it, and the answer would be lost.
        let mut rest = [0; 1024];
        while stream.read(&mut rest).await.is_ok_and(|length| length > 0) {}
        return Err(io::Error::other("client sent an HTTP request to an HTTPS server"));
    }
    let stream = Begun { head, read: 0, stream };
    Ok(Box::new(TlsAcceptor::from(config).accept(stream).await?))
}

/// A connection whose first bytes were read already.
struct Begun {
    head: [u8; HEAD_BYTES],
    /// How many of them were read again.
    read: usize,
    stream: TcpStream,
}

impl AsyncRead for Begun {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read == HEAD_BYTES {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let length = (HEAD_BYTES - self.read).min(buffer.remaining());
        buffer.put_slice(&self.head[self.read..self.read + length]);
        self.read += length;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Begun {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
