//! Headers at the beginning of a connection.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

use super::header::{Addresses, Found, parse};
use crate::chain::ProxyTreatment;

/// Reads from `stream` into `input`, where nothing is yet, until it is known whether a header stands there; takes it off and returns the
/// addresses that count. What comes behind it stays in `input`. There may be a header in several parts; the caller says how long to wait.
///
/// # Errors
/// The stream's; [`io::ErrorKind::InvalidData`] for a bad header, or one from a peer that may send none.
pub(in crate::server) async fn read_header(
    stream: &mut (impl AsyncRead + Unpin),
    input: &mut Vec<u8>,
    treatment: ProxyTreatment,
) -> io::Result<Option<Addresses>> {
    if treatment == ProxyTreatment::Skip {
        return Ok(None);
    }
    loop {
        let read = stream.read_buf(input).await?;
        match parse(input).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))? {
            Found::Absent => return Ok(None),
            // It stays what it is: the beginning of a message.
            Found::Incomplete(_) if read == 0 => return Ok(None),
            Found::Incomplete(_) => {}
            Found::Header(_) if treatment == ProxyTreatment::Reject => {
                return Err(io::ErrorKind::InvalidData.into());
            }
            Found::Header(header) => {
                input.drain(..header.len);
                return Ok(header.addresses.filter(|_| treatment == ProxyTreatment::Use));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What counts as the source's port and what is left of the stream, if it is written in these parts and then closed.
    fn read(parts: &[&[u8]], treatment: ProxyTreatment) -> Result<(Option<u16>, Vec<u8>), io::ErrorKind> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut input = Vec::new();
        let mut stream = parts.iter().fold(Box::new(tokio::io::empty()) as Box<dyn AsyncRead + Unpin>, {
            |before, part| Box::new(before.chain(*part))
        });
        let result = runtime.block_on(read_header(&mut stream, &mut input, treatment));
        result.map(|found| (found.map(|a| a.source.port()), input)).map_err(|error| error.kind())
    }

    const LINE: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 53\r\n";

    #[test]
    fn a_header_is_taken_off_in_one_part_or_in_many() {
        let whole = [LINE, b"rest"].concat();
        assert_eq!(read(&[&whole], ProxyTreatment::Use), Ok((Some(40_000), b"rest".to_vec())));
        let bytes: Vec<&[u8]> = LINE.chunks(1).collect();
        assert_eq!(read(&bytes, ProxyTreatment::Use), Ok((Some(40_000), Vec::new())));
    }

    #[test]
    fn each_treatment_has_its_way() {
        let whole = [LINE, b"rest"].concat();
        assert_eq!(read(&[&whole], ProxyTreatment::Ignore), Ok((None, b"rest".to_vec())));
        assert_eq!(read(&[&whole], ProxyTreatment::Reject), Err(io::ErrorKind::InvalidData));
        assert_eq!(read(&[&whole], ProxyTreatment::Skip), Ok((None, Vec::new())), "nothing is read");
        for treatment in [ProxyTreatment::Use, ProxyTreatment::Ignore, ProxyTreatment::Reject] {
            assert_eq!(read(&[b"\0\x1drest"], treatment), Ok((None, b"\0\x1drest".to_vec())));
            assert_eq!(read(&[b"PROXY TCP4\r\n"], treatment), Err(io::ErrorKind::InvalidData));
        }
    }

    #[test]
    fn who_closes_within_a_header_has_sent_none() {
        assert_eq!(read(&[b"PROXY TC"], ProxyTreatment::Use), Ok((None, b"PROXY TC".to_vec())));
        assert_eq!(read(&[], ProxyTreatment::Use), Ok((None, Vec::new())));
    }

    #[test]
    fn a_proxy_s_own_connection_keeps_its_address() {
        let result = read(&[b"PROXY UNKNOWN\r\nrest"], ProxyTreatment::Use);
        assert_eq!(result, Ok((None, b"rest".to_vec())));
    }
}
