//! When what harm is done: a lane of harms after each other for each thing that can be harmed, side by side, all drawn
//! from one seed.

use std::time::{Duration, Instant};

use super::harms::Harm;

/// One harm, from when to when.
pub struct Span {
    /// What is done.
    pub harm: &'static Harm,
    /// Its start, from the start of the run.
    pub start: Duration,
    /// Its end.
    pub end: Duration,
    /// What it draws from.
    pub seed: u64,
}

/// Nothing is done at first, so that the start can be measured.
pub const CALM_BEFORE: Duration = Duration::from_secs(5);
/// Nor at the end, so that what was given up can be given back.
pub const CALM_AFTER: Duration = Duration::from_secs(5);
/// The longest time from the start of one harm of a lane to the next one's.
const TURN_MAX: Duration = Duration::from_secs(12);

/// The lanes of `harms` over `whole`: each lane goes through its harms in a new order each time, with pauses. A turn
/// is so short that each of them is had at least once.
pub fn draw(harms: &[&'static Harm], whole: Duration, seed: u64) -> Vec<Vec<Span>> {
    let mut lanes: Vec<Vec<&'static Harm>> = Vec::new();
    for harm in harms {
        match lanes.iter_mut().find(|lane| lane[0].lane == harm.lane) {
            Some(lane) => lane.push(harm),
            None => lanes.push(vec![harm]),
        }
    }
    let mut random = Random::new(seed);
    let over = whole.saturating_sub(CALM_AFTER);
    let lane = |lane: Vec<&'static Harm>| {
        let turn = (over.saturating_sub(CALM_BEFORE) / lane.len() as u32).min(TURN_MAX);
        let mut spans = Vec::new();
        let mut bag: Vec<&'static Harm> = Vec::new();
        let mut at = CALM_BEFORE;
        while at + turn <= over {
            if bag.is_empty() {
                bag.clone_from(&lane);
            }
            let harm = bag.swap_remove(random.below(bag.len()));
            let start = at + turn.mul_f64(random.share() * 0.35);
            let end = at + turn.mul_f64(0.5 + random.share() * 0.5);
            at += turn;
            // What replaces the process would hide what it has kept: the second half belongs to one process.
            if !harm.first_half_only
                || end < whole / 2
                || spans.iter().all(|span: &Span| span.harm.name != harm.name)
            {
                spans.push(Span { harm, start, end, seed: random.next() });
            }
        }
        spans
    };
    lanes.into_iter().map(lane).collect()
}

/// What a harm is told about the time: when it is to end.
pub struct Until(pub Instant);

impl Until {
    /// Waits for `pause`, or to the end if that is sooner; false when the end has come.
    pub fn pause(&self, pause: Duration) -> bool {
        let left = self.0.saturating_duration_since(Instant::now());
        std::thread::sleep(pause.min(left));
        left > pause
    }

    /// Whether the end has not come.
    pub fn goes_on(&self) -> bool {
        Instant::now() < self.0
    }
}

/// Numbers by chance, the same for the same seed (xorshift64).
pub struct Random(u64);

impl Random {
    /// Those of `seed`.
    pub fn new(seed: u64) -> Self {
        // Small seeds differ in few bits, and zero gives nothing but zeros.
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next one.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// One below `bound`, which is at least 1.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// From 0 to 1.
    pub fn share(&mut self) -> f64 {
        self.below(1 << 20) as f64 / f64::from(1 << 20)
    }

    /// Bytes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::whole::harms;

    #[test]
    fn every_harm_is_had_in_two_minutes_in_time_and_the_same_for_the_same_seed() {
        let whole = Duration::from_secs(120);
        for seed in 0..50 {
            let lanes = draw(&harms::all(), whole, seed);
            for harm in harms::all() {
                assert!(
                    lanes.iter().flatten().any(|span| span.harm.name == harm.name),
                    "{} in {seed}",
                    harm.name
                );
            }
            for lane in &lanes {
                assert!(lane.windows(2).all(|two| two[0].end <= two[1].start));
                assert!(lane.iter().all(|span| span.start >= CALM_BEFORE && span.end <= whole - CALM_AFTER));
                assert!(lane.iter().all(|span| span.start < span.end));
            }
            let starts =
                |lanes: &[Vec<Span>]| lanes.iter().flatten().map(|span| span.start).collect::<Vec<_>>();
            assert_eq!(starts(&lanes), starts(&draw(&harms::all(), whole, seed)));
        }
    }
}
