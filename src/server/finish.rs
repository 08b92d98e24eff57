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
        State::Failed(rcode) if rcode.is_written_by_server() => {
            let flags = compose::reply_flags(query.flags()).with_rcode(rcode);
            compose::start(response.wire_vec(), query.wire(), query.question_end(), flags);
        }
        State::Failed(_) | State::Dropped | State::Empty => return false,
    }
    header::set_id(response.wire_mut(), query.id());
    if response.is_too_large_for(query) {
        let limit = usize::from(query.payload_size()).saturating_sub(response.opt_len(query));
        truncate::to_limit(response.wire_vec(), limit);
    }
    match query.edns() {
        None => {
            if response.rcode_high() != 0 {
                // A code over 15 cannot be said without an OPT record.
                let flags = response.flags().with_rcode(Rcode::SERVFAIL);
                response.set_flags(flags);
            }
        }
        Some(client) => {
            let options = response.options().map(<[u8]>::to_vec).unwrap_or_default();
            let high = response.rcode_high();
            let wire = response.wire_vec();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::Failure;
    use crate::chain::testing::{query_of, query_wire};
    use crate::wire::{Class, Edns, Rtype, Section, record};

    fn answer(query: &Query, addresses: u8) -> Response {
        let mut response = Response::default();
        response.start(query, true, Rcode::NOERROR);
        for i in 0..addresses {
            response.push(Section::Answer, None, Rtype::A, Class::IN, 60, &[192, 0, 2, i]);
        }
        response
    }

    fn opt_of(wire: &[u8]) -> Option<Edns> {
        let opt = record::records(wire).map(Result::unwrap).find(|r| r.rtype == Rtype::OPT)?;
        Some(Edns::parse(wire, opt.start).unwrap().0)
    }

    #[test]
    fn the_opt_record_answers_that_of_the_client_and_comes_unasked_to_nobody() {
        for (opt, want) in [
            (None, None),
            (Some((1232, false)), Some((1232, false))),
            (Some((4096, true)), Some((4096, true))),
        ] {
            let query = query_of(&query_wire("a.example.", Rtype::A, opt));
            let mut response = answer(&query, 1);
            response.push_option(edns::code::NSID, b"x");
            assert!(finish(&query, &mut response));
            let got = opt_of(response.wire());
            assert_eq!(got.as_ref().map(|e| (e.udp_size, e.dnssec_ok())), want);
            assert_eq!(got.map_or(0, |e| e.options(response.wire()).count()), usize::from(want.is_some()));
        }
    }

    #[test]
    fn an_answer_fits_what_the_client_takes() {
        for (opt, limit) in
            [(None, 512), (Some((100, false)), 512), (Some((1232, false)), 1232), (Some((4096, true)), 4096)]
        {
            let query = query_of(&query_wire("a.example.", Rtype::A, opt));
            let mut response = answer(&query, 200);
            assert!(finish(&query, &mut response));
            assert!(response.wire().len() <= limit, "{} over {limit}", response.wire().len());
            assert_eq!(response.flags().has(Flags::TC), limit < 4096);
            // An RRset comes whole or not at all.
            let addresses = record::records(response.wire()).filter(|r| r.unwrap().rtype == Rtype::A).count();
            assert_eq!(addresses, if limit < 4096 { 0 } else { 200 });
            assert_eq!(opt_of(response.wire()).is_some(), opt.is_some());
        }
    }

    #[test]
    fn over_a_stream_everything_fits() {
        let mut query = query_of(&query_wire("a.example.", Rtype::A, None));
        query.transport = crate::chain::Transport::Tcp;
        let mut response = answer(&query, 255);
        assert!(finish(&query, &mut response));
        assert!(!response.flags().has(Flags::TC));
    }

    #[test]
    fn failures_become_empty_answers_and_other_codes_silence() {
        let query = query_of(&query_wire("A.example.", Rtype::A, Some((1232, true))));
        for (rcode, sent) in [
            (Rcode::SERVFAIL, true),
            (Rcode::REFUSED, true),
            (Rcode::FORMERR, true),
            (Rcode::NOTIMP, true),
            (Rcode::NXDOMAIN, false),
        ] {
            let mut response = Response::default();
            response.fail(rcode, Some(Failure::new("why")));
            assert_eq!(finish(&query, &mut response), sent, "{rcode}");
            if sent {
                let flags = response.flags();
                assert_eq!((flags.rcode(), flags.has(Flags::RD), flags.has(Flags::AA)), (rcode, true, false));
                assert_eq!(header::counts(response.wire()), [1, 0, 0, 1]);
                assert_eq!(&response.wire()[12..15], b"\x01A\x07", "the client's spelling");
            }
        }
        let mut dropped = Response::default();
        dropped.drop_silently();
        assert!(!finish(&query, &mut dropped));
    }

    #[test]
    fn what_the_path_does_not_take_is_cut_to_its_question() {
        for opt in [None, Some((4096, true))] {
            let query = query_of(&query_wire("a.example.", Rtype::A, opt));
            let mut response = answer(&query, 20);
            assert!(finish(&query, &mut response));
            let mut wire = response.wire().to_vec();
            shrink(opt.is_some(), &mut wire);
            assert!(Flags::of(&wire).has(Flags::TC));
            assert_eq!(header::counts(&wire), [1, 0, 0, u16::from(opt.is_some())]);
            assert_eq!(opt_of(&wire).is_some(), opt.is_some());
        }
    }
}
