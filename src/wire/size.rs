//! The size a message would have without name compression: what `log` and the metrics of CoreDNS show.

use super::header::HEADER_LEN;
use super::record::{self, Record};
use super::{Name, Rtype, WireError};

/// A piece of RDATA that holds a name, or stands before one.
#[derive(Clone, Copy)]
enum Piece {
    /// So many bytes of something else.
    Fixed(usize),
    /// A character string: a length byte and as many bytes.
    Text,
    /// A domain name.
    Name,
}

/// The layout of RDATA up to its last name, for the types whose names may be compressed (RFC 1035 4.1.4, RFC 3597 4).
const fn layout(rtype: Rtype) -> &'static [Piece] {
    use Piece::{Fixed, Name, Text};
    match rtype {
        Rtype::NS
        | Rtype::MD
        | Rtype::MF
        | Rtype::CNAME
        | Rtype::MB
        | Rtype::MG
        | Rtype::MR
        | Rtype::PTR
        | Rtype::DNAME
        | Rtype::NXT
        | Rtype::NSEC
        | Rtype::NSAP_PTR => &[Name],
        Rtype::SOA | Rtype::MINFO | Rtype::RP => &[Name, Name],
        Rtype::MX | Rtype::AFSDB | Rtype::RT | Rtype::KX => &[Fixed(2), Name],
        Rtype::PX => &[Fixed(2), Name, Name],
        Rtype::SRV => &[Fixed(6), Name],
        Rtype::NAPTR => &[Fixed(4), Text, Text, Text, Name],
        Rtype::SIG | Rtype::RRSIG => &[Fixed(18), Name],
        _ => &[],
    }
}

/// The offsets of the names in a record's RDATA.
///
/// # Errors
/// [`WireError`] if the RDATA is shorter than its type needs, or longer where nothing may follow.
pub fn rdata_names(message: &[u8], record: &Record, mut each: impl FnMut(usize)) -> Result<(), WireError> {
    let mut at = record.rdata;
    if at == record.end {
        return Ok(()); // empty RDATA, as in updates
    }
    for piece in layout(record.rtype) {
        at = match piece {
            Piece::Fixed(n) => at + n,
            Piece::Text => at + 1 + usize::from(*message.get(at).ok_or(WireError::Cut)?),
            Piece::Name => {
                each(at);
                Name::skip(message, at)?
            }
        };
        if at > record.end {
            return Err(WireError::BadRecord);
        }
    }
    Ok(())
}

/// The length of `message` with every name written out, in bytes.
///
/// # Errors
/// [`WireError`] if it is no well-formed message.
pub fn uncompressed(message: &[u8]) -> Result<usize, WireError> {
    let question_end = record::questions_end(message)?;
    let mut size = HEADER_LEN + (question_end - HEADER_LEN);
    for record in record::records(message) {
        let record = record?;
        let owner = Name::parse(message, record.start)?.0;
        size += owner.as_bytes().len() + 10 + (record.end - record.rdata);
        // Names as they stand, and written out. A pointer to the root is longer than the root.
        let mut lengths = Ok((0usize, 0usize));
        rdata_names(message, &record, |at| {
            let name = Name::parse(message, at);
            lengths = lengths.and_then(|(packed, full)| {
                name.map(|(name, end)| (packed + (end - at), full + name.as_bytes().len()))
            });
        })?;
        let (packed, full) = lengths?;
        size = size + full - packed;
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compressed_names_count_in_full() {
        // www.example.org. CNAME example.org. (pointer to the question's second label), then A of it.
        let mut m =
            b"\x00\x01\x81\x80\x00\x01\x00\x02\x00\x00\x00\x00\x03www\x07example\x03org\x00\x00\x01\x00\x01"
                .to_vec();
        m.extend_from_slice(b"\xC0\x0C\x00\x05\x00\x01\x00\x00\x00\x3C\x00\x02\xC0\x10");
        m.extend_from_slice(b"\xC0\x10\x00\x01\x00\x01\x00\x00\x00\x3C\x00\x04\x01\x02\x03\x04");
        assert_eq!(uncompressed(&m).unwrap(), 33 + (17 + 10 + 13) + (13 + 10 + 4));
        assert_eq!(uncompressed(&m[..m.len() - 1]), Err(WireError::Cut));
    }

    #[test]
    fn a_pointer_to_the_root_counts_as_the_root() {
        let mut m = b"\x00\x01\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00\x00\x00\x05\x00\x01".to_vec();
        m.extend_from_slice(b"\xC0\x0C\x00\x05\x00\x01\x00\x00\x00\x3C\x00\x04\x01a\xC0\x0C");
        assert_eq!(uncompressed(&m).unwrap(), 17 + (1 + 10 + 3));
    }
}
