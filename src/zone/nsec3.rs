//! Hashed denial of existence (RFC 5155).

use sha1::{Digest, Sha1};

use super::node::{Node, RecordOf};
use super::order::Order;
use super::table::Table;
use super::{Keys, Zone};
use crate::wire::{Name, NameHasher, Rtype};

/// Bytes of a hash: SHA-1 is the only algorithm there is (RFC 5155 11).
pub(super) const HASH_LEN: usize = 20;

/// Iterations that are still computed for a query. RFC 9276 3.2 wants none; what validators accept ends at 150 and less, so denials with
/// more would be of no use.
const ITERATIONS_MAX: u16 = 500;

/// How the names of a zone are hashed (RFC 5155 4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Params {
    /// Further rounds.
    pub(super) iterations: u16,
    /// What is mixed in.
    pub(super) salt: Box<[u8]>,
}

/// The chain of a zone.
#[derive(Clone)]
pub(super) struct Nsec3 {
    params: Params,
    hashes: Order,
}

/// Whether a record belongs to the chain's own names, which queries do not find: NSEC3 and its signatures.
pub(super) fn is_of_the_chain(rtype: Rtype, rdata: &[u8]) -> bool {
    RecordOf { rtype, rdata, ttl: 0 }.set() == Rtype::NSEC3
}

impl Params {
    /// What the RDATA of an NSEC3PARAM or NSEC3 record says; `None` if it is cut short or of another algorithm.
    pub(super) fn of_rdata(rdata: &[u8]) -> Option<Self> {
        let &[algorithm, _, i1, i2, salt_len, ref rest @ ..] = rdata else { return None };
        let salt = rest.get(..usize::from(salt_len))?;
        (algorithm == 1).then(|| Self { iterations: u16::from_be_bytes([i1, i2]), salt: salt.into() })
    }

    /// The hash of the lower-cased wire form `name` (RFC 5155 5).
    pub(super) fn hash(&self, name: &[u8]) -> [u8; HASH_LEN] {
        let round = |bytes: &[u8]| -> [u8; HASH_LEN] {
            Sha1::new().chain_update(bytes).chain_update(&self.salt).finalize().into()
        };
        (0..self.iterations).fold(round(name), |hash, _| round(&hash))
    }
}

impl Nsec3 {
    /// The chain that the NSEC3PARAM records of the apex announce (RFC 5155 7.1: one of them, and we take the first that has records).
    pub(super) fn of(apex: &Node<'_>, origin: &Name, table: &Table) -> Option<Self> {
        let announced = apex.rrset(Rtype::NSEC3PARAM)?;
        announced.rdata().filter_map(Params::of_rdata).filter(|p| p.iterations <= ITERATIONS_MAX).find_map(
            |params| {
                let mut hashes: Vec<[u8; HASH_LEN]> =
                    table.nodes().filter_map(|node| own_hash(&node, origin, &params)).collect();
                hashes.sort_unstable();
                hashes.dedup();
                let keys: Vec<&[u8]> = hashes.iter().map(<[u8; HASH_LEN]>::as_slice).collect();
                (!keys.is_empty()).then(|| Self { params, hashes: Order::from_sorted(&keys) })
            },
        )
    }

    /// As it is after changes of nodes.
    pub(super) fn changed(&self, removed: &Keys, added: &Keys) -> Self {
        Self { params: self.params.clone(), hashes: self.hashes.changed(removed, added) }
    }

    pub(super) const fn params(&self) -> &Params {
        &self.params
    }

    /// The node of the record that matches `name`, or of the one that covers its hash.
    pub(super) fn at_or_before<'z>(&self, zone: &'z Zone, name: &[u8]) -> Option<(Node<'z>, bool)> {
        let hash = self.params.hash(name);
        let found = self.hashes.at_or_before(&hash)?;
        let owner = owner(found, &zone.origin)?;
        let node = zone.nsec3_table.get(owner.as_bytes(), owner.hash_with(NameHasher::process()))?;
        Some((node, found == hash))
    }
}

/// The hash in the name of `node` if its record is of the chain with `params`.
pub(super) fn own_hash(node: &Node<'_>, origin: &Name, params: &Params) -> Option<[u8; HASH_LEN]> {
    let is_of_chain =
        node.rrset(Rtype::NSEC3)?.rdata().any(|rdata| Params::of_rdata(rdata).as_ref() == Some(params));
    let name = node.name();
    let label = name.get(1..1 + usize::from(name[0]))?;
    (is_of_chain && name.get(1 + label.len()..) == Some(origin.as_bytes()))
        .then(|| base32hex(label))
        .flatten()
}

/// The owner name of the record of that hash.
fn owner(hash: &[u8], origin: &Name) -> Option<Name> {
    let mut wire = Vec::with_capacity(33 + origin.as_bytes().len());
    wire.push(32);
    wire.extend_from_slice(&to_base32hex(hash.first_chunk()?));
    wire.extend_from_slice(origin.as_bytes());
    Name::parse_plain(&wire, 0).ok().map(|(name, _)| name)
}

/// The hash in base 32 with extended hex digits, lower-cased (RFC 4648 7).
pub(super) fn to_base32hex(hash: &[u8; HASH_LEN]) -> [u8; 32] {
    let mut text = [0; 32];
    for (group, out) in hash.chunks(5).zip(text.chunks_mut(8)) {
        let bits = group.iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
        for (place, digit) in out.iter_mut().enumerate() {
            *digit = b"0123456789abcdefghijklmnopqrstuv"[(bits >> (35 - 5 * place) & 31) as usize];
        }
    }
    text
}

fn base32hex(label: &[u8]) -> Option<[u8; HASH_LEN]> {
    if label.len() != 32 {
        return None;
    }
    let mut hash = [0; HASH_LEN];
    for (group, out) in label.chunks(8).zip(hash.chunks_mut(5)) {
        let bits = group.iter().try_fold(0u64, |bits, &digit| {
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'v' => digit - b'a' + 10,
                b'A'..=b'V' => digit - b'A' + 10,
                _ => return None,
            };
            Some(bits << 5 | u64::from(value))
        })?;
        out.copy_from_slice(&bits.to_be_bytes()[3..]);
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hash_as_in_the_rfc() {
        // RFC 5155 appendix A.
        let params = Params { iterations: 12, salt: [0xaa, 0xbb, 0xcc, 0xdd].into() };
        for (name, want) in [
            ("example", "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom"),
            ("a.example", "35mthgpgcu1qg68fab165klnsnk3dpvl"),
            ("*.w.example", "r53bq7cc2uvmubfu5ocmm6pers9tk9en"),
        ] {
            let name = Name::from_text(name).unwrap();
            let hash = params.hash(name.as_bytes());
            assert_eq!(to_base32hex(&hash), want.as_bytes());
            assert_eq!(base32hex(want.to_uppercase().as_bytes()), Some(hash));
        }
        assert_eq!(base32hex(b"0p9mhaveqvm6t7vbl5lop2u3t2rp3toz"), None);
        assert_eq!(base32hex(b"0p"), None);
    }

    #[test]
    fn parameters_are_read_with_care() {
        assert_eq!(Params::of_rdata(&[1, 0, 0, 2, 1, 9]), Some(Params { iterations: 2, salt: [9].into() }));
        for bad in [&[2, 0, 0, 0, 0][..], &[1, 0, 0, 0, 2, 1], &[1, 0, 0, 0], &[]] {
            assert_eq!(Params::of_rdata(bad), None, "{bad:?}");
        }
    }
}
