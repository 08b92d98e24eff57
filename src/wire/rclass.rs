//! Classes (RFC 1035 3.2.4).

use std::fmt;

/// The class of a question or record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Class(pub u16);

impl Class {
    /// The Internet.
    pub const IN: Self = Self(1);
    /// Chaosnet; used for a server's own names (RFC 4892).
    pub const CH: Self = Self(3);
    /// Hesiod.
    pub const HS: Self = Self(4);
    /// No class (RFC 2136).
    pub const NONE: Self = Self(254);
    /// Any class, in a question.
    pub const ANY: Self = Self(255);

    /// The class of a mnemonic, in capitals.
    pub fn from_text(text: &str) -> Option<Self> {
        Some(match text {
            "IN" => Self::IN,
            "CS" => Self(2),
            "CH" => Self::CH,
            "HS" => Self::HS,
            "NONE" => Self::NONE,
            "ANY" => Self::ANY,
            _ => return text.strip_prefix("CLASS").and_then(|n| n.parse().ok()).map(Self),
        })
    }

    /// The mnemonic, if the class has one.
    pub const fn mnemonic(self) -> Option<&'static str> {
        Some(match self.0 {
            1 => "IN",
            2 => "CS",
            3 => "CH",
            4 => "HS",
            254 => "NONE",
            255 => "ANY",
            _ => return None,
        })
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mnemonic() {
            Some(name) => f.write_str(name),
            None => write!(f, "CLASS{}", self.0),
        }
    }
}
