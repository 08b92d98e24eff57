//! Names whose address anybody can tell, so that a wrong one is seen whoever gave it.

use std::fmt::Write as _;

use waypost_load::message::{self, HEADER_LEN, TYPE_A};
use waypost_load::names;

/// The hosts file's names.
pub const HOSTS: &str = "host{}.bench.example.";
/// How many there are.
pub const HOSTS_COUNT: u32 = 10_000;
/// Names that the upstream knows and the cache holds.
pub const CACHED: &str = "known{}.cached.example.";
/// How many there are.
pub const CACHED_COUNT: u32 = 500;
/// Names of the upstream that flaps, asked again and again.
pub const STALE: &str = "known{}.flappy.example.";
/// How many there are.
pub const STALE_COUNT: u32 = 200;
/// Under it, names never asked before go to the upstream that is well.
pub const FORWARDED: &str = "forwarded.example.";
/// Under it, names never asked before go to the upstream that flaps.
pub const FLAPPY: &str = "new.flappy.example.";
/// Under it, names never asked before are a flood, in a block of its own.
pub const FLOOD: &str = "flood.example.";

/// What a forged reply says. No name has it.
pub const FORGED: [u8; 4] = [203, 0, 113, 66];

const SERVFAIL: u8 = 2;
const REFUSED: u8 = 5;
/// Bytes of type and class behind a question's name.
const TYPE_AND_CLASS: usize = 4;

/// The address of a name in wire form, in whatever case: in 10.0.0.0/8, by its hash.
pub fn address_of(name: &[u8]) -> [u8; 4] {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in name {
        hash = (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0000_01b3);
    }
    let [.., b, c, d] = (hash ^ (hash >> 32)).to_be_bytes();
    [10, b, c, d]
}

/// Whether `response` says NOERROR and the right address of what `query` asks, and nothing else.
pub fn is_right(query: &[u8], response: &[u8]) -> bool {
    let Some(end) = message::question_end(query) else { return false };
    let address = address_of(&query[HEADER_LEN..end - TYPE_AND_CLASS]);
    response[3] & 0x0f == 0 && response[6..8] == [0, 1] && response.ends_with(&address)
}

/// Whether `response` is right, or says that there is none now: SERVFAIL, REFUSED where a cap is reached, or TC where
/// it is to be asked for over TCP.
pub fn is_right_or_a_failure(query: &[u8], response: &[u8]) -> bool {
    let is_cut = response[2] & 0x02 != 0;
    is_right(query, response)
        || matches!(response[3] & 0x0f, SERVFAIL | REFUSED)
        || is_cut && !response.windows(FORGED.len()).any(|bytes| bytes == FORGED)
}

/// A query for `name`.
///
/// # Errors
/// A sentence, when it is no name.
pub fn query(id: u16, name: &str) -> Result<Vec<u8>, String> {
    let mut query = message::query_header(id).to_vec();
    message::push_question(&mut query, &message::name_from_text(name)?, TYPE_A);
    Ok(query)
}

/// The text of the hosts file.
///
/// # Errors
/// A sentence, when the pattern gives no names.
pub fn hosts_text() -> Result<String, String> {
    let mut text = String::new();
    for number in 0..HOSTS_COUNT {
        let name = names::numbered(HOSTS, number, HOSTS_COUNT);
        let [a, b, c, d] = address_of(&message::name_from_text(&name)?);
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{a}.{b}.{c}.{d} {}", name.trim_end_matches('.'));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_answer_is_known_in_any_case_and_a_forged_one_is_not() {
        let query = query(7, "Host0001.bench.example.").unwrap();
        let answer = |address| {
            let mut response = [&query[..], &message::answer(60, address)].concat();
            response[2] |= 0x80;
            response[7] = 1;
            response
        };
        let address = address_of(b"\x08host0001\x05bench\x07example\0");
        assert!(is_right(&query, &answer(address)));
        assert!(!is_right(&query, &answer(FORGED)) && !is_right_or_a_failure(&query, &answer(FORGED)));
        let mut failed = query.clone();
        failed[2..4].copy_from_slice(&[0x81, 0x82]);
        assert!(!is_right(&query, &failed) && is_right_or_a_failure(&query, &failed));
    }
}
