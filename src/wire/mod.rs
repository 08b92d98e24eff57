//! DNS messages as bytes (RFC 1035 4): parsing without allocation, composing, patching in place.
//!
//! A leaf room: no I/O, no clock. What comes from outside is checked here against its own lengths; a count in a header is
//! never trusted.
//!
//! - [`header`] the twelve bytes in front, [`name`] domain names, [`query`] what a server must know of a query,
//! - [`record`] walking the records of a response, [`outcome`] what a response comes to, [`edns`] the OPT record,
//! - [`compose`] writing answers, [`patch`], [`compress`], [`expand`] and [`truncate`] changing finished ones,
//! - [`rtype`], [`rclass`], [`rcode`], [`opcode`] the numbers and their names.

pub mod compose;
pub mod compress;
pub mod edns;
pub mod expand;
pub mod header;
pub mod name;
pub mod opcode;
pub mod outcome;
pub mod patch;
pub mod query;
pub mod rclass;
pub mod rcode;
pub mod record;
pub mod rtype;
pub mod size;
pub mod truncate;

pub use edns::Edns;
pub use header::{Flags, HEADER_LEN};
pub use name::{Name, NameHasher, label_count};
pub use opcode::Opcode;
pub use outcome::Outcome;
pub use rclass::Class;
pub use rcode::Rcode;
pub use record::{Record, Section};
pub use rtype::Rtype;

/// Why bytes are not a DNS message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireError {
    /// The message ends before what its own counts or lengths announce.
    Cut,
    /// A label of a reserved kind, or a name over 255 bytes (RFC 1035 3.1).
    BadName,
    /// A compression pointer that does not point backwards (RFC 1035 4.1.4).
    BadPointer,
    /// A record or option whose length contradicts its contents.
    BadRecord,
    /// More than one OPT record (RFC 6891 6.1.1).
    TwoOpts,
}

impl std::fmt::Display for WireError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Cut => "the message ends too early",
            Self::BadName => "a name is not well-formed",
            Self::BadPointer => "a compression pointer does not point backwards",
            Self::BadRecord => "a record's length contradicts its contents",
            Self::TwoOpts => "there is more than one OPT record",
        })
    }
}

impl std::error::Error for WireError {}

/// The big-endian number at `at`.
///
/// # Errors
/// [`WireError::Cut`] if the bytes end before it does.
pub fn u16_at(bytes: &[u8], at: usize) -> Result<u16, WireError> {
    match bytes.get(at..at + 2) {
        Some(&[a, b]) => Ok(u16::from_be_bytes([a, b])),
        _ => Err(WireError::Cut),
    }
}

/// The big-endian number at `at`.
///
/// # Errors
/// [`WireError::Cut`] if the bytes end before it does.
pub fn u32_at(bytes: &[u8], at: usize) -> Result<u32, WireError> {
    match bytes.get(at..at + 4) {
        Some(&[a, b, c, d]) => Ok(u32::from_be_bytes([a, b, c, d])),
        _ => Err(WireError::Cut),
    }
}
