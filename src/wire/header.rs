//! The header of a message (RFC 1035 4.1.1; AD and CD: RFC 4035 3.1.6, 3.2.2).

use super::{Opcode, Rcode};

/// Bytes of a header.
pub const HEADER_LEN: usize = 12;

/// The second and third byte pair of the header: everything but ID and counts.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(pub u16);

impl Flags {
    /// Response.
    pub const QR: u16 = 0x8000;
    /// Authoritative answer.
    pub const AA: u16 = 0x0400;
    /// Truncated.
    pub const TC: u16 = 0x0200;
    /// Recursion desired.
    pub const RD: u16 = 0x0100;
    /// Recursion available.
    pub const RA: u16 = 0x0080;
    /// Reserved; must be zero.
    pub const Z: u16 = 0x0040;
    /// Authentic data.
    pub const AD: u16 = 0x0020;
    /// Checking disabled.
    pub const CD: u16 = 0x0010;

    /// The flags of the message `wire`; all clear if it is shorter than a header.
    pub fn of(wire: &[u8]) -> Self {
        match wire.get(2..4) {
            Some(&[a, b]) => Self(u16::from_be_bytes([a, b])),
            _ => Self(0),
        }
    }

    /// True if all bits of `mask` are set.
    pub const fn has(self, mask: u16) -> bool {
        self.0 & mask == mask
    }

    /// With the bits of `mask` set or cleared.
    #[must_use]
    pub const fn with(self, mask: u16, on: bool) -> Self {
        if on { Self(self.0 | mask) } else { Self(self.0 & !mask) }
    }

    /// The kind of query.
    pub const fn opcode(self) -> Opcode {
        Opcode((self.0 >> 11 & 15) as u8)
    }

    /// With the kind of query `opcode`.
    #[must_use]
    pub const fn with_opcode(self, opcode: Opcode) -> Self {
        Self(self.0 & !0x7800 | (opcode.0 as u16 & 15) << 11)
    }

    /// The lower four bits of the response code.
    pub const fn rcode(self) -> Rcode {
        Rcode(self.0 & 15)
    }

    /// With the lower four bits of `rcode`.
    #[must_use]
    pub const fn with_rcode(self, rcode: Rcode) -> Self {
        Self(self.0 & !15 | rcode.0 & 15)
    }

    /// Writes the flags into the header of `wire`, which is a message.
    pub fn write(self, wire: &mut [u8]) {
        if let Some(place) = wire.get_mut(2..4) {
            place.copy_from_slice(&self.0.to_be_bytes());
        }
    }
}

impl std::fmt::Debug for Flags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#06x}", self.0)
    }
}

/// The ID of the message `wire`; 0 if it is shorter than a header.
pub fn id(wire: &[u8]) -> u16 {
    match wire.get(..2) {
        Some(&[a, b]) => u16::from_be_bytes([a, b]),
        _ => 0,
    }
}

/// Writes the ID of the message `wire`.
pub fn set_id(wire: &mut [u8], id: u16) {
    if let Some(place) = wire.get_mut(..2) {
        place.copy_from_slice(&id.to_be_bytes());
    }
}

/// The entry counts of question, answer, authority and additional; zeroes if `wire` is shorter than a header.
pub fn counts(wire: &[u8]) -> [u16; 4] {
    match wire.get(4..HEADER_LEN) {
        Some(&[q1, q2, n1, n2, u1, u2, d1, d2]) => {
            [[q1, q2], [n1, n2], [u1, u2], [d1, d2]].map(u16::from_be_bytes)
        }
        _ => [0; 4],
    }
}

/// Writes one entry count; `section` 0 is the question, 3 the additional section.
pub fn set_count(wire: &mut [u8], section: usize, count: u16) {
    let at = 4 + 2 * section;
    if let Some(place) = wire.get_mut(at..at + 2) {
        place.copy_from_slice(&count.to_be_bytes());
    }
}
