//! Deadlines of many waiters by one clock: a wheel of lists, so that setting one and taking it back cost the same few
//! instructions however many there are.

use std::time::{Duration, Instant};

use super::slab::{NONE, Slab};

/// How late a deadline may be noticed, at most, if the clock is on time.
pub(super) const TICK: Duration = Duration::from_millis(20);

/// Ticks the wheel holds: some ten seconds. Later deadlines wait in its last slot and are put in again from there.
const SLOTS: u64 = 512;

/// The wheel. Its lists run through the waiters themselves, each of which owns a [`Timer`].
#[derive(Debug)]
pub(super) struct Wheel {
    origin: Instant,
    /// Ticks since `origin` that were swept.
    swept: u64,
    /// The first waiter of each slot, or [`NONE`].
    heads: Box<[u32]>,
}

/// A waiter's place in the wheel.
#[derive(Debug)]
pub(super) struct Timer {
    prev: u32,
    next: u32,
    /// The tick it is due at.
    tick: u64,
    /// The slot it stands in, or [`NONE`].
    slot: u32,
}

impl Timer {
    pub(super) const fn new() -> Self {
        Self { prev: NONE, next: NONE, tick: 0, slot: NONE }
    }
}

/// What owns a [`Timer`].
pub(super) trait Timed {
    fn timer(&mut self) -> &mut Timer;
}

impl Wheel {
    pub(super) fn new(now: Instant) -> Self {
        Self { origin: now, swept: 0, heads: vec![NONE; SLOTS as usize].into_boxed_slice() }
    }

    /// Sets the deadline of `key`, which has none.
    pub(super) fn set<T: Timed>(&mut self, waiters: &mut Slab<T>, key: u32, deadline: Instant) {
        let elapsed = deadline.saturating_duration_since(self.origin).as_nanos();
        let tick = elapsed.div_ceil(TICK.as_nanos()) as u64;
        self.put(waiters, key, tick);
    }

    fn put<T: Timed>(&mut self, waiters: &mut Slab<T>, key: u32, tick: u64) {
        let slot = (tick.clamp(self.swept + 1, self.swept + SLOTS - 1) % SLOTS) as u32;
        let next = self.heads[slot as usize];
        let Some(waiter) = waiters.get_mut(key) else { return };
        *waiter.timer() = Timer { prev: NONE, next, tick, slot };
        if let Some(next) = waiters.get_mut(next) {
            next.timer().prev = key;
        }
        self.heads[slot as usize] = key;
    }

    /// Takes the deadline of `key` back, if it has one.
    pub(super) fn unset<T: Timed>(&mut self, waiters: &mut Slab<T>, key: u32) {
        let Some(waiter) = waiters.get_mut(key) else { return };
        let Timer { prev, next, slot, .. } = std::mem::replace(waiter.timer(), Timer::new());
        if slot == NONE {
            return;
        }
        match waiters.get_mut(prev) {
            Some(prev) => prev.timer().next = next,
            None => self.heads[slot as usize] = next,
        }
        if let Some(next) = waiters.get_mut(next) {
            next.timer().prev = prev;
        }
    }

    /// Appends the waiters whose deadlines have passed to `due`; they have none from now on.
    pub(super) fn sweep<T: Timed>(&mut self, waiters: &mut Slab<T>, now: Instant, due: &mut Vec<u32>) {
        let now = (now.saturating_duration_since(self.origin).as_nanos() / TICK.as_nanos()) as u64;
        let first = self.swept + 1;
        let last = now.min(self.swept + SLOTS);
        self.swept = self.swept.max(now);
        for tick in first..=last {
            let mut key = std::mem::replace(&mut self.heads[(tick % SLOTS) as usize], NONE);
            while let Some(waiter) = waiters.get_mut(key) {
                let timer = std::mem::replace(waiter.timer(), Timer::new());
                if timer.tick <= now {
                    due.push(key);
                } else {
                    self.put(waiters, key, timer.tick);
                }
                key = timer.next;
            }
        }
    }

    /// When to sweep next; `None` if nobody waits.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let tick =
            (self.swept + 1..=self.swept + SLOTS).find(|tick| self.heads[(tick % SLOTS) as usize] != NONE)?;
        Some(self.origin + Duration::from_nanos(tick * TICK.as_nanos() as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Timed for Timer {
        fn timer(&mut self) -> &mut Timer {
            self
        }
    }

    struct Bench {
        wheel: Wheel,
        waiters: Slab<Timer>,
        start: Instant,
    }

    impl Bench {
        fn new() -> Self {
            let start = Instant::now();
            Self { wheel: Wheel::new(start), waiters: Slab::new(), start }
        }

        fn set(&mut self, ms: u64) -> u32 {
            let key = self.waiters.insert(Timer::new());
            self.wheel.set(&mut self.waiters, key, self.start + Duration::from_millis(ms));
            key
        }

        fn sweep(&mut self, ms: u64) -> Vec<u32> {
            let mut due = Vec::new();
            self.wheel.sweep(&mut self.waiters, self.start + Duration::from_millis(ms), &mut due);
            due.sort_unstable();
            due
        }

        fn next_due_ms(&self) -> Option<u128> {
            self.wheel.next_due().map(|due| (due - self.start).as_millis())
        }
    }

    #[test]
    fn deadlines_fall_due_in_time_and_not_before() {
        let mut bench = Bench::new();
        let keys = [2_000, 30, 2_000, 500].map(|ms| bench.set(ms));
        assert_eq!(bench.next_due_ms(), Some(40));
        assert_eq!(bench.sweep(29), [0; 0]);
        assert_eq!(bench.sweep(40), [keys[1]]);
        assert_eq!(bench.next_due_ms(), Some(500));
        assert_eq!(bench.sweep(1_999), [keys[3]]);
        assert_eq!(bench.sweep(2_000), [keys[0], keys[2]]);
        assert_eq!(bench.next_due_ms(), None);
    }

    #[test]
    fn a_deadline_taken_back_never_falls_due() {
        let mut bench = Bench::new();
        let keys = [100, 100, 100, 100].map(|ms| bench.set(ms));
        for key in [keys[1], keys[3], keys[0], keys[0]] {
            bench.wheel.unset(&mut bench.waiters, key);
        }
        assert_eq!(bench.sweep(100), [keys[2]]);
    }

    #[test]
    fn far_deadlines_and_long_sleeps_are_survived() {
        let mut bench = Bench::new();
        let far = bench.set(60_000);
        let near = bench.set(50);
        assert_eq!(bench.sweep(30_000), [near]);
        assert_eq!(bench.sweep(59_000), [0; 0]);
        assert_eq!(bench.sweep(3_600_000), [far]);
        let late = bench.set(10);
        assert_eq!(bench.sweep(3_600_000 + 20), [late], "a deadline in the past falls due at the next sweep");
    }
}
