//! Response codes (RFC 1035 4.1.1, RFC 6895 2.3, RFC 6891 6.1.3 for those over 15).

use std::fmt;

/// A response code of up to twelve bits; the upper eight travel in the OPT record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Rcode(pub u16);

macro_rules! rcodes {
    ($($constant:ident = $number:literal, $text:literal, $doc:literal;)*) => {
        impl Rcode {
            $(#[doc = $doc] pub const $constant: Self = Self($number);)*

            /// The mnemonic, if the code has one.
            pub const fn mnemonic(self) -> Option<&'static str> {
                match self.0 { $($number => Some($text),)* _ => None }
            }

            /// The code of a mnemonic, in any case.
            pub fn from_text(text: &str) -> Option<Self> {
                $(if text.eq_ignore_ascii_case($text) { return Some(Self($number)); })*
                None
            }
        }
    };
}

rcodes! {
    NOERROR = 0, "NOERROR", "No error.";
    FORMERR = 1, "FORMERR", "The query could not be read.";
    SERVFAIL = 2, "SERVFAIL", "The server failed.";
    NXDOMAIN = 3, "NXDOMAIN", "The name does not exist.";
    NOTIMP = 4, "NOTIMP", "The kind of query is not implemented.";
    REFUSED = 5, "REFUSED", "The server does not answer this client or name.";
    YXDOMAIN = 6, "YXDOMAIN", "A name exists that should not; or a DNAME made one too long (RFC 6672 2.2).";
    YXRRSET = 7, "YXRRSET", "An RRset exists that should not (RFC 2136).";
    NXRRSET = 8, "NXRRSET", "An RRset does not exist that should (RFC 2136).";
    NOTAUTH = 9, "NOTAUTH", "Not authoritative, or not authorised (RFC 2136, RFC 8945).";
    NOTZONE = 10, "NOTZONE", "The name is not in the zone (RFC 2136).";
    DSOTYPENI = 11, "DSOTYPENI", "DSO type not implemented (RFC 8490).";
    BADVERS = 16, "BADVERS", "EDNS version not supported (RFC 6891); as a TSIG error BADSIG.";
    BADKEY = 17, "BADKEY", "Key not recognised (RFC 8945).";
    BADTIME = 18, "BADTIME", "Signature out of time (RFC 8945).";
    BADMODE = 19, "BADMODE", "Bad TKEY mode (RFC 2930).";
    BADNAME = 20, "BADNAME", "Duplicate key name (RFC 2930).";
    BADALG = 21, "BADALG", "Algorithm not supported (RFC 2930).";
    BADTRUNC = 22, "BADTRUNC", "Bad truncation (RFC 8945).";
    BADCOOKIE = 23, "BADCOOKIE", "Bad or missing server cookie (RFC 7873).";
}

impl Rcode {
    /// Whether the server answers with this code in place of a plugin that failed with it; with others it does not answer.
    pub const fn is_written_by_server(self) -> bool {
        matches!(self, Self::SERVFAIL | Self::REFUSED | Self::FORMERR | Self::NOTIMP)
    }
}

impl fmt::Display for Rcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mnemonic() {
            Some(name) => f.write_str(name),
            None => write!(f, "RCODE{}", self.0),
        }
    }
}
