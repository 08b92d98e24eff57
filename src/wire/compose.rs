//! Writing responses: header and question as the query has them, then records.

use super::header::{Flags, HEADER_LEN};
use super::{Class, Rtype};

/// A compression pointer to the question's name, the owner of most answers.
pub const QUESTION: &[u8] = &[0xC0, HEADER_LEN as u8];

/// The flags of a response to a query with `query`: QR, the opcode, RD and CD as asked (CD only for QUERY), the rest clear.
pub const fn reply_flags(query: Flags) -> Flags {
    Flags(Flags::QR | query.0 & (0x7800 | if query.opcode().0 == 0 { Flags::RD | Flags::CD } else { 0 }))
}

/// Starts a response in `out`, which is emptied: ID and question of `query` as they stand there, `flags`, all other counts zero.
/// `question_end` is the offset behind the question in `query`, which is at least that long.
pub fn start(out: &mut Vec<u8>, query: &[u8], question_end: usize, flags: Flags) {
    out.clear();
    let question = query.get(HEADER_LEN..question_end).unwrap_or_default();
    let [f1, f2] = flags.0.to_be_bytes();
    let [i1, i2] = super::header::id(query).to_be_bytes();
    let questions = u8::from(!question.is_empty());
    out.extend_from_slice(&[i1, i2, f1, f2, 0, questions, 0, 0, 0, 0, 0, 0]);
    out.extend_from_slice(question);
}

/// Appends a record; `owner` is a wire name or [`QUESTION`]. The caller counts it in the header. RDATA over 65,535 bytes does not
/// exist; more is cut.
pub fn record(out: &mut Vec<u8>, owner: &[u8], rtype: Rtype, class: Class, ttl: u32, rdata: &[u8]) {
    let rdata = &rdata[..rdata.len().min(65_535)];
    let mut fixed = [0u8; 10];
    fixed[..2].copy_from_slice(&rtype.0.to_be_bytes());
    fixed[2..4].copy_from_slice(&class.0.to_be_bytes());
    fixed[4..8].copy_from_slice(&ttl.to_be_bytes());
    fixed[8..].copy_from_slice(&(rdata.len() as u16).to_be_bytes());
    out.extend_from_slice(owner);
    out.extend_from_slice(&fixed);
    out.extend_from_slice(rdata);
}

/// Writes a bare header into `out`: ID, RD, CD and AD of `query`, QR, the opcode only if `keep_opcode`, and `rcode`: how a message that is no
/// acceptable query is met.
pub fn bare_header(out: &mut Vec<u8>, query: &[u8], keep_opcode: bool, rcode: super::Rcode) {
    let kept = Flags::RD | Flags::CD | Flags::AD | if keep_opcode { 0x7800 } else { 0 };
    let flags = Flags(Flags::QR | Flags::of(query).0 & kept).with_rcode(rcode);
    start(out, query, 0, flags);
}
