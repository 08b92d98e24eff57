//! Changing a finished message in place: TTLs, names' case in the question.

use super::record::{self, Section};
use super::{Edns, HEADER_LEN, Rtype, WireError, expand};

/// The offsets of the TTLs of all records but OPT and TSIG-like meta records.
///
/// # Errors
/// [`WireError`] if it is no well-formed message.
pub fn ttl_offsets(message: &[u8]) -> Result<Vec<u16>, WireError> {
    let mut offsets = Vec::new();
    for record in record::records(message) {
        let record = record?;
        if !matches!(record.rtype, Rtype::OPT | Rtype::TSIG) {
            offsets.push(u16::try_from(record.ttl_offset()).map_err(|_| WireError::BadRecord)?);
        }
    }
    Ok(offsets)
}

/// Writes `ttl` (seconds) at each of `offsets`, which came from [`ttl_offsets`] of the same bytes.
pub fn set_ttls(message: &mut [u8], offsets: &[u16], ttl: u32) {
    let bytes = ttl.to_be_bytes();
    for &at in offsets {
        if let Some(place) = message.get_mut(at as usize..at as usize + 4) {
            place.copy_from_slice(&bytes);
        }
    }
}

/// The smallest TTL of all records but OPT, seconds; `None` if there are no records.
///
/// # Errors
/// [`WireError`] if it is no well-formed message.
pub fn min_ttl(message: &[u8]) -> Result<Option<u32>, WireError> {
    let mut least: Option<u32> = None;
    for record in record::records(message) {
        let record = record?;
        if record.rtype != Rtype::OPT {
            least = Some(least.map_or(record.ttl, |l| l.min(record.ttl)));
        }
    }
    Ok(least)
}

/// Copies the question's name as `query` spells it over that of `response`, if the two have the same length.
pub fn copy_question_case(response: &mut [u8], query: &[u8], question_end: usize) {
    if let (Some(to), Some(from)) =
        (response.get_mut(HEADER_LEN..question_end), query.get(HEADER_LEN..question_end))
    {
        to.copy_from_slice(from);
    }
}

/// Removes the OPT record of `message`, wherever in the additional section it stands, and returns it as bytes; the count in the header follows.
///
/// # Errors
/// [`WireError`] if it is no well-formed message, or has two OPT records, or one of a name or with broken options; it is then unchanged.
pub fn take_opt(message: &mut Vec<u8>) -> Result<Option<Vec<u8>>, WireError> {
    let mut found = None;
    let mut last = record::questions_end(message)?;
    for record in record::records(message) {
        let record = record?;
        last = record.end;
        if record.rtype == Rtype::OPT && record.section == Section::Additional {
            if found.is_some() {
                return Err(WireError::TwoOpts);
            }
            // What is taken out is given to clients later: it must be an OPT record to its last byte.
            Edns::parse(message, record.start)?;
            found = Some(record);
        }
    }
    // What stands behind the last record belongs to no section.
    message.truncate(last);
    let Some(opt) = found else { return Ok(None) };
    if opt.end != message.len() {
        // Pointers into what follows cannot exist from before it, but what follows may point to each other: only a record that names no
        // other by pointer may move. Records behind the OPT are rare (TSIG, SIG(0)); their owner and names are written again.
        return move_opt(message, &opt).map(Some);
    }
    let bytes = message.split_off(opt.start);
    let count = super::header::counts(message)[3];
    super::header::set_count(message, 3, count - 1);
    Ok(Some(bytes))
}

/// The rare case of [`take_opt`]: records stand behind the OPT record; their names are written out in full.
fn move_opt(message: &mut Vec<u8>, opt: &super::Record) -> Result<Vec<u8>, WireError> {
    let mut rest = Vec::new();
    let mut at = opt.end;
    while at < message.len() {
        let record = super::Record::parse(message, at, Section::Additional)?;
        expand::record(message, &record, &mut rest)?;
        at = record.end;
    }
    let bytes = message[opt.start..opt.end].to_vec();
    message.truncate(opt.start);
    message.extend_from_slice(&rest);
    let count = super::header::counts(message)[3];
    super::header::set_count(message, 3, count - 1);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Vec<u8> {
        let mut m = b"\x00\x01\x81\x80\x00\x01\x00\x01\x00\x00\x00\x02\x01a\x00\x00\x01\x00\x01".to_vec();
        m.extend_from_slice(b"\xC0\x0C\x00\x01\x00\x01\x00\x00\x00\x3C\x00\x04\x01\x02\x03\x04");
        m.extend_from_slice(b"\x00\x00\x29\x04\xD0\x00\x00\x00\x00\x00\x00");
        m.extend_from_slice(b"\xC0\x0C\x00\x05\x00\x01\x00\x00\x00\x05\x00\x02\xC0\x0C");
        m
    }

    #[test]
    fn ttls_are_found_and_written() {
        let mut m = message();
        assert_eq!(min_ttl(&m).unwrap(), Some(5));
        let offsets = ttl_offsets(&m).unwrap();
        assert_eq!(offsets.len(), 2);
        set_ttls(&mut m, &offsets, 7);
        assert_eq!(min_ttl(&m).unwrap(), Some(7));
    }

    #[test]
    fn the_opt_record_is_taken_from_the_middle() {
        let mut m = message();
        assert_eq!(take_opt(&mut m).unwrap().unwrap(), b"\x00\x00\x29\x04\xD0\x00\x00\x00\x00\x00\x00");
        let records: Vec<_> = record::records(&m).map(Result::unwrap).collect();
        assert_eq!(records.len(), 2);
        assert_eq!(records[1].owner(&m).unwrap().to_string(), "a.");
        assert_eq!(records[1].rdata(&m), b"\x01a\x00");
        assert_eq!(records[1].end, m.len());
        assert_eq!(take_opt(&mut m).unwrap(), None);
    }

    #[test]
    fn the_opt_record_is_taken_from_the_end() {
        let mut m = message();
        m.truncate(m.len() - 14);
        super::super::header::set_count(&mut m, 3, 1);
        m.extend_from_slice(b"junk");
        assert!(take_opt(&mut m).unwrap().is_some());
        assert_eq!(m.len(), 19 + 16);
    }

    #[test]
    fn what_only_looks_like_an_opt_record_is_an_error() {
        let check = |opt: &[u8]| {
            let mut m = message();
            m.truncate(19 + 16);
            m.extend_from_slice(opt);
            super::super::header::set_count(&mut m, 3, 1);
            let before = m.clone();
            assert_eq!(take_opt(&mut m), Err(WireError::BadRecord), "{opt:02x?}");
            assert_eq!(m, before);
        };
        // Of a name (RFC 6891 6.1.2), and with an option longer than the record.
        check(b"\x01a\x00\x00\x29\x04\xD0\x00\x00\x00\x00\x00\x00");
        check(b"\x00\x00\x29\x04\xD0\x00\x00\x00\x00\x00\x05\x00\x03\x00\x02a");
    }
}
