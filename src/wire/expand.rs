//! Writing names and records out in full, without compression (RFC 1035 4.1.4), so that they can stand anywhere in a message.

use super::record::Record;
use super::size::rdata_names;
use super::{Name, WireError, u16_at};

/// The part of a compression pointer that is an offset.
const OFFSET: usize = 0x3FFF;

/// Appends the name at `at` to `out`, as it is spelt there, and returns the offset behind it in `message`.
///
/// # Errors
/// [`WireError`] if the name is not well-formed; `out` is then unchanged.
pub fn name(message: &[u8], at: usize, out: &mut Vec<u8>) -> Result<usize, WireError> {
    // This checks the name; its bytes are in lower case.
    let (name, end) = Name::parse(message, at)?;
    let whole = out.len() + name.as_bytes().len();
    let mut at = at;
    while out.len() < whole {
        let length = usize::from(*message.get(at).ok_or(WireError::Cut)?);
        if length >= 0xC0 {
            at = usize::from(u16_at(message, at)?) & OFFSET;
        } else {
            out.extend_from_slice(message.get(at..=at + length).ok_or(WireError::Cut)?);
            at += 1 + length;
        }
    }
    Ok(end)
}

/// Appends `record` of `message` to `out`.
///
/// # Errors
/// [`WireError`] if a name in it is not well-formed, or its RDATA gets too long; `out` is then to be thrown away.
pub fn record(message: &[u8], record: &Record, out: &mut Vec<u8>) -> Result<(), WireError> {
    name(message, record.start, out)?;
    behind_owner(message, record, out)
}

/// As [`record()`], without the owner name.
///
/// # Errors
/// As [`record()`].
pub fn behind_owner(message: &[u8], record: &Record, out: &mut Vec<u8>) -> Result<(), WireError> {
    out.extend_from_slice(message.get(record.fixed..record.rdata).ok_or(WireError::Cut)?);
    let start = out.len();
    let mut copied = record.rdata;
    let mut outcome = Ok(());
    rdata_names(message, record, |at| {
        // Once one name is bad, the rest is of no interest.
        outcome = outcome.and_then(|()| {
            out.extend_from_slice(message.get(copied..at).ok_or(WireError::Cut)?);
            copied = name(message, at, out)?;
            Ok(())
        });
    })?;
    outcome?;
    out.extend_from_slice(message.get(copied..record.end).ok_or(WireError::BadRecord)?);
    let length = u16::try_from(out.len() - start).map_err(|_| WireError::BadRecord)?;
    out[start - 2..start].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Class, Rtype, compose, header, record};

    /// A response to `a.Example. MX` with these records, each owner, type and RDATA.
    fn message(records: &[(&[u8], Rtype, &[u8])]) -> Vec<u8> {
        let mut m = b"\0\x01\x84\0\0\x01\0\0\0\0\0\0\x01a\x07Example\0\0\x0f\0\x01".to_vec();
        for (owner, rtype, rdata) in records {
            compose::record(&mut m, owner, *rtype, Class::IN, 60, rdata);
        }
        header::set_count(&mut m, 1, records.len() as u16);
        m
    }

    #[test]
    fn a_record_stands_for_itself() {
        // The question ends at 27; the first MX's exchange stands at 41, and `mx2` of the second at 57.
        let m = message(&[
            (b"\xC0\x0C", Rtype::MX, b"\0\x0a\x02mX\xC0\x0E"),
            (b"\xC0\x0C", Rtype::MX, b"\0\x14\x03mx2\xC0\x29"),
            (b"\xC0\x29", Rtype::A, b"\x01\x02\x03\x04"),
        ]);
        let want = message(&[
            (b"\x01a\x07Example\0", Rtype::MX, b"\0\x0a\x02mX\x07Example\0"),
            (b"\x01a\x07Example\0", Rtype::MX, b"\0\x14\x03mx2\x02mX\x07Example\0"),
            (b"\x02mX\x07Example\0", Rtype::A, b"\x01\x02\x03\x04"),
        ]);
        let mut out = m[..27].to_vec();
        for found in record::records(&m) {
            record(&m, &found.unwrap(), &mut out).unwrap();
        }
        assert_eq!(out, want);
    }

    #[test]
    fn what_is_cut_or_leads_nowhere_is_an_error() {
        let m = message(&[(b"\xC0\x0C", Rtype::MX, b"\0\x0a\x02mx\xC0\x0E")]);
        let found = record::records(&m).next().unwrap().unwrap();
        for len in 27..m.len() {
            assert!(record(&m[..len], &found, &mut Vec::new()).is_err(), "{len}");
        }
        let bad = message(&[(b"\xC0\x0C", Rtype::SOA, b"\x02mx\xC0\xFF\0\0\0\0\0")]);
        let found = record::records(&bad).next().unwrap().unwrap();
        assert!(record(&bad, &found, &mut Vec::new()).is_err());
    }

    #[test]
    fn rdata_that_gets_too_long_is_an_error() {
        // A signature whose signer's name is a pointer: 11 bytes written out where 2 stood.
        let rdata = [&[0; 18][..], b"\xC0\x0C", &vec![0; 65_535 - 20]].concat();
        let m = message(&[(b"\xC0\x0C", Rtype::RRSIG, &rdata)]);
        let found = record::records(&m).next().unwrap().unwrap();
        assert_eq!(record(&m, &found, &mut Vec::new()), Err(WireError::BadRecord));
    }
}
