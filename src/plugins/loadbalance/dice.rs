//! Numbers for turns: fair, cheap, and of no use to an attacker, so they need not be unpredictable.

/// Steele, Lea and Flood's SplitMix64.
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    /// The same numbers for the same `seed`.
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 32 random bits.
    pub(super) const fn roll(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z >> 32) as u32
    }

    /// A number below `bound`, which is at least 1.
    pub(super) const fn below(&mut self, bound: u32) -> u32 {
        ((self.roll() as u64 * bound as u64) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_as_often_as_every_other() {
        let mut dice = Dice::new(1);
        let mut seen = [0; 6];
        (0..60_000).for_each(|_| seen[dice.below(6) as usize] += 1);
        assert!(seen.iter().all(|&times| (9_600..10_400).contains(&times)), "{seen:?}");
        assert_eq!(dice.below(1), 0);
    }
}
