//! Name compression (RFC 1035 4.1.4), for answers of others that do not fit as they came.

use std::collections::HashMap;

use super::header::HEADER_LEN;
use super::name::suffixes;
use super::record;
use super::size::rdata_names;
use super::{Rtype, WireError, expand};

/// `message` with its names compressed as far as they may be. Their spelling stays: only names of the same spelling share bytes.
/// It can be longer than before, where `message` compressed names that no other may (RFC 3597 4).
///
/// # Errors
/// [`WireError`] if it is no well-formed message.
pub fn compressed(message: &[u8]) -> Result<Vec<u8>, WireError> {
    let question_end = record::questions_end(message)?;
    let mut out = Writer { wire: Vec::with_capacity(message.len()), places: HashMap::new() };
    out.wire.extend_from_slice(&message[..question_end]);
    if question_end > HEADER_LEN {
        out.note(&spelled(message, HEADER_LEN)?.0, HEADER_LEN);
    }
    let mut inner = Vec::new();
    for record in record::records(message) {
        let record = record?;
        out.name(&spelled(message, record.start)?.0);
        out.wire.extend_from_slice(&message[record.fixed..record.rdata]);
        let start = out.wire.len();
        inner.clear();
        rdata_names(message, &record, |at| inner.push(at))?;
        let mut copied = record.rdata;
        for &at in &inner {
            out.wire.extend_from_slice(&message[copied..at]);
            let (name, end) = spelled(message, at)?;
            if may_be_compressed(record.rtype) {
                out.name(&name);
            } else {
                out.wire.extend_from_slice(&name);
            }
            copied = end;
        }
        out.wire.extend_from_slice(&message[copied..record.end]);
        let len = u16::try_from(out.wire.len() - start).map_err(|_| WireError::BadRecord)?;
        out.wire[start - 2..start].copy_from_slice(&len.to_be_bytes());
    }
    Ok(out.wire)
}

/// Only the names in RDATA of RFC 1035's own types: others need not be known to whoever reads them (RFC 3597 4).
const fn may_be_compressed(rtype: Rtype) -> bool {
    matches!(
        rtype,
        Rtype::NS
            | Rtype::MD
            | Rtype::MF
            | Rtype::CNAME
            | Rtype::SOA
            | Rtype::MB
            | Rtype::MG
            | Rtype::MR
            | Rtype::PTR
            | Rtype::MINFO
            | Rtype::MX
    )
}

/// The name at `at`, written out as it is spelt there, and the offset behind it.
fn spelled(message: &[u8], at: usize) -> Result<(Vec<u8>, usize), WireError> {
    let mut wire = Vec::new();
    let end = expand::name(message, at, &mut wire)?;
    Ok((wire, end))
}

/// A message being written, and where the names in it stand.
struct Writer {
    wire: Vec<u8>,
    /// The offsets of names and their ancestors, by wire form. Bounded, as pointers reach no further than 16 KiB.
    places: HashMap<Vec<u8>, u16>,
}

/// The highest offset that a pointer can hold.
const POINTER_MAX: usize = 0x3FFF;

impl Writer {
    /// Writes the name `whole`, its end as a pointer if that stands in the message already.
    fn name(&mut self, whole: &[u8]) {
        let start = self.wire.len();
        let known = suffixes(whole)
            .filter(|suffix| suffix.len() > 1)
            .find_map(|suffix| Some((whole.len() - suffix.len(), *self.places.get(suffix)?)));
        match known {
            Some((written, place)) => {
                self.wire.extend_from_slice(&whole[..written]);
                self.wire.extend_from_slice(&(0xC000 | place).to_be_bytes());
            }
            None => self.wire.extend_from_slice(whole),
        }
        self.note(whole, start);
    }

    /// Remembers that the name `whole` stands at `start`.
    fn note(&mut self, whole: &[u8], start: usize) {
        for suffix in suffixes(whole).filter(|suffix| suffix.len() > 1) {
            let at = start + whole.len() - suffix.len();
            // Behind the first known ancestor all others are known too: that is where the pointer stands.
            if at > POINTER_MAX || self.places.contains_key(suffix) {
                return;
            }
            self.places.insert(suffix.to_vec(), at as u16);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Class, compose, header, size};

    /// A response to `a.example. A` with the records given as owner, type and RDATA.
    fn message(records: &[(&[u8], Rtype, &[u8])]) -> Vec<u8> {
        let mut m = b"\0\x01\x84\0\0\x01\0\0\0\0\0\0\x01a\x07example\0\0\x01\0\x01".to_vec();
        for (owner, rtype, rdata) in records {
            compose::record(&mut m, owner, *rtype, Class::IN, 60, rdata);
        }
        header::set_count(&mut m, 1, records.len() as u16);
        m
    }

    const A: &[u8] = b"\x01a\x07example\0";
    const B: &[u8] = b"\x01b\x07example\0";

    #[test]
    fn names_become_pointers_and_stay_the_same_names() {
        let plain = message(&[(A, Rtype::CNAME, B), (B, Rtype::A, b"\x01\x02\x03\x04")]);
        let short = compressed(&plain).unwrap();
        assert_eq!(
            short,
            message(&[
                (b"\xC0\x0C", Rtype::CNAME, b"\x01b\xC0\x0E"),
                (b"\xC0\x27", Rtype::A, b"\x01\x02\x03\x04")
            ])
        );
        assert_eq!(size::uncompressed(&short), Ok(plain.len()));
        assert_eq!(compressed(&short).unwrap(), short, "twice is once");
    }

    #[test]
    fn spelling_newer_types_and_the_root_are_left_alone() {
        let plain = message(&[
            (b"\x01A\x07Example\0", Rtype::NS, b"\0"),
            (A, Rtype::SRV, b"\0\0\0\0\0\x35\x01b\x07example\0"),
        ]);
        let short = compressed(&plain).unwrap();
        assert_eq!(
            short,
            message(&[
                (b"\x01A\x07Example\0", Rtype::NS, b"\0"),
                (b"\xC0\x0C", Rtype::SRV, b"\0\0\0\0\0\x35\x01b\x07example\0"),
            ])
        );
        let pointer = message(&[(A, Rtype::SRV, b"\0\0\0\0\0\x35\xC0\x0C")]);
        let written = compressed(&pointer).unwrap();
        assert!(written.ends_with(b"\0\x11\0\0\0\0\0\x35\x01a\x07example\0"));
    }

    #[test]
    fn pointers_reach_as_far_as_they_can() {
        let filler = [0; 0x4000];
        let plain = message(&[(A, Rtype::NULL, &filler), (B, Rtype::A, b"1234"), (B, Rtype::A, b"1234")]);
        let short = compressed(&plain).unwrap();
        assert!(
            short.ends_with(b"\x01b\xC0\x0E\0\x01\0\x01\0\0\0\x3C\0\x041234"),
            "twice in full but for its parent"
        );
        assert_eq!(size::uncompressed(&short), Ok(plain.len()));
    }

    #[test]
    fn what_is_no_message_is_an_error() {
        let plain = message(&[(A, Rtype::CNAME, B)]);
        for len in 0..plain.len() {
            assert!(compressed(&plain[..len]).is_err(), "{len}");
        }
    }
}
