//! A name of a zone with its RRsets, as bytes.
//!
//! ```text
//!  node:  │len│name, wire form│children, 4│RRsets, 2│ RRset │ RRset │ …
//!  RRset: │type, 2│records, 2│their bytes, 4│signatures, 2│their bytes, 4│ records │ signatures │
//! ```
//!
//! Records are encoded as they are sent, their owner a pointer to the question: to answer is to copy them. Signatures (RRSIG) stand with what
//! they cover.

use crate::wire::{Class, Name, Rtype, compose};

/// Bytes of an RRset before its records.
const RRSET_HEADER_LEN: usize = 14;

/// Bytes of a record before its RDATA: the pointer, type, class, TTL and length.
pub(super) const RECORD_HEADER_LEN: usize = 12;

/// A node where it stands in its page.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    name: &'a [u8],
    children: u32,
    rrset_count: u16,
    rrsets: &'a [u8],
}

/// An RRset of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rrset<'a> {
    /// Its type.
    pub rtype: Rtype,
    /// How many records it has; none where only signatures stand.
    pub count: u16,
    /// The records, encoded, each with a pointer to the question as its owner.
    pub records: &'a [u8],
    /// How many signatures cover it.
    pub signature_count: u16,
    /// The RRSIG records that cover it, encoded as the records are.
    pub signatures: &'a [u8],
}

impl<'a> Node<'a> {
    /// The node that begins `bytes`.
    #[inline]
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (&len, rest) = bytes.split_first()?;
        let (name, rest) = rest.split_at_checked(len.into())?;
        let (fixed, rrsets) = rest.split_first_chunk::<6>()?;
        let [c1, c2, c3, c4, n1, n2] = *fixed;
        Some(Self {
            name,
            children: u32::from_le_bytes([c1, c2, c3, c4]),
            rrset_count: u16::from_le_bytes([n1, n2]),
            rrsets,
        })
    }

    /// The owner name: lower-cased, uncompressed.
    pub const fn name(&self) -> &'a [u8] {
        self.name
    }

    /// How many names there are one label below this one.
    pub const fn children(&self) -> u32 {
        self.children
    }

    /// Whether the name has no records: it is there for the sake of those below it (RFC 8499 "empty non-terminal").
    pub const fn is_empty(&self) -> bool {
        self.rrset_count == 0
    }

    /// Its RRsets, ordered by type.
    #[inline]
    pub fn rrsets(&self) -> Rrsets<'a> {
        Rrsets { left: self.rrset_count, rest: self.rrsets }
    }

    /// The RRset of that type; `None` also where only its signatures stand.
    #[inline]
    pub fn rrset(&self, rtype: Rtype) -> Option<Rrset<'a>> {
        self.rrsets()
            .find(|rrset| rrset.rtype >= rtype)
            .filter(|rrset| rrset.rtype == rtype && rrset.count > 0)
    }
}

/// The RRsets of a node.
#[derive(Clone)]
pub struct Rrsets<'a> {
    left: u16,
    rest: &'a [u8],
}

impl<'a> Iterator for Rrsets<'a> {
    type Item = Rrset<'a>;

    #[inline]
    fn next(&mut self) -> Option<Rrset<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (fixed, rest) = self.rest.split_first_chunk::<RRSET_HEADER_LEN>()?;
        let [t1, t2, n1, n2, l1, l2, l3, l4, s1, s2, m1, m2, m3, m4] = *fixed;
        let (records, rest) = rest.split_at_checked(u32::from_le_bytes([l1, l2, l3, l4]) as usize)?;
        let (signatures, rest) = rest.split_at_checked(u32::from_le_bytes([m1, m2, m3, m4]) as usize)?;
        self.rest = rest;
        Some(Rrset {
            rtype: Rtype(u16::from_le_bytes([t1, t2])),
            count: u16::from_le_bytes([n1, n2]),
            records,
            signature_count: u16::from_le_bytes([s1, s2]),
            signatures,
        })
    }
}

impl<'a> Rrset<'a> {
    /// The TTL of its records, seconds (RFC 2181 5.2: they have the same); 0 without records.
    pub fn ttl(&self) -> u32 {
        self.records.get(6..10).map_or(0, |ttl| u32::from_be_bytes([ttl[0], ttl[1], ttl[2], ttl[3]]))
    }

    /// The RDATA of its records, names in it uncompressed.
    pub fn rdata(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        encoded(self.records).map(|record| &record[RECORD_HEADER_LEN..])
    }

    /// The RDATA of its signatures.
    pub fn signature_rdata(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        encoded(self.signatures).map(|record| &record[RECORD_HEADER_LEN..])
    }
}

/// The records in `bytes`, one after the other, each with its header.
pub fn encoded(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let &[l1, l2] = rest.get(RECORD_HEADER_LEN - 2..RECORD_HEADER_LEN)? else { return None };
        let len = RECORD_HEADER_LEN + usize::from(u16::from_be_bytes([l1, l2]));
        let (record, after) = rest.split_at_checked(len)?;
        rest = after;
        Some(record)
    })
}

/// A record as it is given to whoever writes nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordOf<'a> {
    /// Its type.
    pub rtype: Rtype,
    /// Its RDATA, names in it uncompressed.
    pub rdata: &'a [u8],
    /// Its TTL, seconds.
    pub ttl: u32,
}

impl RecordOf<'_> {
    /// The type of the RRset that the record stands with: for a signature, that of what it covers.
    pub fn set(&self) -> Rtype {
        match (self.rtype, self.rdata) {
            (Rtype::RRSIG, &[t1, t2, ..]) => Rtype(u16::from_be_bytes([t1, t2])),
            (rtype, _) => rtype,
        }
    }
}

/// Writes the node of `name` behind `out`. `records` are sorted by [`RecordOf::set`]; within a set they keep their order.
pub(super) fn write(out: &mut Vec<u8>, name: &[u8], children: u32, records: &[RecordOf<'_>]) {
    out.push(name.len() as u8);
    out.extend_from_slice(name);
    out.extend_from_slice(&children.to_le_bytes());
    let count_at = out.len();
    out.extend_from_slice(&[0; 2]);
    let mut sets = 0u16;
    for set in records.chunk_by(|a, b| a.set() == b.set()) {
        sets += 1;
        write_rrset(out, set);
    }
    out[count_at..count_at + 2].copy_from_slice(&sets.to_le_bytes());
}

fn write_rrset(out: &mut Vec<u8>, set: &[RecordOf<'_>]) {
    let start = out.len();
    out.extend_from_slice(&[0; RRSET_HEADER_LEN]);
    let rtype = set[0].set();
    let of = |signature: bool| {
        set.iter().filter(move |r| (r.rtype == Rtype::RRSIG && rtype != Rtype::RRSIG) == signature)
    };
    // The records of an RRset have one TTL; where a source gives several, the lowest is right for all of them.
    let ttl = of(false).map(|record| record.ttl).min().unwrap_or_default();
    let mut counts = [0u16; 2];
    let mut lengths = [0u32; 2];
    for (signature, (count, length)) in [false, true].into_iter().zip(counts.iter_mut().zip(&mut lengths)) {
        let before = out.len();
        for record in of(signature) {
            *count += 1;
            let ttl = if signature { record.ttl } else { ttl };
            compose::record(out, compose::QUESTION, record.rtype, Class::IN, ttl, record.rdata);
        }
        *length = (out.len() - before) as u32;
    }
    let header = &mut out[start..start + RRSET_HEADER_LEN];
    header[..2].copy_from_slice(&rtype.0.to_le_bytes());
    header[2..4].copy_from_slice(&counts[0].to_le_bytes());
    header[4..8].copy_from_slice(&lengths[0].to_le_bytes());
    header[8..10].copy_from_slice(&counts[1].to_le_bytes());
    header[10..14].copy_from_slice(&lengths[1].to_le_bytes());
}

/// The records of a node, signatures behind what they cover.
pub fn records_of<'a>(node: &Node<'a>) -> impl Iterator<Item = RecordOf<'a>> + use<'a> {
    node.rrsets().flat_map(|rrset| encoded(rrset.records).chain(encoded(rrset.signatures))).map(|record| {
        RecordOf {
            rtype: Rtype(u16::from_be_bytes([record[2], record[3]])),
            ttl: u32::from_be_bytes([record[6], record[7], record[8], record[9]]),
            rdata: &record[RECORD_HEADER_LEN..],
        }
    })
}

/// The name in `rdata` from `at` on, as a whole.
pub(super) fn name_in(rdata: &[u8], at: usize) -> Option<Name> {
    Name::parse_plain(rdata, at).ok().map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_says_what_was_written() {
        let sig = |covered: u8| vec![0, covered, 9, 9];
        let (sig_a, sig_ns) = (sig(1), sig(2));
        let records = [
            RecordOf { rtype: Rtype::A, rdata: &[192, 0, 2, 2], ttl: 300 },
            RecordOf { rtype: Rtype::A, rdata: &[192, 0, 2, 1], ttl: 60 },
            RecordOf { rtype: Rtype::RRSIG, rdata: &sig_a, ttl: 60 },
            RecordOf { rtype: Rtype::RRSIG, rdata: &sig_ns, ttl: 5 },
            RecordOf { rtype: Rtype::TXT, rdata: b"\x01x", ttl: 7 },
        ];
        let mut bytes = vec![9];
        write(&mut bytes, b"\x01a\x00", 3, &records);
        let node = Node::read(&bytes[1..]).unwrap();
        assert_eq!((node.name(), node.children(), node.is_empty()), (&b"\x01a\x00"[..], 3, false));
        let a = node.rrset(Rtype::A).unwrap();
        assert_eq!((a.count, a.signature_count, a.ttl()), (2, 1, 60));
        assert_eq!(a.rdata().collect::<Vec<_>>(), [&[192, 0, 2, 2], &[192, 0, 2, 1]]);
        assert_eq!(a.signature_rdata().collect::<Vec<_>>(), [&sig_a]);
        assert_eq!(node.rrset(Rtype::NS), None, "a signature makes no RRset");
        assert_eq!(node.rrset(Rtype::TXT).unwrap().rdata().collect::<Vec<_>>(), [b"\x01x"]);
        assert_eq!(node.rrset(Rtype::AAAA), None);
        let mut want = records.to_vec();
        want[0].ttl = 60;
        assert_eq!(records_of(&node).collect::<Vec<_>>(), want);
    }

    #[test]
    fn cut_bytes_are_no_node() {
        let mut bytes = Vec::new();
        write(&mut bytes, b"\x01a\x00", 0, &[RecordOf { rtype: Rtype::A, rdata: &[1, 2, 3, 4], ttl: 1 }]);
        for len in 0..bytes.len() {
            assert!(Node::read(&bytes[..len]).is_none_or(|node| node.rrset(Rtype::A).is_none()), "{len}");
        }
    }
}
