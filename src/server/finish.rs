//! The last step of an answer: failures get a form, the OPT record is appended, and what does not fit is cut.

use crate::chain::{Query, Response, State};
use crate::wire::{Flags, Rcode, compose, edns, header, truncate};

/// Brings `response` into the form to send and returns whether there is anything to send.
///
/// The OPT record is there exactly if the client sent one (RFC 6891 6.1.1): version 0, the client's payload size, its DO bit. The
/// answer fits what the client takes: whole RRsets are dropped and TC set if it must (RFC 2181 9).
pub(super) fn finish(query: &Query, response: &mut Response) -> bool {
    match response.state() {
        State::Written => {}
        State::Failed(rcode @ (Rcode::SERVFAIL | Rcode::REFUSED | Rcode::FORMERR | Rcode::NOTIMP)) => {
            let flags = compose::reply_flags(query.flags()).with_rcode(rcode);
            compose::start(response.wire_vec(), query.wire(), query.question_end(), flags);
        }
        State::Failed(_) | State::Dropped | State::Empty => return false,
    }
    header::set_id(response.wire_mut(), query.id());
    let limit = usize::from(query.payload_size());
    match query.edns() {
        None => {
            if response.rcode_high() != 0 {
                // A code over 15 cannot be said without an OPT record.
                let flags = response.flags().with_rcode(Rcode::SERVFAIL);
                response.set_flags(flags);
            }
            if response.wire().len() > limit {
                truncate::to_limit(response.wire_vec(), limit);
            }
        }
        Some(client) => {
            let options = response.options().map(<[u8]>::to_vec).unwrap_or_default();
            let high = response.rcode_high();
            let opt_len = edns::OPT_LEN + options.len();
            let wire = response.wire_vec();
            if wire.len() + opt_len > limit {
                truncate::to_limit(wire, limit.saturating_sub(opt_len));
            }
            edns::append(wire, client.udp_size, high, client.dnssec_ok(), &options);
            let additional = header::counts(wire)[3];
            header::set_count(wire, 3, additional.saturating_add(1));
        }
    }
    true
}

/// Shortens a finished answer to what the path takes, after the kernel refused it as too large: the question, TC, and the OPT record if there
/// was one.
pub(super) fn shrink(query_had_opt: bool, wire: &mut Vec<u8>) {
    const OPT: usize = edns::OPT_LEN;
    let size = query_had_opt.then(|| wire.len().checked_sub(OPT)).flatten();
    let udp_size = size.and_then(|at| crate::wire::u16_at(wire, at + 3).ok()).unwrap_or(1232);
    truncate::to_limit(wire, header::HEADER_LEN + 255 + 4);
    let question_end = crate::wire::record::questions_end(wire).unwrap_or(header::HEADER_LEN);
    wire.truncate(question_end);
    for section in 1..4 {
        header::set_count(wire, section, 0);
    }
    Flags::of(wire).with(Flags::TC, true).write(wire);
    if query_had_opt {
        edns::append(wire, udp_size, 0, false, &[]);
        header::set_count(wire, 3, 1);
    }
}
