//! Small numbers for the caches that there are, so that each thread finds its own part of one by a place in a list.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The number of a cache; no other has it as long as this lives.
pub(super) struct Number(usize);

#[derive(Default)]
struct Numbers {
    given: usize,
    /// Numbers that were given back.
    free: Vec<usize>,
}

static NUMBERS: Mutex<Numbers> = Mutex::new(Numbers { given: 0, free: Vec::new() });

fn numbers() -> MutexGuard<'static, Numbers> {
    NUMBERS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Number {
    /// A number that no other cache has; one that was given back, if there is any.
    pub(super) fn new() -> Self {
        let mut numbers = numbers();
        let number = numbers.free.pop().unwrap_or(numbers.given);
        numbers.given = numbers.given.max(number + 1);
        Self(number)
    }

    #[inline]
    pub(super) const fn get(&self) -> usize {
        self.0
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        numbers().free.push(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_live_are_different() {
        let mut held: Vec<Number> = (0..50).map(|_| Number::new()).collect();
        for _ in 0..100 {
            held.remove(held.len() / 2);
            held.push(Number::new());
            let mut numbers: Vec<usize> = held.iter().map(Number::get).collect();
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(numbers.len(), 50);
        }
    }
}
