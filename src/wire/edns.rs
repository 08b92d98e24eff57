//! The OPT record (RFC 6891).

use std::ops::Range;

use super::{Rtype, WireError};

/// Bytes of an OPT record without options.
pub const OPT_LEN: usize = 11;

/// The DO bit in the OPT record's flags (RFC 3225).
const DO: u16 = 0x8000;

/// What a message's OPT record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edns {
    /// The sender's UDP payload size as it stands, bytes; values under 512 mean 512 ([`Self::payload_size`]).
    pub udp_size: u16,
    /// The upper eight bits of the response code.
    pub rcode_high: u8,
    /// The EDNS version.
    pub version: u8,
    /// The flags, DO included.
    pub flags: u16,
    /// Where the options stand in the message.
    pub options: Range<usize>,
}

impl Edns {
    /// Reads the OPT record whose owner (the root) starts at `at`; returns it with the offset behind it.
    ///
    /// # Errors
    /// [`WireError`] if it is cut, its owner is not the root, or its options overrun it.
    pub fn parse(message: &[u8], at: usize) -> Result<(Self, usize), WireError> {
        let fixed = message.get(at..at + OPT_LEN).ok_or(WireError::Cut)?;
        if fixed[0] != 0 || u16::from_be_bytes([fixed[1], fixed[2]]) != Rtype::OPT.0 {
            return Err(WireError::BadRecord);
        }
        let start = at + OPT_LEN;
        let end = start + usize::from(u16::from_be_bytes([fixed[9], fixed[10]]));
        let options = message.get(start..end).ok_or(WireError::Cut)?;
        let mut rest = options;
        while !rest.is_empty() {
            let head = rest.get(..4).ok_or(WireError::BadRecord)?;
            let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
            rest = rest.get(4 + len..).ok_or(WireError::BadRecord)?;
        }
        let edns = Self {
            udp_size: u16::from_be_bytes([fixed[3], fixed[4]]),
            rcode_high: fixed[5],
            version: fixed[6],
            flags: u16::from_be_bytes([fixed[7], fixed[8]]),
            options: start..end,
        };
        Ok((edns, end))
    }

    /// True if the sender wants DNSSEC records (RFC 3225).
    pub const fn dnssec_ok(&self) -> bool {
        self.flags & DO != 0
    }

    /// The UDP payload size to respect, bytes, at least 512 (RFC 6891 6.2.3).
    pub const fn payload_size(&self) -> u16 {
        if self.udp_size < 512 { 512 } else { self.udp_size }
    }

    /// The options of `message`, which this record was read from, as code and value.
    pub fn options<'a>(&self, message: &'a [u8]) -> Options<'a> {
        Options(message.get(self.options.clone()).unwrap_or_default())
    }
}

/// Walks the options of an OPT record: code and value.
#[derive(Clone, Debug)]
pub struct Options<'a>(pub &'a [u8]);

impl<'a> Iterator for Options<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let head = self.0.get(..4)?;
        let code = u16::from_be_bytes([head[0], head[1]]);
        let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let value = self.0.get(4..4 + len)?;
        self.0 = &self.0[4 + len..];
        Some((code, value))
    }
}

/// Appends an OPT record of version 0 to `wire`; the caller counts it in the header.
pub fn append(wire: &mut Vec<u8>, udp_size: u16, rcode_high: u8, dnssec_ok: bool, options: &[u8]) {
    let [size_high, size_low] = udp_size.to_be_bytes();
    let flags = if dnssec_ok { 0x80 } else { 0 };
    let [len_high, len_low] = (options.len() as u16).to_be_bytes();
    wire.extend_from_slice(&[0, 0, 41, size_high, size_low, rcode_high, 0, flags, 0, len_high, len_low]);
    wire.extend_from_slice(options);
}

/// Codes of options (IANA's EDNS0 option codes).
#[allow(missing_docs, reason = "each is the registry's mnemonic")]
pub mod code {
    pub const NSID: u16 = 3;
    pub const CLIENT_SUBNET: u16 = 8;
    pub const EXPIRE: u16 = 9;
    pub const COOKIE: u16 = 10;
    pub const TCP_KEEPALIVE: u16 = 11;
    pub const PADDING: u16 = 12;
    pub const EDE: u16 = 15;
}
