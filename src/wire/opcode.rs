//! Opcodes (RFC 1035 4.1.1, RFC 1996, RFC 2136, RFC 8490).

use std::fmt;

/// The kind of query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Opcode(pub u8);

impl Opcode {
    /// A standard query (RFC 1035).
    pub const QUERY: Self = Self(0);
    /// A question of old about the server itself (RFC 1035), which servers do not know.
    pub const STATUS: Self = Self(2);
    /// A notice of a changed zone (RFC 1996).
    pub const NOTIFY: Self = Self(4);
    /// A dynamic update (RFC 2136); always refused.
    pub const UPDATE: Self = Self(5);
}

impl fmt::Display for Opcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("QUERY"),
            1 => f.write_str("IQUERY"),
            2 => f.write_str("STATUS"),
            4 => f.write_str("NOTIFY"),
            5 => f.write_str("UPDATE"),
            other => write!(f, "OPCODE{other}"),
        }
    }
}
