//! What is asked: a list of names gone through in a circle, or names that are never asked twice.

use std::fs;
use std::ops::Range;
use std::path::Path;

use crate::message::{self, TYPE_A, TYPE_AAAA};

/// Bytes of the longest question: a name of 255, its type and class.
pub const QUESTION_MAX: usize = 259;

/// A source of questions without end.
pub enum Names {
    /// A list, in order, again and again.
    Listed(Listed),
    /// Random labels under one suffix, none twice.
    Unique(Unique),
}

impl Names {
    /// The names of a query file: one `NAME [TYPE]` a line, as dnsperf reads them (A and AAAA only).
    ///
    /// # Errors
    /// A sentence naming the file, and the line where there is one.
    pub fn from_file(path: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut listed = Listed::default();
        for (number, line) in text.lines().enumerate() {
            let mut words = line.split_ascii_whitespace();
            let Some(name) = words.next() else { continue };
            let qtype = match words.next() {
                None | Some("A") => TYPE_A,
                Some("AAAA") => TYPE_AAAA,
                Some(other) => {
                    return Err(format!("{}:{}: type {other} is not asked here", path.display(), number + 1));
                }
            };
            listed
                .push(name, qtype)
                .map_err(|error| format!("{}:{}: {error}", path.display(), number + 1))?;
        }
        listed.finish().map_err(|error| format!("{}: {error}", path.display()))
    }

    /// The numbered names of a pattern, `{}` standing for 0 to `count` - 1, padded to one width so that all
    /// queries have one length and can leave in one GSO send.
    ///
    /// # Errors
    /// A sentence, when the pattern is no name.
    pub fn from_pattern(pattern: &str, count: u32, qtype: u16) -> Result<Self, String> {
        let mut listed = Listed::default();
        for number in 0..count {
            listed.push(&numbered(pattern, number, count), qtype)?;
        }
        listed.finish()
    }

    /// Never-repeated names: 16 hexadecimal digits under `suffix`. Another `seed` gives other names.
    ///
    /// # Errors
    /// A sentence, when the suffix is no name or leaves no room.
    pub fn unique(suffix: &str, seed: u64) -> Result<Self, String> {
        let mut question = Vec::new();
        let name = message::name_from_text(&format!("{:016}.{suffix}", 0))?;
        message::push_question(&mut question, &name, TYPE_A);
        Ok(Self::Unique(Unique { question, next: seed }))
    }

    /// Writes the next question at the front of `out` and gives its length. `out` has room for
    /// [`QUESTION_MAX`].
    pub fn write_next(&mut self, out: &mut [u8]) -> usize {
        let question = match self {
            Self::Listed(listed) => listed.next(),
            Self::Unique(unique) => unique.next(),
        };
        out[..question.len()].copy_from_slice(question);
        question.len()
    }
}

/// `pattern` with `number` for `{}`, as wide as the largest below `count`.
pub fn numbered(pattern: &str, number: u32, count: u32) -> String {
    let width = count.saturating_sub(1).to_string().len();
    pattern.replace("{}", &format!("{number:0width$}"))
}

/// Questions in one buffer.
#[derive(Default)]
pub struct Listed {
    questions: Vec<u8>,
    spans: Vec<Range<usize>>,
    next: usize,
}

impl Listed {
    fn push(&mut self, name: &str, qtype: u16) -> Result<(), String> {
        let start = self.questions.len();
        message::push_question(&mut self.questions, &message::name_from_text(name)?, qtype);
        self.spans.push(start..self.questions.len());
        Ok(())
    }

    fn finish(self) -> Result<Names, String> {
        if self.spans.is_empty() { Err("no names to ask".into()) } else { Ok(Names::Listed(self)) }
    }

    fn next(&mut self) -> &[u8] {
        let span = self.spans[self.next].clone();
        self.next = (self.next + 1) % self.spans.len();
        &self.questions[span]
    }
}

/// One question whose first label changes.
pub struct Unique {
    question: Vec<u8>,
    next: u64,
}

impl Unique {
    fn next(&mut self) -> &[u8] {
        // splitmix64's output function is a bijection: different counters, different labels.
        let mut mixed = self.next.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.next = self.next.wrapping_add(1);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        for digit in &mut self.question[1..17] {
            *digit = b"0123456789abcdef"[(mixed & 0xf) as usize];
            mixed >>= 4;
        }
        &self.question
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn questions(names: &mut Names, count: usize) -> Vec<Vec<u8>> {
        let mut out = [0; QUESTION_MAX];
        (0..count)
            .map(|_| {
                let len = names.write_next(&mut out);
                out[..len].to_vec()
            })
            .collect()
    }

    #[test]
    fn a_pattern_goes_round_with_one_length() {
        let asked = questions(&mut Names::from_pattern("h{}.x.", 11, TYPE_A).unwrap(), 12);
        assert_eq!(asked[0], b"\x03h00\x01x\0\0\x01\0\x01");
        assert_eq!(asked[10], b"\x03h10\x01x\0\0\x01\0\x01");
        assert_eq!(asked[11], asked[0]);
    }

    #[test]
    fn unique_names_do_not_repeat_and_another_seed_gives_others() {
        let mut names = Names::unique("flood.example.", 0).unwrap();
        let mut all: HashSet<_> = questions(&mut names, 50_000).into_iter().collect();
        all.extend(questions(&mut Names::unique("flood.example.", 1 << 40).unwrap(), 50_000));
        assert_eq!(all.len(), 100_000);
    }
}
