//! What a zone answers (RFC 1034 4.3.2): the node, or what stands in its place; then authority and additional records.

use super::node::{Node, Rrset, name_in};
use super::{Depths, Zone};
use crate::wire::{Class, Name, NameHasher, Rcode, Rtype, Section, compose};

/// Aliases of one answer at most, DNAME and CNAME together.
const ALIASES_MAX: usize = 16;

/// Targets whose addresses are added to one answer at most.
const TARGETS_MAX: usize = 64;

/// Where an answer is written. Sections come in their order.
pub trait Message {
    /// Appends `count` records, encoded as those of nodes are, of `owner`.
    fn put(&mut self, section: Section, owner: Owner<'_>, count: u16, records: &[u8]);
}

/// Whose records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner<'a> {
    /// The question's name, as the client spelled it.
    Question,
    /// This name, in uncompressed wire form.
    Name(&'a [u8]),
}

/// What is asked of a zone.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// The lower-cased QNAME, which is in the zone.
    pub name: &'a Name,
    /// Its hash under [`NameHasher::process`].
    pub hash: u64,
    /// QTYPE.
    pub qtype: Rtype,
    /// Whether DNSSEC records are wanted (RFC 3225).
    pub dnssec_ok: bool,
}

/// An answer whose answer section is written; [`Self::complete`] writes the rest.
pub struct Answer<'z> {
    pub(super) zone: &'z Zone,
    pub(super) dnssec_ok: bool,
    /// How it ends.
    pub end: End<'z>,
    /// The last name that was looked for, if aliases led away from the question's.
    pub(super) alias: Option<Name>,
    /// Names that exist by a wildcard alone, for whose own absence there has to be a proof; each with its closest encloser's label count.
    pub(super) expanded: Vec<(Name, usize)>,
    /// The wildcard that stood for the last name that no node had, in wire form.
    pub wildcard: Option<&'z [u8]>,
    /// Whether there are records in the answer section.
    pub has_answers: bool,
    /// Names in answers whose addresses are to be added.
    targets: Vec<Name>,
}

/// What is left to do of an answer whose end is outside the zone.
pub struct Paused {
    dnssec_ok: bool,
    expanded: Vec<(Name, usize)>,
}

/// How the way through a zone ends.
#[derive(Clone)]
#[allow(clippy::large_enum_variant, reason = "one for each answer, on the stack: a box would cost more")]
pub enum End<'z> {
    /// With records of the type.
    Found,
    /// With the zone's own NS records, which need not be said again in the authority section.
    FoundDelegationOfApex,
    /// At a name without records of the type (RFC 2308 2.2); `wildcard` if the node is the source of synthesis.
    NoData {
        /// The node, or the wildcard that stands for the name.
        node: Node<'z>,
        /// For a wildcard: label count of the closest encloser.
        encloser: Option<usize>,
    },
    /// At a name that does not exist (RFC 2308 2.1).
    NameError {
        /// Label count of the closest encloser.
        encloser: usize,
    },
    /// At a zone cut: another zone knows.
    Referral(Node<'z>),
    /// At an alias whose target is not in the zone.
    Outside(Name),
    /// At an alias that was passed before, or after too many of them.
    Loop,
    /// At a DNAME whose substitution makes a name that is too long (RFC 6672 2.2).
    TooLong,
}

/// What the labels of a name lead to.
enum Found<'z> {
    Node(Node<'z>),
    Wildcard(Node<'z>, usize),
    Cut(Node<'z>),
    Dname(Node<'z>, Rrset<'z>),
    Nothing(usize),
}

impl Zone {
    /// Writes the answer section for `question` into `message`.
    pub fn answer<'z>(&'z self, question: &Question<'_>, message: &mut impl Message) -> Answer<'z> {
        let mut answer = Answer {
            zone: self,
            dnssec_ok: question.dnssec_ok,
            end: End::Loop,
            alias: None,
            expanded: Vec::new(),
            wildcard: None,
            has_answers: false,
            targets: Vec::new(),
        };
        if let Some(end) = answer.step(question.name, question.hash, Owner::Question, question.qtype, message)
        {
            answer.end = end;
            return answer;
        }
        answer.follow(question, message);
        answer
    }

    /// Writes the authority section of an answer that was paused; `is_denial` if the target was denied.
    pub fn complete_paused(&self, paused: Paused, is_denial: bool, message: &mut impl Message) {
        let Paused { dnssec_ok, expanded } = paused;
        let mut answer = Answer {
            zone: self,
            dnssec_ok,
            end: End::Loop,
            alias: None,
            expanded,
            wildcard: None,
            has_answers: true,
            targets: Vec::new(),
        };
        answer.prove_expansions(message);
        if is_denial {
            answer.put_soa(message);
        } else {
            answer.put_apex_ns(message);
        }
    }

    /// The node of `name`, or what stands in its place (RFC 1034 4.3.2 step 3).
    fn find(&self, name: &Name, hash: u64, qtype: Rtype) -> Found<'_> {
        let labels = name.label_count();
        let origin = self.origin.label_count();
        // Step 3b, and DNAME (RFC 6672 3.2): from the apex down, at the depths where there is something of this kind at all.
        let hidden = self.cuts.mask & !(u128::MAX << labels);
        for depth in Depths::each(hidden) {
            let Some(node) = self.node(name.ancestor(depth)) else { continue };
            if depth > origin && node.rrset(Rtype::NS).is_some() {
                return Found::Cut(node);
            }
            if let Some(dname) = node.rrset(Rtype::DNAME) {
                return Found::Dname(node, dname);
            }
        }
        // Step 3a.
        if let Some(node) = self.table.get(name.as_bytes(), hash) {
            let may_be_cut = self.cuts.mask >> labels & 1 == 1 && labels > origin && qtype != Rtype::DS;
            if may_be_cut && node.rrset(Rtype::NS).is_some() {
                return Found::Cut(node);
            }
            return Found::Node(node);
        }
        // Step 3c: the closest encloser, and the wildcard below it (RFC 4592 3.3.1).
        let encloser =
            (origin..labels).rev().find_map(|depth| Some((depth, self.node(name.ancestor(depth))?)));
        let Some((depth, node)) = encloser else { return Found::Nothing(origin) };
        if self.wildcards > 0 && node.children() > 0 {
            let mut wildcard = [0; 2 + 255];
            let parent = node.name();
            wildcard[..2].copy_from_slice(b"\x01*");
            if let Some(rest) = wildcard.get_mut(2..2 + parent.len()) {
                rest.copy_from_slice(parent);
            }
            if let Some(source) = self.node(&wildcard[..2 + parent.len()]) {
                return Found::Wildcard(source, depth);
            }
        }
        Found::Nothing(depth)
    }
}

impl Depths {
    /// The depths of `mask`, the smallest first.
    fn each(mut mask: u128) -> impl Iterator<Item = usize> {
        std::iter::from_fn(move || {
            let depth = mask.trailing_zeros();
            (mask != 0).then(|| {
                mask &= mask - 1;
                depth as usize
            })
        })
    }
}

impl<'z> Answer<'z> {
    /// Looks for `name` and writes what it has; `None` if that is an alias, which is then in [`Self::alias`].
    fn step(
        &mut self,
        name: &Name,
        hash: u64,
        owner: Owner<'_>,
        qtype: Rtype,
        message: &mut impl Message,
    ) -> Option<End<'z>> {
        let (node, encloser) = match self.zone.find(name, hash, qtype) {
            Found::Node(node) => (node, None),
            Found::Wildcard(node, encloser) => {
                self.wildcard = Some(node.name());
                (node, Some(encloser))
            }
            Found::Cut(node) => return Some(End::Referral(node)),
            Found::Nothing(encloser) => return Some(End::NameError { encloser }),
            Found::Dname(node, dname) => return self.substitute(name, owner, qtype, &node, &dname, message),
        };
        if qtype == Rtype::ANY || qtype == Rtype::RRSIG {
            return Some(self.put_several(&node, encloser, name, owner, qtype, message));
        }
        if let Some(rrset) = node.rrset(qtype) {
            self.put(Section::Answer, owner, &rrset, message);
            self.note_expansion(name, encloser);
            self.note_targets(&rrset);
            let is_apex_ns = qtype == Rtype::NS && node.name() == self.zone.origin.as_bytes();
            return Some(if is_apex_ns { End::FoundDelegationOfApex } else { End::Found });
        }
        if let Some(cname) = node.rrset(Rtype::CNAME) {
            self.put(Section::Answer, owner, &cname, message);
            self.note_expansion(name, encloser);
            self.alias = cname.rdata().next().and_then(|rdata| name_in(rdata, 0));
            return if self.alias.is_some() { None } else { Some(End::Found) };
        }
        Some(End::NoData { node, encloser })
    }

    /// Goes from alias to alias as far as they lead inside the zone (RFC 1034 4.3.2 step 3a).
    fn follow(&mut self, question: &Question<'_>, message: &mut impl Message) {
        let mut passed = vec![question.name.clone()];
        while let Some(target) = self.alias.clone() {
            if passed.contains(&target) || passed.len() > ALIASES_MAX {
                self.end = End::Loop;
                return;
            }
            if !target.is_under(self.zone.origin.as_bytes()) {
                self.end = End::Outside(target);
                return;
            }
            let hash = target.hash_with(NameHasher::process());
            let owner = Owner::Name(target.as_bytes());
            if let Some(end) = self.step(&target, hash, owner, question.qtype, message) {
                self.end = end;
                return;
            }
            passed.push(target);
        }
    }

    /// Answers with a DNAME and the CNAME made of it (RFC 6672 3.2).
    fn substitute(
        &mut self,
        name: &Name,
        owner: Owner<'_>,
        qtype: Rtype,
        node: &Node<'z>,
        dname: &Rrset<'z>,
        message: &mut impl Message,
    ) -> Option<End<'z>> {
        self.put(Section::Answer, Owner::Name(node.name()), dname, message);
        let target = dname.rdata().next().unwrap_or(&[0]);
        let kept = name.as_bytes().len() - node.name().len();
        let alias = [&name.as_bytes()[..kept], target].concat();
        let Ok((alias, _)) = Name::parse_plain(&alias, 0) else { return Some(End::TooLong) };
        let mut cname = Vec::with_capacity(12 + alias.as_bytes().len());
        compose::record(
            &mut cname,
            compose::QUESTION,
            Rtype::CNAME,
            Class::IN,
            dname.ttl(),
            alias.as_bytes(),
        );
        message.put(Section::Answer, owner, 1, &cname);
        if qtype == Rtype::CNAME {
            return Some(End::Found);
        }
        self.alias = Some(alias);
        None
    }

    /// Answers a question for all records, or for all signatures.
    fn put_several(
        &mut self,
        node: &Node<'z>,
        encloser: Option<usize>,
        name: &Name,
        owner: Owner<'_>,
        qtype: Rtype,
        message: &mut impl Message,
    ) -> End<'z> {
        let mut any = false;
        for rrset in node.rrsets() {
            if qtype == Rtype::ANY && rrset.count > 0 {
                self.put(Section::Answer, owner, &rrset, message);
                any = true;
            }
            if qtype == Rtype::RRSIG && rrset.signature_count > 0 {
                message.put(Section::Answer, owner, rrset.signature_count, rrset.signatures);
                self.has_answers = true;
                any = true;
            }
        }
        if !any {
            return End::NoData { node: *node, encloser };
        }
        self.note_expansion(name, encloser);
        End::Found
    }

    /// Writes an RRset, with its signatures if they are wanted.
    pub(super) fn put(
        &mut self,
        section: Section,
        owner: Owner<'_>,
        rrset: &Rrset<'_>,
        message: &mut impl Message,
    ) {
        self.has_answers |= section == Section::Answer;
        message.put(section, owner, rrset.count, rrset.records);
        if self.dnssec_ok && rrset.signature_count > 0 {
            message.put(section, owner, rrset.signature_count, rrset.signatures);
        }
    }

    fn note_expansion(&mut self, name: &Name, encloser: Option<usize>) {
        if let Some(encloser) = encloser.filter(|_| self.dnssec_ok) {
            self.expanded.push((name.clone(), encloser));
        }
    }

    /// Keeps the names in `rrset` whose addresses are of use to who asked (RFC 1034 4.3.2 step 6, RFC 2782, RFC 9460 4.1).
    fn note_targets(&mut self, rrset: &Rrset<'_>) {
        let Some(at) = target_offset(rrset.rtype) else { return };
        for target in rrset.rdata().filter_map(|rdata| name_in(rdata, at)) {
            // The root stands for the owner in SVCB, and for "no such service" in SRV and MX.
            let is_of_use = target.is_under(self.zone.origin.as_bytes()) && !target.is_root();
            if is_of_use && self.targets.len() < TARGETS_MAX && !self.targets.contains(&target) {
                self.targets.push(target);
            }
        }
    }

    /// The last name that was looked for, if aliases led there.
    pub const fn alias(&self) -> Option<&Name> {
        self.alias.as_ref()
    }

    /// The code of the answer.
    pub const fn rcode(&self) -> Rcode {
        match self.end {
            End::NameError { .. } => Rcode::NXDOMAIN,
            End::TooLong => Rcode::YXDOMAIN,
            _ => Rcode::NOERROR,
        }
    }

    /// Whether the zone answers for itself (RFC 1035 4.1.1, AA): not with a referral alone.
    pub const fn is_authoritative(&self) -> bool {
        self.has_answers || !matches!(self.end, End::Referral(_))
    }

    /// Writes the authority and additional sections.
    pub fn complete(mut self, question: &Question<'_>, message: &mut impl Message) {
        match self.end.clone() {
            End::Found => {
                self.prove_expansions(message);
                self.put_apex_ns(message);
            }
            End::FoundDelegationOfApex => {}
            End::NoData { node, encloser } => self.deny_type(question, &node, encloser, message),
            End::NameError { encloser } => self.deny_name(question, encloser, message),
            End::Referral(cut) => {
                self.prove_expansions(message);
                self.refer(&cut, message);
            }
            End::Outside(_) | End::Loop | End::TooLong => self.prove_expansions(message),
        }
        self.put_addresses(message);
    }

    /// Leaves the answer where it is until the target of its last alias is known; [`Zone::complete_paused`] goes on.
    pub fn pause(self) -> Paused {
        Paused { dnssec_ok: self.dnssec_ok, expanded: self.expanded }
    }

    /// The zone's own NS records, which CoreDNS says with every answer.
    pub fn put_apex_ns(&mut self, message: &mut impl Message) {
        let zone = self.zone;
        if let Some(ns) = zone.apex().and_then(|apex| apex.rrset(Rtype::NS)) {
            self.put(Section::Authority, Owner::Name(zone.origin.as_bytes()), &ns, message);
        }
    }

    /// The SOA record of a denial (RFC 2308 3).
    pub fn put_soa(&self, message: &mut impl Message) {
        let (owner, negative) = (Owner::Name(self.zone.origin.as_bytes()), &self.zone.negative);
        message.put(Section::Authority, owner, 1, &negative.records);
        if self.dnssec_ok && negative.signature_count > 0 {
            message.put(Section::Authority, owner, negative.signature_count, &negative.signatures);
        }
    }

    /// The delegation at `cut`: its NS records, whether it is signed, and addresses.
    fn refer(&mut self, cut: &Node<'z>, message: &mut impl Message) {
        let Some(ns) = cut.rrset(Rtype::NS) else { return };
        message.put(Section::Authority, Owner::Name(cut.name()), ns.count, ns.records);
        if self.dnssec_ok {
            match cut.rrset(Rtype::DS) {
                Some(ds) => self.put(Section::Authority, Owner::Name(cut.name()), &ds, message),
                None => self.prove_unsigned(cut, message),
            }
        }
        self.targets.clear();
        self.note_targets(&ns);
        // Glue below the cut first: a client cannot go on without it (RFC 9471 3.1).
        self.targets.sort_by_key(|target| !target.is_under(cut.name()));
    }

    /// Addresses of the targets that were noted.
    fn put_addresses(&mut self, message: &mut impl Message) {
        let zone = self.zone;
        for target in std::mem::take(&mut self.targets) {
            let Some(node) = zone.node(target.as_bytes()) else { continue };
            for rtype in [Rtype::A, Rtype::AAAA] {
                if let Some(rrset) = node.rrset(rtype) {
                    self.put(Section::Additional, Owner::Name(target.as_bytes()), &rrset, message);
                }
            }
        }
    }

    /// The last name that was looked for.
    pub(super) fn last_name<'a>(&'a self, question: &'a Question<'_>) -> &'a Name {
        self.alias.as_ref().unwrap_or(question.name)
    }
}

/// Where in RDATA the name stands whose addresses go along; `None` for types without one.
const fn target_offset(rtype: Rtype) -> Option<usize> {
    match rtype {
        Rtype::NS => Some(0),
        Rtype::MX | Rtype::SVCB | Rtype::HTTPS => Some(2),
        Rtype::SRV => Some(6),
        _ => None,
    }
}
