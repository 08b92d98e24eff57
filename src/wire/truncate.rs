//! Making a response fit: whole RRsets are dropped from its end and TC says so (RFC 2181 5.1, 9).

use std::collections::HashMap;

use super::compress;
use super::header::{self, Flags};
use super::record::{self, Section};
use super::{Name, Rtype, WireError};

/// Shortens `message` to at most `limit` bytes by dropping whole RRsets from the end (additional, then authority, then answer), never
/// a part of one, and sets TC if anything went. Names are compressed first, which may be enough. A message that fits is left alone; one that is no well-formed message loses all its records.
/// Returns true if anything was dropped.
pub fn to_limit(message: &mut Vec<u8>, limit: usize) -> bool {
    if message.len() <= limit {
        return false;
    }
    if let Ok(shorter) = compress::compressed(message)
        && shorter.len() < message.len()
    {
        *message = shorter;
        if message.len() <= limit {
            return false;
        }
    }
    let cut =
        find_cut(message, limit).unwrap_or(Cut { len: header::HEADER_LEN, kept: [0; 3], question: false });
    message.truncate(cut.len);
    if !cut.question {
        header::set_count(message, 0, 0);
    }
    for (section, count) in cut.kept.into_iter().enumerate() {
        header::set_count(message, section + 1, count);
    }
    Flags::of(message).with(Flags::TC, true).write(message);
    true
}

struct Cut {
    len: usize,
    kept: [u16; 3],
    question: bool,
}

fn find_cut(message: &[u8], limit: usize) -> Result<Cut, WireError> {
    let question_end = record::questions_end(message)?;
    let mut ends = Vec::new();
    let mut sections = Vec::new();
    // For each record which RRset it belongs to, and for each RRset where its last record stands.
    let mut members = Vec::new();
    let mut lasts: Vec<usize> = Vec::new();
    let mut sets: HashMap<(Section, Rtype, u16, Name), usize> = HashMap::new();
    for (i, record) in record::records(message).enumerate() {
        let record = record?;
        let key = (record.section, record.rtype, record.class.0, record.owner(message)?);
        let set = *sets.entry(key).or_insert_with(|| {
            lasts.push(i);
            lasts.len() - 1
        });
        lasts[set] = i;
        members.push(set);
        ends.push(record.end);
        sections.push(record.section);
    }
    let mut keep = ends.iter().take_while(|&&end| end <= limit).count();
    // An RRset that reaches over the cut goes whole: move the cut before its first record, and look again.
    while let Some(split) = members[..keep].iter().position(|&set| lasts[set] >= keep) {
        keep = split;
    }
    let mut kept = [0; 3];
    for &section in &sections[..keep] {
        kept[section as usize] += 1;
    }
    let len = keep.checked_sub(1).map_or(question_end, |last| ends[last]);
    if len > limit {
        // A question that does not fit: no client can have asked for less.
        return Ok(Cut { len: header::HEADER_LEN, kept: [0; 3], question: false });
    }
    Ok(Cut { len, kept, question: true })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(groups: &[(&[u8], u16, usize)], counts: [u16; 3]) -> Vec<u8> {
        let mut m = b"\x00\x01\x84\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x00\x00\x01\x00\x01".to_vec();
        for (section, count) in counts.into_iter().enumerate() {
            header::set_count(&mut m, section + 1, count);
        }
        for &(owner, rtype, n) in groups {
            for i in 0..n {
                super::super::compose::record(
                    &mut m,
                    owner,
                    Rtype(rtype),
                    super::super::Class::IN,
                    60,
                    &[1, 2, 3, i as u8],
                );
            }
        }
        m
    }

    fn check(mut m: Vec<u8>, limit: usize, want: [u16; 3], truncated: bool) {
        assert_eq!(to_limit(&mut m, limit), truncated);
        assert!(m.len() <= limit);
        let [_, a, b, c] = header::counts(&m);
        assert_eq!([a, b, c], want);
        assert_eq!(Flags::of(&m).has(Flags::TC), truncated);
        assert_eq!(record::records(&m).map(Result::unwrap).count(), want.iter().sum::<u16>() as usize);
    }

    #[test]
    fn whole_rrsets_are_dropped_from_the_end() {
        const Q: &[u8] = super::super::compose::QUESTION;
        // Each record is 16 bytes behind a question that ends at 19.
        check(message(&[(Q, 1, 3)], [3, 0, 0]), 512, [3, 0, 0], false);
        check(message(&[(Q, 1, 40)], [40, 0, 0]), 512, [0, 0, 0], true);
        check(message(&[(Q, 5, 1), (Q, 1, 40)], [1, 40, 0]), 512, [1, 0, 0], true);
        check(message(&[(Q, 1, 2), (Q, 2, 2), (Q, 28, 40)], [2, 2, 40]), 512, [2, 2, 0], true);
        check(message(&[(Q, 1, 20), (Q, 2, 20)], [20, 20, 0]), 400, [20, 0, 0], true);
    }

    #[test]
    fn names_are_compressed_before_anything_is_dropped() {
        const LONG: &[u8] = b"\x0cover-and-out\x01a\x00";
        // 30 bytes each as they come; compressed, 29 for the first and 16 for each other.
        let records = || message(&[(LONG, 16, 1), (LONG, 1, 29)], [1, 29, 0]);
        check(records(), 19 + 29 + 29 * 16, [1, 29, 0], false);
        check(records(), 19 + 29 + 29 * 16 - 1, [1, 0, 0], true);
    }

    #[test]
    fn an_rrset_that_is_scattered_goes_whole() {
        const Q: &[u8] = super::super::compose::QUESTION;
        check(message(&[(Q, 16, 1), (Q, 1, 1), (Q, 28, 10), (Q, 1, 30)], [42, 0, 0]), 512, [1, 0, 0], true);
    }

    #[test]
    fn what_is_no_message_loses_its_records() {
        let mut m = message(&[(b"\xC0\x0C", 1, 40)], [200, 0, 0]);
        assert!(to_limit(&mut m, 100));
        assert_eq!((m.len(), header::counts(&m)), (12, [0; 4]));
    }
}
