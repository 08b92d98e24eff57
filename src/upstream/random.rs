//! Unpredictable numbers for query IDs and the choice of sockets (RFC 5452 4.3).

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes drawn from the kernel at a time; one call serves some hundred queries.
const BLOCK: usize = 512;

/// A source of numbers nobody outside can foresee: blocks of the kernel's own generator.
///
/// Each worker has one. Tests take [`Random::fixed`], whose numbers repeat.
#[derive(Debug)]
pub struct Random {
    block: Box<[u8; BLOCK]>,
    /// The first byte of the block not yet given away.
    next: usize,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Kernel,
    /// The state of a counting generator.
    Fixed(u64),
}

impl Random {
    /// The kernel's generator.
    pub fn kernel() -> Self {
        Self { block: Box::new([0; BLOCK]), next: BLOCK, source: Source::Kernel }
    }

    /// The same numbers for the same `seed`, for tests.
    pub fn fixed(seed: u64) -> Self {
        Self { block: Box::new([0; BLOCK]), next: BLOCK, source: Source::Fixed(seed) }
    }

    /// Sixteen random bits.
    pub fn next_u16(&mut self) -> u16 {
        u16::from_ne_bytes(self.take())
    }

    /// A number below `bound`, which is at least 1; each is equally likely but for one part in four billion.
    pub fn below(&mut self, bound: u32) -> u32 {
        let wide = u64::from(u32::from_ne_bytes(self.take())) * u64::from(bound);
        (wide >> 32) as u32
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        if self.next + N > BLOCK {
            self.refill();
        }
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.block[self.next..self.next + N]);
        // What was given away is not kept, so that a later look into memory tells nothing of IDs in flight.
        self.block[self.next..self.next + N].fill(0);
        self.next += N;
        bytes
    }

    fn refill(&mut self) {
        self.next = 0;
        let state = match &mut self.source {
            Source::Kernel => {
                if getrandom::fill(&mut self.block[..]).is_ok() {
                    return;
                }
                // No kernel that runs this server refuses, but a sandbox may: then better the standard library's keyed hash of
                // a counter, which was seeded before the sandbox closed, than no service.
                &mut fallback_seed()
            }
            Source::Fixed(state) => state,
        };
        for chunk in self.block.chunks_exact_mut(8) {
            chunk.copy_from_slice(&split_mix(state).to_ne_bytes());
        }
    }
}

fn fallback_seed() -> u64 {
    use std::hash::BuildHasher;
    static CALLS: AtomicU64 = AtomicU64::new(0);
    std::collections::hash_map::RandomState::new().hash_one(CALLS.fetch_add(1, Ordering::Relaxed))
}

/// The next number of Steele, Lea and Flood's SplitMix64.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_source_repeats_and_the_kernel_does_not() {
        let draw = |mut random: Random| (0..600).map(|_| random.next_u16()).collect::<Vec<_>>();
        assert_eq!(draw(Random::fixed(7)), draw(Random::fixed(7)));
        assert_ne!(draw(Random::fixed(7)), draw(Random::fixed(8)));
        assert_ne!(draw(Random::kernel()), draw(Random::kernel()));
    }

    #[test]
    fn numbers_stay_below_their_bound_and_reach_all_of_it() {
        let mut random = Random::fixed(1);
        let mut seen = [0; 5];
        (0..5_000).for_each(|_| seen[random.below(5) as usize] += 1);
        assert!(seen.iter().all(|&n| (800..1200).contains(&n)), "{seen:?}");
        assert_eq!(random.below(1), 0);
    }

    #[test]
    fn ids_use_all_their_bits() {
        let mut random = Random::kernel();
        let (mut ones, mut zeroes) = (0, 0);
        for _ in 0..1_000 {
            let id = random.next_u16();
            ones |= id;
            zeroes |= !id;
        }
        assert_eq!((ones, zeroes), (u16::MAX, u16::MAX));
    }
}
