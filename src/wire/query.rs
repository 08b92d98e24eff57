//! What a server must know of a message before it answers: is it a query, what does it ask, what may the answer be like.

use super::header::{self, Flags, HEADER_LEN};
use super::{Class, Edns, Name, Opcode, Rcode, Rtype, WireError};

/// The facts of a query that was accepted.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The header's flags.
    pub flags: Flags,
    /// QTYPE.
    pub qtype: Rtype,
    /// QCLASS.
    pub qclass: Class,
    /// The offset behind the question.
    pub question_end: usize,
    /// The OPT record, if there is one.
    pub edns: Option<Edns>,
}

/// What becomes of a message that is no acceptable query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// No answer at all: a response, or not even a header.
    Silence,
    /// A bare header with this response code.
    Rcode(Rcode),
}

const FORMERR: Rejection = Rejection::Rcode(Rcode::FORMERR);

/// Reads `wire` as a query; the lower-cased QNAME goes into `name`. The rules are CoreDNS's, before any plugin: a response or a cut
/// header is met with silence, an opcode but QUERY and NOTIFY with NOTIMP, other counts than a query can have or bytes
/// that are no message with FORMERR.
///
/// # Errors
/// What to do with the message instead of answering it.
pub fn accept(wire: &[u8], name: &mut Name) -> Result<Facts, Rejection> {
    if wire.len() < HEADER_LEN {
        return Err(Rejection::Silence);
    }
    let flags = Flags::of(wire);
    if flags.has(Flags::QR) {
        return Err(Rejection::Silence);
    }
    if !matches!(flags.opcode(), Opcode::QUERY | Opcode::NOTIFY) {
        return Err(Rejection::Rcode(Rcode::NOTIMP));
    }
    let counts = header::counts(wire);
    let [questions, answers, authorities, additionals] = counts;
    if questions != 1 || answers > 1 || authorities > 1 || additionals > 2 {
        return Err(FORMERR);
    }
    let name_end = name.parse_plain_into(wire, HEADER_LEN).map_err(|_| FORMERR)?;
    let Some(&[t1, t2, c1, c2]) = wire.get(name_end..name_end + 4) else { return Err(FORMERR) };
    let question_end = name_end + 4;
    let others = answers + authorities;
    let edns = read_edns(wire, question_end, others, additionals).map_err(|_| FORMERR)?;
    Ok(Facts {
        flags,
        qtype: Rtype(u16::from_be_bytes([t1, t2])),
        qclass: Class(u16::from_be_bytes([c1, c2])),
        question_end,
        edns,
    })
}

/// Walks the records behind the question and returns the OPT record; bytes behind the last record are ignored, as CoreDNS does.
fn read_edns(wire: &[u8], start: usize, others: u16, additionals: u16) -> Result<Option<Edns>, WireError> {
    let mut at = start;
    for _ in 0..others {
        at = super::record::skip(wire, at)?;
    }
    let mut found = None;
    for _ in 0..additionals {
        if wire.get(at..at + 3) == Some(&[0, 0, 41]) {
            if found.is_some() {
                return Err(WireError::TwoOpts);
            }
            let (edns, end) = Edns::parse(wire, at)?;
            found = Some(edns);
            at = end;
        } else {
            at = super::record::skip(wire, at)?;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(counts: [u16; 4], body: &[u8]) -> Vec<u8> {
        let mut wire = vec![0xAB, 0xCD, 1, 0];
        counts.iter().for_each(|c| wire.extend(c.to_be_bytes()));
        wire.extend_from_slice(body);
        wire
    }

    const WWW: &[u8] = b"\x03wWw\x07Example\x03org\x00\x00\x01\x00\x01";
    const OPT: &[u8] = b"\x00\x00\x29\x04\xD0\x00\x00\x80\x00\x00\x00";

    fn check(wire: &[u8]) -> Result<(String, Facts), Rejection> {
        let mut name = Name::root();
        accept(wire, &mut name).map(|facts| (name.to_string(), facts))
    }

    #[test]
    fn a_plain_query_is_read() {
        let (name, facts) = check(&query([1, 0, 0, 0], WWW)).unwrap();
        assert_eq!(name, "www.example.org.");
        assert_eq!((facts.qtype, facts.qclass, facts.question_end), (Rtype::A, Class::IN, 33));
        assert!(facts.edns.is_none() && facts.flags.has(Flags::RD));
    }

    #[test]
    fn edns_is_read_and_bytes_behind_the_message_are_ignored() {
        let (_, facts) = check(&query([1, 0, 0, 1], &[WWW, OPT, b"trailing"].concat())).unwrap();
        let edns = facts.edns.unwrap();
        assert_eq!((edns.udp_size, edns.version, edns.dnssec_ok()), (1232, 0, true));
    }

    #[test]
    fn what_is_no_query_is_met_as_coredns_does() {
        let response = {
            let mut w = query([1, 0, 0, 0], WWW);
            w[2] |= 0x80;
            w
        };
        let update = {
            let mut w = query([1, 0, 0, 0], WWW);
            w[2] |= 5 << 3;
            w
        };
        let notify = {
            let mut w = query([1, 0, 0, 0], WWW);
            w[2] |= 4 << 3;
            w
        };
        for (wire, want) in [
            (&b"short"[..], Rejection::Silence),
            (&response, Rejection::Silence),
            (&update, Rejection::Rcode(Rcode::NOTIMP)),
            (&query([0, 0, 0, 0], b""), FORMERR),
            (&query([2, 0, 0, 0], WWW), FORMERR),
            (&query([1, 2, 0, 0], WWW), FORMERR),
            (&query([1, 0, 2, 0], WWW), FORMERR),
            (&query([1, 0, 0, 3], WWW), FORMERR),
            (&query([1, 0, 0, 1], WWW), FORMERR),
            (&query([1, 0, 0, 2], &[WWW, OPT, OPT].concat()), FORMERR),
            (&query([1, 0, 0, 0], b"\xC0\x0C\x00\x01\x00\x01"), FORMERR),
            (&query([1, 0, 0, 0], &WWW[..WWW.len() - 1]), FORMERR),
            (&query([1, 0, 0, 1], &[WWW, &OPT[..10], b"\x09"].concat()), FORMERR),
        ] {
            assert_eq!(check(wire).map(|_| ()).unwrap_err(), want, "{wire:?}");
        }
        assert!(check(&notify).is_ok());
    }
}
