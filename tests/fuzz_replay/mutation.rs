//! Changes to inputs, the same in each run.

/// Bytes of an input at most.
const LENGTH_MAX: usize = 4096;

/// Numbers that stand at edges.
const EDGES: &[u8] = &[0, 1, 2, 11, 12, 0x29, 0x3F, 0x40, 0x7F, 0x80, 0xC0, 0xFE, 0xFF];

/// Makes inputs out of seeds.
pub(super) struct Mutator {
    state: u64,
    words: &'static [&'static [u8]],
}

impl Mutator {
    /// `words` are put into inputs now and then.
    pub(super) fn new(seed: u64, words: &'static [&'static [u8]]) -> Self {
        Self { state: seed, words }
    }

    /// A number below `bound`, 0 if that is 0 (SplitMix64).
    fn below(&mut self, bound: usize) -> usize {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % (bound.max(1) as u64)) as usize
    }

    /// A seed with a few changes.
    pub(super) fn next(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut input = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(6) {
            let other = &seeds[self.below(seeds.len())];
            self.change(&mut input, other);
        }
        input.truncate(LENGTH_MAX);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(input.len());
        let length = self.below(input.len() - at).min(64);
        match self.below(9) {
            0 if !input.is_empty() => input[at] ^= 1 << self.below(8),
            1 if !input.is_empty() => input[at] = EDGES[self.below(EDGES.len())],
            2 if !input.is_empty() => input[at] = self.below(256) as u8,
            3 => drop(input.drain(at..at + length)),
            4 => {
                let copied = input[at..at + length].to_vec();
                let to = self.below(input.len() + 1);
                input.splice(to..to, copied);
            }
            5 => {
                let word = self.words[self.below(self.words.len())];
                input.splice(at..at, word.iter().copied());
            }
            6 => {
                let word = self.words[self.below(self.words.len())];
                input.splice(at..(at + word.len()).min(input.len()), word.iter().copied());
            }
            7 => {
                // The beginning of one, the end of another.
                input.truncate(at);
                input.extend_from_slice(&other[self.below(other.len())..]);
            }
            _ => input.truncate(at),
        }
    }
}
