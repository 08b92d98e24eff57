//! The answer on its way up: wire form first.

use super::{Failure, Query};
use crate::wire::{
    Class, Flags, Outcome, Rcode, Rtype, Section, WireError, compose, compress, edns, header, patch, record,
    size,
};

/// What became of the query so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nobody has answered yet.
    Empty,
    /// The wire form is an answer.
    Written,
    /// A plugin failed without writing: the server writes an empty answer with this code if it is SERVFAIL, REFUSED, FORMERR or NOTIMP.
    Failed(Rcode),
    /// Nothing is to be sent.
    Dropped,
}

/// A response in wire form, without its OPT record: what that would carry is kept beside it and written when the size is known.
///
/// Invariant: a written response is a header, the question of its query, and whole records.
pub struct Response {
    wire: Vec<u8>,
    state: State,
    /// The upper bits of a code over 15.
    rcode_high: u8,
    /// Options for the client's OPT record, as on the wire; sent only to clients that sent one.
    options: Option<Vec<u8>>,
    /// The size with all names written out; 0 if not known.
    size: u32,
    failure: Option<Failure>,
    by: &'static str,
    place: u16,
}

impl Default for Response {
    fn default() -> Self {
        Self {
            wire: Vec::new(),
            state: State::Empty,
            rcode_high: 0,
            options: None,
            size: 0,
            failure: None,
            by: "",
            place: NO_PLACE,
        }
    }
}

impl Response {
    /// Forgets everything but the space.
    pub fn clear(&mut self) {
        self.wire.clear();
        self.state = State::Empty;
        self.rcode_high = 0;
        self.options = None;
        self.size = 0;
        self.failure = None;
        self.by = "";
        self.place = NO_PLACE;
    }

    /// Starts an answer to `query`: its question, QR, RD and CD as asked, AA if `authoritative`, and `rcode`. Records follow with [`Self::push`] or
    /// [`Self::extend`].
    pub fn start(&mut self, query: &Query, authoritative: bool, rcode: Rcode) {
        let flags = compose::reply_flags(query.flags()).with(Flags::AA, authoritative).with_rcode(rcode);
        compose::start(&mut self.wire, query.wire(), query.question_end(), flags);
        self.state = State::Written;
        self.rcode_high = (rcode.0 >> 4) as u8;
        self.options = None;
        self.size = self.wire.len() as u32;
    }

    /// Appends a record to `section`; records must come in the order of the sections. `owner` is an uncompressed wire name, or `None` for the
    /// query's own name; names in `rdata` must not be compressed.
    pub fn push(
        &mut self,
        section: Section,
        owner: Option<&[u8]>,
        rtype: Rtype,
        class: Class,
        ttl: u32,
        rdata: &[u8],
    ) {
        let owner_len = owner.map_or(self.question_name_len(), <[u8]>::len);
        compose::record(&mut self.wire, owner.unwrap_or(compose::QUESTION), rtype, class, ttl, rdata);
        self.size += (owner_len + 10 + rdata.len()) as u32;
        self.count(section, 1);
    }

    /// Appends `n` records to the answer section that are encoded already; `uncompressed` is their size with all names written out. Their
    /// names may point to the question and nowhere else.
    pub fn extend(&mut self, section: Section, n: u16, encoded: &[u8], uncompressed: usize) {
        self.wire.extend_from_slice(encoded);
        self.size += uncompressed as u32;
        self.count(section, n);
    }

    /// As [`Self::extend`], with `owner`, a wire name or a pointer into the question, in the place of each record's first two bytes.
    pub fn extend_as<'r>(
        &mut self,
        section: Section,
        n: u16,
        encoded: impl Iterator<Item = &'r [u8]>,
        owner: &[u8],
        uncompressed: usize,
    ) {
        for record in encoded {
            self.wire.extend_from_slice(owner);
            self.wire.extend_from_slice(record.get(2..).unwrap_or_default());
        }
        self.size += uncompressed as u32;
        self.count(section, n);
    }

    fn count(&mut self, section: Section, n: u16) {
        let index = section as usize + 1;
        let counts = header::counts(&self.wire);
        header::set_count(&mut self.wire, index, counts[index].saturating_add(n));
    }

    fn question_name_len(&self) -> usize {
        let end = crate::wire::Name::skip(&self.wire, header::HEADER_LEN).unwrap_or(header::HEADER_LEN);
        end - header::HEADER_LEN
    }

    /// Makes this the message `wire` as it came from an upstream or a cache, its OPT record taken out and kept beside it.
    ///
    /// # Errors
    /// [`WireError`] if it is no well-formed message; what was written here is then gone.
    pub fn set_wire(&mut self, wire: &[u8]) -> Result<(), WireError> {
        let mut message = std::mem::take(&mut self.wire);
        message.clear();
        message.extend_from_slice(wire);
        self.adopt(message)
    }

    /// As [`Self::set_wire`], for a message that is owned already.
    ///
    /// # Errors
    /// As [`Self::set_wire`].
    pub fn adopt(&mut self, mut message: Vec<u8>) -> Result<(), WireError> {
        let uncompressed = size::uncompressed(&message)?;
        let opt = patch::take_opt(&mut message)?;
        self.wire = message;
        self.size = uncompressed as u32;
        self.rcode_high = opt.as_deref().map_or(0, |o| o[5]);
        self.options = opt.map(|mut o| o.split_off(edns::OPT_LEN));
        self.state = State::Written;
        Ok(())
    }

    /// Makes this the encoded message `wire`, which has no OPT record and, with all names written out, is of `uncompressed` bytes: for caches
    /// that keep answers in this form.
    pub fn set_encoded(&mut self, wire: &[u8], uncompressed: u32) {
        self.wire.clear();
        self.wire.extend_from_slice(wire);
        self.rcode_high = 0;
        self.options = None;
        self.size = uncompressed;
        self.state = State::Written;
    }

    /// Takes the authority and additional sections away from a written response, and with them the OPT record that it came with.
    ///
    /// # Errors
    /// [`WireError`] if it is no well-formed message; it is then unchanged.
    pub fn keep_answers_alone(&mut self) -> Result<(), WireError> {
        let [_, answers, authorities, additionals] = header::counts(&self.wire);
        if authorities == 0 && additionals == 0 && self.options.is_none() {
            return Ok(());
        }
        let mut end = record::questions_end(&self.wire)?;
        for _ in 0..answers {
            end = record::skip(&self.wire, end)?;
        }
        // Pointers lead backwards, so no answer has a part of its names in what goes.
        self.wire.truncate(end);
        header::set_count(&mut self.wire, 2, 0);
        header::set_count(&mut self.wire, 3, 0);
        self.options = None;
        self.measure();
        Ok(())
    }

    /// What a written response comes to. Where it is signed, the dates of its signatures count; `unix_time`, in seconds, is asked for then.
    pub fn outcome(&self, query: &Query, unix_time: impl FnOnce() -> u64) -> Outcome {
        // As CoreDNS, which looks for DO in the response's own OPT record, where an upstream echoes it.
        let signed = query.dnssec_ok() && self.options.is_some();
        Outcome::of(&self.wire, self.rcode().unwrap_or_default(), signed.then(unix_time))
    }

    /// Nothing was or will be written by plugins: the server answers with `rcode`.
    pub fn fail(&mut self, rcode: Rcode, failure: Option<Failure>) {
        self.clear();
        self.state = State::Failed(rcode);
        self.failure = failure;
    }

    /// Nothing is sent.
    pub fn drop_silently(&mut self) {
        self.clear();
        self.state = State::Dropped;
    }

    /// What became of the query so far.
    pub const fn state(&self) -> State {
        self.state
    }

    /// True if there is an answer in wire form.
    pub const fn is_written(&self) -> bool {
        matches!(self.state, State::Written)
    }

    /// The answer's code, or the one it failed with; `None` if nothing is or will be sent.
    pub fn rcode(&self) -> Option<Rcode> {
        match self.state {
            State::Written => Some(Rcode(Flags::of(&self.wire).rcode().0 | u16::from(self.rcode_high) << 4)),
            State::Failed(rcode) => Some(rcode),
            State::Empty | State::Dropped => None,
        }
    }

    /// The flags of the answer.
    pub fn flags(&self) -> Flags {
        Flags::of(&self.wire)
    }

    /// Changes the flags of the answer (the code in them included).
    pub fn set_flags(&mut self, flags: Flags) {
        flags.write(&mut self.wire);
    }

    /// The answer as it stands, without OPT record; empty if not written.
    pub fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// The answer's bytes, to change in place (TTLs, flags, order of equal-sized records) but not in length.
    pub fn wire_mut(&mut self) -> &mut [u8] {
        &mut self.wire
    }

    /// The answer's bytes for the server, which finishes them: truncates, appends the OPT record.
    pub fn wire_vec(&mut self) -> &mut Vec<u8> {
        &mut self.wire
    }

    /// The size of the answer with all names written out and with the OPT record it came with, bytes: what `log` shows. 0 if
    /// nothing is written.
    pub fn uncompressed_size(&self) -> usize {
        self.size as usize
    }

    /// The length of the OPT record that `query`'s client gets, bytes; 0 if it sent none.
    pub fn opt_len(&self, query: &Query) -> usize {
        if query.edns().is_some() { edns::OPT_LEN + self.options().map_or(0, <[u8]>::len) } else { 0 }
    }

    /// Whether this is more than `query`'s client takes, its OPT record included: the server will compress it, and cut it if that is not
    /// enough.
    pub fn is_too_large_for(&self, query: &Query) -> bool {
        self.wire.len() + self.opt_len(query) > usize::from(query.payload_size())
    }

    /// Whether the server will have to cut this for `query`'s client and set TC (RFC 2181 9).
    pub fn will_be_cut_for(&self, query: &Query) -> bool {
        let fits = |wire: Vec<u8>| wire.len() + self.opt_len(query) <= usize::from(query.payload_size());
        self.is_too_large_for(query) && !compress::compressed(&self.wire).is_ok_and(fits)
    }

    /// After a change of records: counts the uncompressed size again.
    pub fn measure(&mut self) {
        self.size = size::uncompressed(&self.wire).unwrap_or(self.wire.len()) as u32;
    }

    /// Options for the client's OPT record, as on the wire.
    pub fn options(&self) -> Option<&[u8]> {
        self.options.as_deref()
    }

    /// Adds an option for the client's OPT record; it is sent only to clients that sent one.
    pub fn push_option(&mut self, code: u16, value: &[u8]) {
        let options = self.options.get_or_insert_default();
        options.extend_from_slice(&code.to_be_bytes());
        options.extend_from_slice(&(value.len() as u16).to_be_bytes());
        options.extend_from_slice(value);
    }

    /// Counts the options, and the OPT record around them, among [`Self::uncompressed_size`], as they are where a response came with
    /// them: for a plugin whose answers CoreDNS logs with their OPT record.
    pub fn count_options(&mut self) {
        self.size += self.options.as_ref().map_or(0, |options| edns::OPT_LEN + options.len()) as u32;
    }

    /// Takes the options away, or replaces them.
    pub fn set_options(&mut self, options: Option<Vec<u8>>) {
        self.options = options;
    }

    /// The upper eight bits of the code.
    pub const fn rcode_high(&self) -> u8 {
        self.rcode_high
    }

    /// Why nothing was written; also a failure beside an answer that was.
    pub const fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// Notes a failure beside what stands here.
    pub fn set_failure(&mut self, failure: Option<Failure>) {
        self.failure = failure;
    }

    /// The plugin that answered or failed; empty if the server did.
    pub const fn by(&self) -> &'static str {
        self.by
    }

    /// The place of the plugin that answered or failed in the chain of its block; `None` if the server did.
    pub fn place(&self) -> Option<usize> {
        (self.place != NO_PLACE).then_some(usize::from(self.place))
    }

    /// Notes who answered: the plugin `name` at `place` of the chain.
    pub(super) const fn set_by(&mut self, name: &'static str, place: usize) {
        self.by = name;
        self.place = if place < NO_PLACE as usize { place as u16 } else { NO_PLACE };
    }
}

/// No plugin of a chain.
const NO_PLACE: u16 = u16::MAX;

#[cfg(test)]
mod tests {
    use super::super::testing::{query, query_of, query_wire};
    use super::*;

    /// A response with records in these sections, as it would come from an upstream with an OPT record.
    fn upstreams(query: &Query, sections: &[Section]) -> Response {
        let mut made = Response::default();
        made.start(query, true, Rcode::NOERROR);
        for &section in sections {
            made.push(section, None, Rtype::A, Class::IN, 60, &[192, 0, 2, 1]);
        }
        let mut wire = made.wire().to_vec();
        edns::append(&mut wire, 1232, 0, true, &[0, 15, 0, 2, 0, 3]);
        let additional = header::counts(&wire)[3];
        header::set_count(&mut wire, 3, additional + 1);
        let mut response = Response::default();
        response.set_wire(&wire).unwrap();
        response
    }

    #[test]
    fn answers_can_be_kept_alone() {
        use Section::{Additional, Answer, Authority};
        let query = query("a.example.", Rtype::A);
        let all = [&[Answer, Answer, Authority, Additional, Additional][..], &[Answer, Answer], &[]];
        for sections in all {
            let mut response = upstreams(&query, sections);
            assert!(response.options().is_some());
            response.keep_answers_alone().unwrap();
            let answers = sections.iter().filter(|s| **s == Answer).count() as u16;
            assert_eq!(header::counts(response.wire()), [1, answers, 0, 0]);
            assert_eq!(record::records(response.wire()).map(Result::unwrap).count(), usize::from(answers));
            assert_eq!(response.uncompressed_size(), 12 + 15 + usize::from(answers) * (11 + 10 + 4));
            assert_eq!(response.options(), None);
        }
    }

    #[test]
    fn a_cut_message_is_not_shortened() {
        let query = query("a.example.", Rtype::A);
        let mut response = upstreams(&query, &[Section::Answer, Section::Authority]);
        let before = response.wire().to_vec();
        header::set_count(response.wire_mut(), 1, 9);
        assert!(response.keep_answers_alone().is_err());
        assert_eq!(response.wire().len(), before.len());
    }

    #[test]
    fn signatures_are_dated_for_who_asked_for_them_and_where_the_upstream_says_so() {
        let outcome = |dnssec_ok: bool, is_upstreams: bool| {
            let query = query_of(&query_wire("a.example.", Rtype::A, Some((1232, dnssec_ok))));
            let mut response = upstreams(&query, &[Section::Answer]);
            if !is_upstreams {
                response.set_options(None);
            }
            // An RRSIG record whose time was over in 1970.
            let rdata = [&[0; 8][..], &[0, 0, 0, 2], &[0, 0, 0, 1], &[0, 0, 0]].concat();
            response.push(Section::Answer, None, Rtype::RRSIG, Class::IN, 60, &rdata);
            response.outcome(&query, || 1000)
        };
        assert_eq!(outcome(true, true), Outcome::OtherError);
        assert_eq!(outcome(true, false), Outcome::Answer);
        assert_eq!(outcome(false, true), Outcome::Answer);
    }
}
