//! In which order upstreams are tried.

use std::sync::atomic::{AtomicU32, Ordering};

use super::worker;

/// How the first upstream for a query is chosen, and the order of those after it.
#[derive(Debug)]
pub enum Policy {
    /// Any order, each as likely as the next.
    Random,
    /// Each takes its turn at being first; the others keep their order.
    RoundRobin(AtomicU32),
    /// As configured.
    Sequential,
}

/// Upstreams of one plugin at most: an order of them is made for each query, and kept with it.
pub const UPSTREAMS_MAX: usize = 64;

/// An order of upstreams: their places in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    places: [u8; UPSTREAMS_MAX],
    len: u8,
}

impl Order {
    /// The places in the order to try them.
    pub fn places(&self) -> &[u8] {
        &self.places[..usize::from(self.len)]
    }
}

impl Policy {
    /// Each its turn, from the start.
    pub const fn round_robin() -> Self {
        Self::RoundRobin(AtomicU32::new(0))
    }

    /// The order of `count` upstreams for the next query; at most [`UPSTREAMS_MAX`] are looked at.
    pub fn order(&self, count: usize) -> Order {
        let len = count.min(UPSTREAMS_MAX);
        let mut places = [0; UPSTREAMS_MAX];
        places[..len].iter_mut().zip(0..).for_each(|(place, i)| *place = i);
        let listed = &mut places[..len];
        match self {
            _ if len < 2 => {}
            Self::Sequential => {}
            Self::Random => worker::with_random(|random| {
                // Fisher and Yates's shuffle.
                for i in (1..len).rev() {
                    listed.swap(i, random.below(i as u32 + 1) as usize);
                }
            }),
            Self::RoundRobin(turns) => {
                let turn = turns.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
                listed[..=turn as usize % len].rotate_right(1);
            }
        }
        Order { places, len: len as u8 }
    }

    /// One of `count` upstreams at random, 0 if there are none.
    pub fn any(count: usize) -> usize {
        worker::with_random(|random| random.below(count.max(1) as u32)) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orders<const N: usize>(policy: &Policy, times: usize) -> Vec<[u8; N]> {
        (0..times).map(|_| policy.order(N).places().try_into().unwrap()).collect()
    }

    #[test]
    fn sequential_keeps_the_order() {
        assert_eq!(orders(&Policy::Sequential, 2), [[0, 1, 2]; 2]);
    }

    #[test]
    fn round_robin_moves_one_to_the_front() {
        let want = [[1, 0, 2], [2, 0, 1], [0, 1, 2], [1, 0, 2]];
        assert_eq!(orders(&Policy::round_robin(), 4), want);
    }

    #[test]
    fn random_makes_each_order_as_likely() {
        worker::fix_random(3);
        let mut seen = std::collections::HashMap::new();
        orders::<3>(&Policy::Random, 6_000)
            .into_iter()
            .for_each(|order| *seen.entry(order).or_insert(0) += 1);
        assert_eq!(seen.len(), 6);
        assert!(seen.values().all(|&n| (850..1_150).contains(&n)), "{seen:?}");
    }
}
