//! Proofs that something is not there: NSEC (RFC 4035 3.1.3) and NSEC3 (RFC 5155 7.2).

use super::lookup::{Answer, Message, Owner, Question};
use super::node::Node;
use super::nsec3::{Nsec3, own_hash};
use super::table::Table;
use super::{Key, Keys, Order, Zone};
use crate::wire::{Name, NameHasher, Rtype, Section};

/// How a zone proves absence.
#[derive(Clone)]
pub(super) enum Denial {
    /// It does not.
    None,
    /// By NSEC records at the keys of these names.
    Nsec(Order),
    /// By NSEC3 records.
    Nsec3(Nsec3),
}

impl Denial {
    pub(super) fn of(origin: &Name, table: &Table, nsec3_table: &Table) -> Self {
        let Some(apex) = table.get(origin.as_bytes(), origin.hash_with(NameHasher::process())) else {
            return Self::None;
        };
        if let Some(nsec3) = Nsec3::of(&apex, origin, nsec3_table) {
            return Self::Nsec3(nsec3);
        }
        if apex.rrset(Rtype::NSEC).is_none() {
            return Self::None;
        }
        let mut keys: Vec<Key> = table
            .nodes()
            .filter(|node| node.rrset(Rtype::NSEC).is_some())
            .map(|node| Key::of(node.name()))
            .collect();
        keys.sort_unstable();
        let keys: Vec<&[u8]> = keys.iter().map(Key::as_bytes).collect();
        Self::Nsec(Order::from_sorted(&keys))
    }

    /// As it is in the zone `new` of which these nodes are different: each as it was and as it is.
    pub(super) fn changed(&self, new: &Zone, nodes: &[(Option<Node<'_>>, Option<Node<'_>>)]) -> Self {
        let apex = new.apex();
        let stays = match self {
            Self::None => false,
            Self::Nsec(_) => apex.is_some_and(|apex| {
                apex.rrset(Rtype::NSEC).is_some() && apex.rrset(Rtype::NSEC3PARAM).is_none()
            }),
            Self::Nsec3(nsec3) => {
                apex.and_then(|apex| apex.rrset(Rtype::NSEC3PARAM)).is_some_and(|announced| {
                    announced.rdata().next().and_then(super::nsec3::Params::of_rdata).as_ref()
                        == Some(nsec3.params())
                })
            }
        };
        if !stays {
            return Self::of(&new.origin, &new.table, &new.nsec3_table);
        }
        let (mut removed, mut added) = (Keys::new(), Keys::new());
        let key = |node: &Option<Node<'_>>| -> Option<Vec<u8>> {
            let node = node.as_ref()?;
            match self {
                Self::None => None,
                Self::Nsec(_) => node.rrset(Rtype::NSEC).map(|_| Key::of(node.name()).as_bytes().to_vec()),
                Self::Nsec3(nsec3) => own_hash(node, &new.origin, nsec3.params()).map(|hash| hash.to_vec()),
            }
        };
        for (old, new) in nodes {
            match (key(old), key(new)) {
                (Some(old), None) => _ = removed.insert(old),
                (None, Some(new)) => _ = added.insert(new),
                _ => {}
            }
        }
        match self {
            Self::Nsec(order) => Self::Nsec(order.changed(&removed, &added)),
            Self::Nsec3(nsec3) => Self::Nsec3(nsec3.changed(&removed, &added)),
            Self::None => Self::None,
        }
    }
}

/// The proofs of one answer: a record that serves several of them is sent once.
struct Proofs<'z> {
    sent: Vec<&'z [u8]>,
}

impl<'z> Proofs<'z> {
    /// Sends the NSEC or NSEC3 record of `node`.
    fn send(&mut self, answer: &mut Answer<'z>, node: &Node<'z>, rtype: Rtype, message: &mut impl Message) {
        let Some(rrset) = node.rrset(rtype) else { return };
        if !self.sent.contains(&node.name()) {
            self.sent.push(node.name());
            answer.put(Section::Authority, Owner::Name(node.name()), &rrset, message);
        }
    }
}

impl<'z> Answer<'z> {
    /// NODATA (RFC 2308 2.2) at `node`, or at the wildcard that it is if there is an `encloser`.
    pub(super) fn deny_type(
        &mut self,
        question: &Question<'_>,
        node: &Node<'z>,
        encloser: Option<usize>,
        message: &mut impl Message,
    ) {
        self.put_soa(message);
        if !self.dnssec_ok {
            return;
        }
        let mut proofs = self.proofs_of_expansions(message);
        let name = self.last_name(question).clone();
        match (&self.zone.denial, encloser) {
            (Denial::None, _) => {}
            // RFC 4035 3.1.3.1, 3.1.3.4; an empty non-terminal is covered by the name before it.
            (Denial::Nsec(_), encloser) => {
                if node.rrset(Rtype::NSEC).is_some() {
                    proofs.send(self, node, Rtype::NSEC, message);
                } else {
                    self.cover_name(node.name(), &mut proofs, message);
                }
                if encloser.is_some() {
                    self.cover_name(name.as_bytes(), &mut proofs, message);
                }
            }
            // RFC 5155 7.2.5.
            (Denial::Nsec3(_), Some(encloser)) => {
                self.prove_encloser(&name, encloser, &mut proofs, message);
                self.match_or_cover(node.name(), &mut proofs, message);
            }
            // RFC 5155 7.2.3, 7.2.4: without a record of its own the name is in a span that is left out.
            (Denial::Nsec3(_), None) => {
                if !self.match_hash(name.as_bytes(), &mut proofs, message) {
                    self.prove_closest_provable(&name, &mut proofs, message);
                }
            }
        }
    }

    /// NXDOMAIN (RFC 2308 2.1).
    pub(super) fn deny_name(&mut self, question: &Question<'_>, encloser: usize, message: &mut impl Message) {
        self.put_soa(message);
        if !self.dnssec_ok {
            return;
        }
        let mut proofs = self.proofs_of_expansions(message);
        let name = self.last_name(question).clone();
        let wildcard = [b"\x01*", name.ancestor(encloser)].concat();
        match &self.zone.denial {
            Denial::None => {}
            // RFC 4035 3.1.3.2.
            Denial::Nsec(_) => {
                self.cover_name(name.as_bytes(), &mut proofs, message);
                self.cover_name(&wildcard, &mut proofs, message);
            }
            // RFC 5155 7.2.2.
            Denial::Nsec3(_) => {
                self.prove_encloser(&name, encloser, &mut proofs, message);
                self.match_or_cover(&wildcard, &mut proofs, message);
            }
        }
    }

    /// That the names which wildcards stood for do not exist themselves (RFC 4035 3.1.3.3, RFC 5155 7.2.6).
    pub(super) fn prove_expansions(&mut self, message: &mut impl Message) {
        if !self.expanded.is_empty() {
            self.proofs_of_expansions(message);
        }
    }

    fn proofs_of_expansions(&mut self, message: &mut impl Message) -> Proofs<'z> {
        let mut proofs = Proofs { sent: Vec::new() };
        for (name, encloser) in std::mem::take(&mut self.expanded) {
            match self.zone.denial {
                Denial::None => {}
                Denial::Nsec(_) => self.cover_name(name.as_bytes(), &mut proofs, message),
                Denial::Nsec3(_) => self.match_or_cover(name.ancestor(encloser + 1), &mut proofs, message),
            }
        }
        proofs
    }

    /// That the delegation at `cut` has no DS records (RFC 4035 3.1.4.1, RFC 5155 7.2.7).
    pub(super) fn prove_unsigned(&mut self, cut: &Node<'z>, message: &mut impl Message) {
        let mut proofs = Proofs { sent: Vec::new() };
        match self.zone.denial {
            Denial::None => {}
            Denial::Nsec(_) => proofs.send(self, cut, Rtype::NSEC, message),
            Denial::Nsec3(_) => {
                if !self.match_hash(cut.name(), &mut proofs, message)
                    && let Ok((name, _)) = Name::parse_plain(cut.name(), 0)
                {
                    self.prove_closest_provable(&name, &mut proofs, message);
                }
            }
        }
    }

    /// The NSEC record in whose span `name` is.
    fn cover_name(&mut self, name: &[u8], proofs: &mut Proofs<'z>, message: &mut impl Message) {
        let zone = self.zone;
        let Denial::Nsec(order) = &zone.denial else { return };
        let Some(before) = order.at_or_before(Key::of(name).as_bytes()) else { return };
        if let Some(node) = zone.node(Key::name(before).as_bytes()) {
            proofs.send(self, &node, Rtype::NSEC, message);
        }
    }

    /// The closest encloser proof (RFC 5155 7.2.1): the encloser's record, and one that covers the next closer name.
    fn prove_encloser(
        &mut self,
        name: &Name,
        encloser: usize,
        proofs: &mut Proofs<'z>,
        message: &mut impl Message,
    ) {
        if self.match_hash(name.ancestor(encloser), proofs, message) {
            self.match_or_cover(name.ancestor(encloser + 1), proofs, message);
        } else {
            // The encloser is there for the sake of a delegation that was left out.
            self.prove_closest_provable(name, proofs, message);
        }
    }

    /// As [`Self::prove_encloser`] with the closest ancestor that has a record (RFC 5155 7.2.1, "closest provable encloser").
    fn prove_closest_provable(&mut self, name: &Name, proofs: &mut Proofs<'z>, message: &mut impl Message) {
        let origin = self.zone.origin.label_count();
        for labels in (origin..name.label_count()).rev() {
            if self.match_hash(name.ancestor(labels), proofs, message) {
                self.match_or_cover(name.ancestor(labels + 1), proofs, message);
                return;
            }
        }
    }

    /// Sends the NSEC3 record that matches `name`, if there is one.
    fn match_hash(&mut self, name: &[u8], proofs: &mut Proofs<'z>, message: &mut impl Message) -> bool {
        let zone = self.zone;
        let Denial::Nsec3(nsec3) = &zone.denial else { return false };
        let Some((node, true)) = nsec3.at_or_before(zone, name) else { return false };
        proofs.send(self, &node, Rtype::NSEC3, message);
        true
    }

    /// Sends the NSEC3 record that matches or covers `name`.
    fn match_or_cover(&mut self, name: &[u8], proofs: &mut Proofs<'z>, message: &mut impl Message) {
        let zone = self.zone;
        let Denial::Nsec3(nsec3) = &zone.denial else { return };
        if let Some((node, _)) = nsec3.at_or_before(zone, name) {
            proofs.send(self, &node, Rtype::NSEC3, message);
        }
    }
}
