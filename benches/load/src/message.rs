//! The few parts of a DNS message that a load bench needs (RFC 1035 4.1).

/// Bytes of a header.
pub const HEADER_LEN: usize = 12;
/// Type A.
pub const TYPE_A: u16 = 1;
/// Type AAAA.
pub const TYPE_AAAA: u16 = 28;

const CLASS_IN: u16 = 1;

/// An A record for the question's own name: a pointer to offset 12, A, IN, `ttl`, 192.0.2.1.
pub const fn fixed_answer(ttl: u32) -> [u8; 16] {
    answer(ttl, [192, 0, 2, 1])
}

/// An A record for the question's own name with `address`.
pub const fn answer(ttl: u32, address: [u8; 4]) -> [u8; 16] {
    let [t0, t1, t2, t3] = ttl.to_be_bytes();
    let [a, b, c, d] = address;
    [0xc0, 0x0c, 0, 1, 0, 1, t0, t1, t2, t3, 0, 4, a, b, c, d]
}

/// An OPT record with a size of 1232 bytes and nothing else (RFC 6891 6.1.2).
pub const PLAIN_OPT: [u8; 11] = [0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0];

/// Appends a question: `name` in wire form with its root label, `qtype`, class IN.
pub fn push_question(out: &mut Vec<u8>, name: &[u8], qtype: u16) {
    out.extend_from_slice(name);
    out.extend_from_slice(&qtype.to_be_bytes());
    out.extend_from_slice(&CLASS_IN.to_be_bytes());
}

/// A query header with RD set and one question.
pub const fn query_header(id: u16) -> [u8; HEADER_LEN] {
    let [high, low] = id.to_be_bytes();
    [high, low, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0]
}

/// The wire form of a name written with dots.
///
/// # Errors
/// A sentence, when a label is empty or over 63 bytes, or the name over 255. Escapes are not known here.
pub fn name_from_text(text: &str) -> Result<Vec<u8>, String> {
    let mut wire = Vec::with_capacity(text.len() + 2);
    for label in text.strip_suffix('.').unwrap_or(text).split('.').filter(|_| text != ".") {
        if label.is_empty() || label.len() > 63 {
            return Err(format!("the name {text:?} has a label of {} bytes", label.len()));
        }
        wire.push(label.len() as u8);
        wire.extend_from_slice(label.as_bytes());
    }
    wire.push(0);
    if wire.len() > 255 { Err(format!("the name {text:?} is longer than 255 bytes")) } else { Ok(wire) }
}

/// Where the first question of `message` ends; none when it is cut, compressed or not there.
pub fn question_end(message: &[u8]) -> Option<usize> {
    let mut at = HEADER_LEN;
    loop {
        let len = usize::from(*message.get(at)?);
        if len > 63 {
            return None;
        }
        at += len + 1;
        if len == 0 {
            let end = at + 4;
            return (end <= message.len()).then_some(end);
        }
    }
}

/// Turns the query at the front of `buffer` into a response of one record, `answer`, and gives its length. A query
/// whose question is cut is answered FORMERR. There has to be room behind the query.
pub fn respond(buffer: &mut [u8], len: usize, answer: &[u8]) -> usize {
    const FORMERR: u8 = 1;
    if len < HEADER_LEN {
        return len;
    }
    let question_end = question_end(&buffer[..len]);
    let opt = buffer[11] != 0;
    buffer[2] |= 0x80;
    buffer[6..12].fill(0);
    let Some(mut end) = question_end else {
        buffer[3] = FORMERR;
        return len;
    };
    buffer[3] = 0x80;
    buffer[7] = 1;
    buffer[end..end + answer.len()].copy_from_slice(answer);
    end += answer.len();
    if opt {
        buffer[11] = 1;
        buffer[end..end + PLAIN_OPT.len()].copy_from_slice(&PLAIN_OPT);
        end += PLAIN_OPT.len();
    }
    end
}

/// Why a reply is not the answer to a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// Shorter than a header, not a response, or not one question.
    Malformed,
    /// The question section is not the query's.
    Question,
}

/// What a reply says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// RCODE of the header.
    pub rcode: u8,
    /// ANCOUNT.
    pub answers: u16,
    /// TC.
    pub truncated: bool,
}

/// Reads `reply` as the response to `query`, whose ID was compared already.
///
/// # Errors
/// What is wrong with it.
pub fn check_reply(query: &[u8], reply: &[u8]) -> Result<Reply, Mismatch> {
    if reply.len() < query.len() || reply[2] & 0x80 == 0 || reply[4..6] != [0, 1] {
        return Err(Mismatch::Malformed);
    }
    if reply[HEADER_LEN..query.len()] != query[HEADER_LEN..] {
        return Err(Mismatch::Question);
    }
    Ok(Reply {
        rcode: reply[3] & 0x0f,
        answers: u16::from_be_bytes([reply[6], reply[7]]),
        truncated: reply[2] & 0x02 != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(name: &str) -> Vec<u8> {
        let mut query = query_header(7).to_vec();
        push_question(&mut query, &name_from_text(name).unwrap(), TYPE_A);
        query
    }

    #[test]
    fn names_become_labels() {
        assert_eq!(name_from_text("a.bc.").unwrap(), b"\x01a\x02bc\0");
        assert_eq!(name_from_text("a.bc").unwrap(), b"\x01a\x02bc\0");
        assert_eq!(name_from_text(".").unwrap(), b"\0");
        assert!(name_from_text("a..b").is_err());
        assert!(name_from_text(&"a.".repeat(128)).is_err());
    }

    #[test]
    fn a_question_ends_after_its_class_and_a_cut_one_nowhere() {
        let query = query("host1.example.");
        assert_eq!(question_end(&query), Some(query.len()));
        assert!((0..query.len()).all(|cut| question_end(&query[..cut]).is_none()));
    }

    #[test]
    fn only_a_response_to_the_same_question_counts() {
        let query = query("host1.example.");
        let mut reply = query.clone();
        assert_eq!(check_reply(&query, &reply), Err(Mismatch::Malformed));
        reply[2] |= 0x80;
        reply[3] = 0x85;
        reply[7] = 1;
        reply.extend_from_slice(&fixed_answer(60));
        assert_eq!(check_reply(&query, &reply), Ok(Reply { rcode: 5, answers: 1, truncated: false }));
        reply[13] = b'X';
        assert_eq!(check_reply(&query, &reply), Err(Mismatch::Question));
        assert_eq!(check_reply(&query, &reply[..11]), Err(Mismatch::Malformed));
    }
}
