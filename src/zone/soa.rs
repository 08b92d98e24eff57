//! The SOA record (RFC 1035 3.3.13) and what of it goes into denials (RFC 2308 3).

use std::cmp::Ordering;

use super::node::{RECORD_HEADER_LEN, Rrset};

/// The numbers of a SOA record; all times in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Soa {
    /// The version of the zone, in the arithmetic of RFC 1982.
    pub serial: u32,
    /// How often a secondary asks for the serial.
    pub refresh: u32,
    /// How soon it asks again when it got no answer.
    pub retry: u32,
    /// How long it serves the zone without an answer.
    pub expire: u32,
    /// How long denials are kept, if the record's TTL is not less.
    pub minimum: u32,
    /// The record's own TTL.
    pub ttl: u32,
}

impl Soa {
    /// What the first record of `rrset` says; `None` if it is cut short.
    pub fn of(rrset: &Rrset<'_>) -> Option<Self> {
        Self::of_rdata(rrset.rdata().next()?, rrset.ttl())
    }

    /// What `rdata`, its names uncompressed, says.
    pub fn of_rdata(rdata: &[u8], ttl: u32) -> Option<Self> {
        let numbers = rdata.last_chunk::<20>()?;
        let number =
            |at: usize| u32::from_be_bytes([numbers[at], numbers[at + 1], numbers[at + 2], numbers[at + 3]]);
        Some(Self {
            serial: number(0),
            refresh: number(4),
            retry: number(8),
            expire: number(12),
            minimum: number(16),
            ttl,
        })
    }

    /// How long a denial is kept, seconds (RFC 2308 5).
    pub fn negative_ttl(&self) -> u32 {
        self.minimum.min(self.ttl)
    }
}

/// Compares serials (RFC 1982 3.2): `None` where neither is the greater one.
pub fn compare_serials(one: u32, two: u32) -> Option<Ordering> {
    match one.wrapping_sub(two) {
        0 => Some(Ordering::Equal),
        1..0x8000_0000 => Some(Ordering::Greater),
        0x8000_0000 => None,
        _ => Some(Ordering::Less),
    }
}

/// The SOA record as it stands in denials, with its signatures; encoded as records of nodes are.
#[derive(Clone)]
pub(super) struct Negative {
    pub(super) records: Box<[u8]>,
    pub(super) signature_count: u16,
    pub(super) signatures: Box<[u8]>,
}

impl Negative {
    pub(super) fn of(rrset: &Rrset<'_>, soa: &Soa) -> Self {
        let with_ttl = |records: &[u8]| {
            let mut all = Vec::with_capacity(records.len());
            for record in super::encoded(records) {
                let start = all.len();
                all.extend_from_slice(record);
                all[start + 6..start + RECORD_HEADER_LEN - 2]
                    .copy_from_slice(&soa.negative_ttl().to_be_bytes());
            }
            all.into_boxed_slice()
        };
        Self {
            records: with_ttl(rrset.records),
            signature_count: rrset.signature_count,
            signatures: with_ttl(rrset.signatures),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_go_round() {
        use Ordering::{Equal, Greater, Less};
        for (one, two, want) in [
            (1, 1, Some(Equal)),
            (2, 1, Some(Greater)),
            (0, u32::MAX, Some(Greater)),
            (1, 0x8000_0000, Some(Less)),
            (0, 0x8000_0000, None),
            (0x8000_0001, 1, None),
            (0x8000_0002, 1, Some(Less)),
        ] {
            assert_eq!(compare_serials(one, two), want, "{one} {two}");
        }
    }
}
