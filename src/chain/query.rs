//! A query on its way through the chain.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::{Extensions, Labels, Metadata, Mono};
use crate::wire::query::{self as wire_query, Facts, Rejection};
use crate::wire::{Class, Edns, Flags, Name, NameHasher, Opcode, Rtype, edns, header, size};

/// How the query came; CoreDNS knows UDP and TCP, everything over a stream counts as the latter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Datagrams: answers have to fit, sources can be forged.
    Udp,
    /// A stream.
    Tcp,
}

impl Transport {
    /// `udp` or `tcp`, as logs and metrics say it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

/// Small numbers a plugin may keep with a query, by the place [`super::Setup::mark`] gave it.
const MARKS: usize = 8;

/// The question, and everything known about who asks: owned, and reused by its worker from query to query.
pub struct Query {
    wire: Vec<u8>,
    name: Name,
    hash: u64,
    facts: Facts,
    /// How it came.
    pub transport: Transport,
    /// Who asks.
    pub peer: SocketAddr,
    /// The address of ours that was asked.
    pub local: SocketAddr,
    /// When the batch it came in was taken up. Enough for TTLs; for durations read [`super::clock::now`].
    pub now: Mono,
    /// The listener, and the zone and view of the block that was chosen: the one copy, see [`super::intern_labels`].
    pub labels: &'static Labels,
    marks: [u64; MARKS],
    /// What plugins remember with it.
    pub extensions: Extensions,
    metadata: Option<Box<Metadata>>,
}

impl Default for Query {
    fn default() -> Self {
        let nobody = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        Self {
            wire: Vec::new(),
            name: Name::root(),
            hash: 0,
            facts: Facts {
                flags: Flags(0),
                qtype: Rtype(0),
                qclass: Class::IN,
                question_end: header::HEADER_LEN,
                edns: None,
            },
            transport: Transport::Udp,
            peer: nobody,
            local: nobody,
            now: Mono(0),
            labels: &Labels { server: "", zone: "", view: "" },
            marks: [0; MARKS],
            extensions: Extensions::default(),
            metadata: None,
        }
    }
}

impl Query {
    /// Takes up the message `wire`, in place of the query that was here.
    ///
    /// # Errors
    /// How the message is met if it is no acceptable query.
    pub fn take_up(&mut self, wire: &[u8]) -> Result<(), Rejection> {
        self.facts = wire_query::accept(wire, &mut self.name)?;
        self.hash = self.name.hash_with(NameHasher::process());
        self.wire.clear();
        self.wire.extend_from_slice(wire);
        self.extensions.clear();
        self.metadata = None;
        Ok(())
    }

    /// A query of our own: `name` as presentation-independent wire name, with the header flags, DO bit and EDNS of this one; everything about
    /// the client is kept, marks and extensions are not.
    #[must_use]
    pub fn asking(&self, name: &Name, qtype: Rtype) -> Self {
        let mut wire = Vec::with_capacity(self.wire.len() + name.as_bytes().len());
        wire.extend_from_slice(&self.wire[..header::HEADER_LEN]);
        wire.extend_from_slice(name.as_bytes());
        let question_end = wire.len() + 4;
        wire.extend_from_slice(&qtype.0.to_be_bytes());
        wire.extend_from_slice(&self.facts.qclass.0.to_be_bytes());
        header::set_count(&mut wire, 1, 0);
        header::set_count(&mut wire, 2, 0);
        header::set_count(&mut wire, 3, 0);
        let edns = self.facts.edns.as_ref().map(|edns| {
            header::set_count(&mut wire, 3, 1);
            let options = self.wire.get(edns.options.clone()).unwrap_or_default();
            let start = wire.len() + edns::OPT_LEN;
            edns::append(&mut wire, edns.udp_size, 0, edns.dnssec_ok(), options);
            Edns { options: start..wire.len(), ..edns.clone() }
        });
        Self {
            wire,
            hash: name.hash_with(NameHasher::process()),
            name: name.clone(),
            facts: Facts { qtype, question_end, edns, ..self.facts.clone() },
            marks: [0; MARKS],
            extensions: Extensions::default(),
            metadata: None,
            ..*self
        }
    }

    /// A copy of this query for a task of its own (a refresh, a verification): marks and extensions start empty.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self {
            wire: self.wire.clone(),
            name: self.name.clone(),
            facts: self.facts.clone(),
            marks: [0; MARKS],
            extensions: Extensions::default(),
            metadata: None,
            ..*self
        }
    }

    /// As [`Self::fork`], for a copy that asks queries of its own: it is as deep as this one.
    #[must_use]
    pub(super) fn fork_at_depth(&self) -> Self {
        let mut fork = self.fork();
        if let Some(depth) = self.extensions.get::<super::driver::Depth>() {
            fork.extensions.insert(*depth);
        }
        fork
    }

    /// The message as received. Its case, ID and options are the client's.
    pub fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// Changes the header flags of the query as plugins below will see them (and forward will send them).
    pub fn set_flags(&mut self, flags: Flags) {
        self.facts.flags = flags;
        flags.write(&mut self.wire);
    }

    /// The length of the message with all names written out and without what stands behind its last record, bytes: what `log` and
    /// metrics show.
    pub fn uncompressed_size(&self) -> usize {
        let [_, answers, authorities, additionals] = header::counts(&self.wire);
        match (answers, authorities, additionals, &self.facts.edns) {
            (0, 0, 0, _) => self.facts.question_end,
            (0, 0, 1, Some(edns)) => edns.options.end,
            _ => size::uncompressed(&self.wire).unwrap_or(self.wire.len()),
        }
    }

    /// The lower-cased QNAME.
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// The QNAME's hash under [`NameHasher::process`].
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    /// The ID.
    pub fn id(&self) -> u16 {
        header::id(&self.wire)
    }

    /// The header's flags.
    pub const fn flags(&self) -> Flags {
        self.facts.flags
    }

    /// The opcode: QUERY or NOTIFY.
    pub const fn opcode(&self) -> Opcode {
        self.facts.flags.opcode()
    }

    /// QTYPE.
    pub const fn qtype(&self) -> Rtype {
        self.facts.qtype
    }

    /// QCLASS.
    pub const fn qclass(&self) -> Class {
        self.facts.qclass
    }

    /// The offset behind the question in [`Self::wire`].
    pub const fn question_end(&self) -> usize {
        self.facts.question_end
    }

    /// The client's OPT record.
    pub const fn edns(&self) -> Option<&Edns> {
        self.facts.edns.as_ref()
    }

    /// Lowers the payload size in the client's OPT record to `size` bytes, for the answer and for upstreams alike. A query whose OPT
    /// record says less, or that has none, stays as it is.
    pub fn limit_udp_size(&mut self, size: u16) {
        let Some(edns) = self.facts.edns.as_mut().filter(|edns| edns.udp_size > size) else { return };
        edns.udp_size = size;
        // It stands where other records have their class (RFC 6891 6.1.2): behind the root and the type.
        let start = edns.options.start.saturating_sub(edns::OPT_LEN) + 3;
        if let Some(place) = self.wire.get_mut(start..start + 2) {
            place.copy_from_slice(&size.to_be_bytes());
        }
    }

    /// True if the client wants DNSSEC records.
    pub fn dnssec_ok(&self) -> bool {
        self.facts.edns.as_ref().is_some_and(Edns::dnssec_ok)
    }

    /// The largest answer the client takes, bytes: what its OPT says over UDP, at least 512; 65,535 over a stream.
    pub fn payload_size(&self) -> u16 {
        match self.transport {
            Transport::Tcp => u16::MAX,
            Transport::Udp => self.facts.edns.as_ref().map_or(512, Edns::payload_size),
        }
    }

    /// The number kept at `mark`.
    pub fn mark(&self, mark: usize) -> u64 {
        self.marks[mark % MARKS]
    }

    /// Keeps a number at `mark`, a place of the plugin's own (see [`super::Setup::mark`]).
    pub fn set_mark(&mut self, mark: usize, value: u64) {
        self.marks[mark % MARKS] = value;
    }

    /// How many places for marks there are in a block.
    pub const fn marks() -> usize {
        MARKS
    }

    /// The labels of the query; `None` in a block without the `metadata` plugin.
    pub fn metadata(&self) -> Option<&Metadata> {
        self.metadata.as_deref()
    }

    /// The labels of the query, to add to.
    pub fn metadata_mut(&mut self) -> Option<&mut Metadata> {
        self.metadata.as_deref_mut()
    }

    /// Starts collecting labels.
    pub(super) fn set_metadata(&mut self, labels: Metadata) {
        self.metadata = Some(Box::new(labels));
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{edns_of, query, query_of, query_wire};
    use super::*;

    #[test]
    fn the_payload_size_is_lowered_and_never_raised() {
        for (asked, dnssec_ok, limit, want) in
            [(4096, true, 1232, 1232), (1232, false, 1232, 1232), (512, true, 1232, 512), (0, false, 600, 0)]
        {
            let mut query = query_of(&query_wire("a.example.", Rtype::A, Some((asked, dnssec_ok))));
            query.limit_udp_size(limit);
            let fresh = query_of(query.wire());
            assert_eq!(edns_of(&query), edns_of(&fresh), "the bytes say what is known of them");
            assert_eq!((edns_of(&fresh).udp_size, fresh.dnssec_ok()), (want, dnssec_ok));
            assert_eq!(edns_of(&query.asking(&Name::root(), Rtype::A)).udp_size, want);
        }
        let mut plain = query("a.example.", Rtype::A);
        plain.limit_udp_size(600);
        assert_eq!((plain.wire(), plain.edns()), (&query_wire("a.example.", Rtype::A, None)[..], None));
    }
}
