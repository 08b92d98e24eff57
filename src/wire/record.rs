//! Walking the records of a message (RFC 1035 4.1.3).

use super::header::{self, HEADER_LEN};
use super::{Class, Name, Rtype, WireError};

/// A section of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// The answer section.
    Answer,
    /// The authority section.
    Authority,
    /// The additional section.
    Additional,
}

/// A record where it stands in its message: offsets, and the fixed fields.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// The section it stands in.
    pub section: Section,
    /// Where its owner name starts.
    pub start: usize,
    /// Where its type starts, behind the owner name; the TTL stands four bytes on.
    pub fixed: usize,
    /// Its type.
    pub rtype: Rtype,
    /// Its class; for OPT the sender's UDP payload size.
    pub class: Class,
    /// Its TTL, seconds; for OPT the extended code, version and flags.
    pub ttl: u32,
    /// Where its RDATA starts.
    pub rdata: usize,
    /// The offset behind it.
    pub end: usize,
}

impl Record {
    /// Reads the record at `at`.
    ///
    /// # Errors
    /// [`WireError`] if it is cut or its owner is no name.
    pub fn parse(message: &[u8], at: usize, section: Section) -> Result<Self, WireError> {
        let fixed = Name::skip(message, at)?;
        let Some(&[t1, t2, c1, c2, l1, l2, l3, l4, d1, d2]) = message.get(fixed..fixed + 10) else {
            return Err(WireError::Cut);
        };
        let rdata = fixed + 10;
        let end = rdata + usize::from(u16::from_be_bytes([d1, d2]));
        if end > message.len() {
            return Err(WireError::Cut);
        }
        Ok(Self {
            section,
            start: at,
            fixed,
            rtype: Rtype(u16::from_be_bytes([t1, t2])),
            class: Class(u16::from_be_bytes([c1, c2])),
            ttl: u32::from_be_bytes([l1, l2, l3, l4]),
            rdata,
            end,
        })
    }

    /// Its owner name.
    ///
    /// # Errors
    /// [`WireError`] if the name is not well-formed.
    pub fn owner(&self, message: &[u8]) -> Result<Name, WireError> {
        Name::parse(message, self.start).map(|(name, _)| name)
    }

    /// Its RDATA as it stands, names in it possibly compressed.
    pub fn rdata<'a>(&self, message: &'a [u8]) -> &'a [u8] {
        message.get(self.rdata..self.end).unwrap_or_default()
    }

    /// Where its TTL stands.
    pub const fn ttl_offset(&self) -> usize {
        self.fixed + 4
    }
}

/// The offset behind the record at `at`.
///
/// # Errors
/// [`WireError`] if it is cut or its owner is no name.
pub fn skip(message: &[u8], at: usize) -> Result<usize, WireError> {
    let fixed = Name::skip(message, at)?;
    let end = fixed + 10 + usize::from(super::u16_at(message, fixed + 8)?);
    if end > message.len() { Err(WireError::Cut) } else { Ok(end) }
}

/// The offset behind the question section.
///
/// # Errors
/// [`WireError`] if it is cut.
pub fn questions_end(message: &[u8]) -> Result<usize, WireError> {
    if message.len() < HEADER_LEN {
        return Err(WireError::Cut);
    }
    let mut at = HEADER_LEN;
    for _ in 0..header::counts(message)[0] {
        at = Name::skip(message, at)? + 4;
        if at > message.len() {
            return Err(WireError::Cut);
        }
    }
    Ok(at)
}

/// Walks all records of `message` in order; ends after the first error.
pub fn records(message: &[u8]) -> Records<'_> {
    let counts = header::counts(message);
    let start = questions_end(message);
    Records { message, at: start, left: [counts[1], counts[2], counts[3]], section: 0 }
}

/// The iterator of [`records`].
#[derive(Clone, Debug)]
pub struct Records<'a> {
    message: &'a [u8],
    at: Result<usize, WireError>,
    left: [u16; 3],
    section: usize,
}

impl Iterator for Records<'_> {
    type Item = Result<Record, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.section < 3 && self.left[self.section] == 0 {
            self.section += 1;
        }
        if self.section == 3 {
            return None;
        }
        self.left[self.section] -= 1;
        let section = [Section::Answer, Section::Authority, Section::Additional][self.section];
        let record = self.at.and_then(|at| Record::parse(self.message, at, section));
        match record {
            Ok(record) => self.at = Ok(record.end),
            Err(_) => self.section = 3,
        }
        Some(record)
    }
}
