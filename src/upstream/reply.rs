//! Is a message the reply to our query? (RFC 5452 9.1: ID, question and, by the connected socket, addresses and ports.)

use crate::wire::{Flags, HEADER_LEN, Rcode, WireError, header, record};

/// What a message is, seen from the query whose ID it has.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The reply, as it stands.
    Reply,
    /// The reply, but its records are cut; header and question alone are to be kept, with TC.
    Cut,
    /// An error reply without a question; the query's question is to be put back.
    Bare,
    /// A message of another query, or none at all: to be ignored.
    Foreign,
    /// The reply, but broken.
    Malformed,
}

/// Judges `message`, whose ID is that of `query`; `question_end` is the offset behind the question in `query`. `is_cut` says that the end of
/// the datagram was lost, `may_be_cut` that the transport is one where replies are cut at all.
pub(super) fn judge(
    message: &[u8],
    query: &[u8],
    question_end: usize,
    is_cut: bool,
    may_be_cut: bool,
) -> Verdict {
    let flags = Flags::of(message);
    if message.len() < HEADER_LEN || !flags.has(Flags::QR) || flags.opcode() != Flags::of(query).opcode() {
        return Verdict::Foreign;
    }
    match header::counts(message) {
        // Old servers answer what they do not understand with a bare header. It says too little to be taken for more than an error.
        [0, 0, 0, _] if flags.rcode() != Rcode::NOERROR => return Verdict::Bare,
        [1, ..] => {}
        _ => return Verdict::Foreign,
    }
    let Some(question) = message.get(HEADER_LEN..question_end) else { return Verdict::Foreign };
    let asked = &query[HEADER_LEN..question_end];
    let name_end = asked.len() - 4;
    if !question[..name_end].eq_ignore_ascii_case(&asked[..name_end])
        || question[name_end..] != asked[name_end..]
    {
        return Verdict::Foreign;
    }
    if is_cut {
        return Verdict::Cut;
    }
    match record::records(message).find_map(Result::err) {
        None => Verdict::Reply,
        Some(WireError::Cut) if may_be_cut => Verdict::Cut,
        Some(_) => Verdict::Malformed,
    }
}

/// A copy of `message`, which was judged `verdict`, as it is to be handed on.
pub(super) fn copy(message: &[u8], query: &[u8], question_end: usize, verdict: &Verdict) -> Vec<u8> {
    match verdict {
        Verdict::Cut => {
            let mut wire = message[..question_end].to_vec();
            (1..4).for_each(|section| header::set_count(&mut wire, section, 0));
            Flags::of(message).with(Flags::TC, true).write(&mut wire);
            wire
        }
        Verdict::Bare => {
            let mut wire = Vec::with_capacity(question_end);
            wire.extend_from_slice(&message[..HEADER_LEN]);
            wire.extend_from_slice(&query[HEADER_LEN..question_end]);
            header::set_count(&mut wire, 0, 1);
            header::set_count(&mut wire, 3, 0);
            wire
        }
        _ => message.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &[u8] = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x01a\x00\x00\x01\x00\x01";
    const END: usize = QUERY.len();
    const RECORD: &[u8] = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x7f\x00\x00\x01";

    fn reply() -> Vec<u8> {
        let mut wire = [QUERY, RECORD].concat();
        wire[2] = 0x81;
        wire[7] = 1;
        wire
    }

    fn check(change: impl FnOnce(&mut Vec<u8>), want: Verdict) -> Vec<u8> {
        let mut wire = reply();
        change(&mut wire);
        let verdict = judge(&wire, QUERY, END, false, true);
        assert_eq!(verdict, want, "{wire:?}");
        if verdict == Verdict::Foreign { wire } else { copy(&wire, QUERY, END, &verdict) }
    }

    #[test]
    fn the_right_reply_is_taken_as_it_is() {
        assert_eq!(check(|_| {}, Verdict::Reply), reply());
        check(|m| m[13..16].make_ascii_uppercase(), Verdict::Reply);
        check(|m| m[3] = 3, Verdict::Reply);
        check(|m| m[2] |= 2, Verdict::Reply);
    }

    #[test]
    fn what_answers_another_question_is_foreign() {
        check(|m| m[2] = 0x01, Verdict::Foreign);
        check(|m| m[2] = 0xA1, Verdict::Foreign);
        check(|m| m[13] = b'x', Verdict::Foreign);
        check(|m| m[20] = 28, Verdict::Foreign);
        check(|m| m[22] = 3, Verdict::Foreign);
        check(|m| m[5] = 2, Verdict::Foreign);
        check(|m| m[5] = 0, Verdict::Foreign);
        check(|m| m.truncate(END - 1), Verdict::Foreign);
        check(|m| m.truncate(11), Verdict::Foreign);
        check(Vec::clear, Verdict::Foreign);
    }

    #[test]
    fn a_cut_reply_keeps_its_question_and_says_so() {
        let kept = check(|m| m.truncate(END + 5), Verdict::Cut);
        assert_eq!((&kept[..2], kept[2], &kept[4..]), (&QUERY[..2], 0x83, &QUERY[4..]));
        assert_eq!(judge(&reply(), QUERY, END, true, true), Verdict::Cut);
        assert_eq!(judge(&reply()[..END + 5], QUERY, END, false, false), Verdict::Malformed);
    }

    #[test]
    fn a_broken_reply_is_told_from_a_cut_one() {
        check(|m| m[END] = 0x80, Verdict::Malformed);
    }

    #[test]
    fn a_bare_error_gets_its_question_back() {
        let bare = check(
            |m| {
                m.truncate(12);
                m[3] = 1;
                m[5] = 0;
                m[7] = 0;
            },
            Verdict::Bare,
        );
        assert_eq!((&bare[..4], &bare[4..]), (&b"\x12\x34\x81\x01"[..], &QUERY[4..]));
    }
}
