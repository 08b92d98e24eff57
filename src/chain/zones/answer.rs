//! From what a zone says to a response.

use std::sync::Arc;

use crate::chain::{Cx, Late, Query, Response, Step};
use crate::wire::{Flags, Name, Rcode, Record, Section, WireError, expand, record};
use crate::zone::{Answer, End, Message, Owner, Paused, Question, Zone, encoded};

/// A response, and the question that names in it may point to.
struct Writer<'a> {
    response: &'a mut Response,
    /// The QNAME, lower-cased.
    name: &'a Name,
}

impl Message for Writer<'_> {
    fn put(&mut self, section: Section, owner: Owner<'_>, count: u16, records: &[u8]) {
        let own = self.name.as_bytes();
        let (pointer, owner) = match owner {
            Owner::Question => (Some(0), own),
            Owner::Name(name) if self.name.is_under(name) => (Some(own.len() - name.len()), name),
            Owner::Name(name) => (None, name),
        };
        let pointers = records.len() - 2 * usize::from(count);
        let uncompressed = pointers + owner.len() * usize::from(count);
        match pointer {
            Some(0) => self.response.extend(section, count, records, uncompressed),
            // A pointer to the root would be longer than the root.
            Some(offset) if owner.len() > 1 => {
                let pointer = 0xC000 | (crate::wire::HEADER_LEN + offset) as u16;
                self.response.extend_as(
                    section,
                    count,
                    encoded(records),
                    &pointer.to_be_bytes(),
                    uncompressed,
                );
            }
            _ => self.response.extend_as(section, count, encoded(records), owner, uncompressed),
        }
    }
}

/// What a plugin does with a name that its zone does not have.
pub enum Handling {
    /// It is denied.
    Deny,
    /// It is handed on to the next plugin.
    HandOn,
}

/// The label for the source of synthesis of an answer (RFC 4592 3.3.1).
const WILDCARD_LABEL: &str = "zone/wildcard";

/// Answers `query`, whose name is in `zone`. `handling` is asked what to do where there is nothing to answer with: at a name that does not exist, or
/// exists only for the sake of those below it.
pub fn answer(
    zone: &Arc<Zone>,
    cx: &Cx<'_>,
    query: &mut Query,
    response: &mut Response,
    handling: impl FnOnce(&Query) -> Handling,
) -> Step {
    let question = question_of(query);
    response.start(query, true, Rcode::NOERROR);
    let mut writer = Writer { response, name: question.name };
    let answer = zone.answer(&question, &mut writer);
    let wildcard = answer.wildcard;
    let step = if !answer.has_answers && is_nothing(&answer) && matches!(handling(query), Handling::HandOn) {
        response.clear();
        Step::Next
    } else if let Some(target) = target_elsewhere(&answer) {
        let paused = answer.pause();
        follow(Arc::clone(zone), paused, target, cx, query, std::mem::take(response))
    } else {
        complete(answer, &question, &mut writer);
        Step::Respond
    };
    if let Some(wildcard) = wildcard
        && let Some(metadata) = query.metadata_mut()
        && let Ok((name, _)) = Name::parse_plain(wildcard, 0)
    {
        metadata.set(WILDCARD_LABEL, name.to_string());
    }
    step
}

fn question_of(query: &Query) -> Question<'_> {
    Question { name: query.name(), hash: query.hash(), qtype: query.qtype(), dnssec_ok: query.dnssec_ok() }
}

/// Where an alias leads that another zone of the server may know (RFC 1034 4.3.2 step 1): out of the zone, or to a name that the zone does not have.
fn target_elsewhere(answer: &Answer<'_>) -> Option<Name> {
    match &answer.end {
        End::Outside(target) => Some(target.clone()),
        _ if is_nothing(answer) => answer.alias().cloned(),
        _ => None,
    }
}

/// Writes what comes behind the answer section, and the header's flags.
fn complete(answer: Answer<'_>, question: &Question<'_>, writer: &mut Writer<'_>) {
    let (rcode, authoritative) = (answer.rcode(), answer.is_authoritative());
    answer.complete(question, writer);
    if rcode != Rcode::NOERROR || !authoritative {
        let flags = writer.response.flags().with(Flags::AA, authoritative).with_rcode(rcode);
        writer.response.set_flags(flags);
    }
}

/// Whether CoreDNS hands such a name on: one that does not exist, or an empty non-terminal.
fn is_nothing(answer: &Answer<'_>) -> bool {
    match &answer.end {
        End::NameError { .. } => true,
        End::NoData { node, .. } => node.is_empty(),
        _ => false,
    }
}

/// Asks the server for the target of an alias, and adds what it says. A target in the zone that nobody knows is denied by the zone.
fn follow(
    zone: Arc<Zone>,
    paused: Paused,
    target: Name,
    cx: &Cx<'_>,
    query: &Query,
    mut response: Response,
) -> Step {
    let asking = query.fork_at_depth();
    let top = cx.top();
    Step::Later(Box::pin(async move {
        let qtype = asking.qtype();
        let (_, found) = top.ask(&asking, &target, qtype).await;
        let rcode = found.rcode();
        let added = if found.is_written() { append_answers(&found, &mut response) } else { Ok(0) };
        let is_unknown = !matches!(rcode, Some(Rcode::SERVFAIL)) && matches!(added, Ok(0));
        if is_unknown && target.is_under(zone.origin().as_bytes()) {
            response.start(&asking, true, Rcode::NOERROR);
            let question = question_of(&asking);
            let mut writer = Writer { response: &mut response, name: question.name };
            let answer = zone.answer(&question, &mut writer);
            complete(answer, &question, &mut writer);
            return Late::Respond(response);
        }
        // RFC 6604 3: the code is that of the last name; what has no answer is said by this zone, as CoreDNS does.
        let (rcode, is_denial) = match (rcode, added) {
            (Some(Rcode::SERVFAIL), _) | (_, Err(_)) => (Rcode::SERVFAIL, false),
            (Some(Rcode::NXDOMAIN), _) => (Rcode::NXDOMAIN, true),
            (Some(Rcode::NOERROR), Ok(0)) => (Rcode::NOERROR, true),
            _ => (Rcode::NOERROR, false),
        };
        let flags = response.flags().with_rcode(rcode);
        response.set_flags(flags);
        let mut writer = Writer { response: &mut response, name: asking.name() };
        zone.complete_paused(paused, is_denial, &mut writer);
        Late::Respond(response)
    }))
}

/// Adds the records of the answer section of `found`, and returns how many there are.
fn append_answers(found: &Response, response: &mut Response) -> Result<u16, WireError> {
    let mut added = 0;
    let mut owner = Vec::new();
    let mut rest = Vec::new();
    for record in record::records(found.wire()) {
        let record: Record = record?;
        if record.section != Section::Answer {
            break;
        }
        owner.clear();
        rest.clear();
        expand::name(found.wire(), record.start, &mut owner)?;
        expand::behind_owner(found.wire(), &record, &mut rest)?;
        response.push(Section::Answer, Some(&owner), record.rtype, record.class, record.ttl, &rest[10..]);
        added += 1;
    }
    Ok(added)
}
