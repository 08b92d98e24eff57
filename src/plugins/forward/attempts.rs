//! Which upstream is asked next, and when to give up.

use crate::upstream::{Order, Policy};

/// The attempts of one query: where it stands in the list of upstreams.
#[derive(Debug)]
pub(super) struct Attempts {
    order: Order,
    /// The next place in the order.
    at: usize,
    /// Upstreams that were passed over because they are down, in this round.
    down: usize,
    /// Attempts that failed.
    failed: u32,
    /// Replies that were passed over for their code.
    failovers: usize,
}

/// Whom to ask.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// This upstream.
    Ask(usize),
    /// This one, though all are down.
    AskAnyway(usize),
    /// Nobody: all are down.
    NobodyIsUp,
}

impl Attempts {
    pub(super) const fn new(order: Order) -> Self {
        Self { order, at: 0, down: 0, failed: 0, failovers: 0 }
    }

    /// The next upstream that is up; if none is, any one of them or, with `failfast`, none.
    pub(super) fn choose(&mut self, is_down: impl Fn(usize) -> bool, failfast: bool) -> Choice {
        let count = self.order.places().len();
        loop {
            if self.at >= count {
                self.at = 0;
                self.down = 0;
            }
            let Some(&place) = self.order.places().get(self.at) else { return Choice::NobodyIsUp };
            self.at += 1;
            if !is_down(usize::from(place)) {
                return Choice::Ask(usize::from(place));
            }
            self.down += 1;
            if self.down >= count {
                return if failfast { Choice::NobodyIsUp } else { Choice::AskAnyway(Policy::any(count)) };
            }
        }
    }

    /// An attempt has failed. True if there is to be another; `max` of them may fail, 0 for no limit.
    pub(super) fn go_on_after_failure(&mut self, max: u32) -> bool {
        self.failed = self.failed.saturating_add(1);
        (max == 0 || self.failed < max) && self.down < self.order.places().len()
    }

    /// A reply came whose code asks for another upstream. True if there is one that was not asked for that reason.
    pub(super) fn go_on_after_reply(&mut self) -> bool {
        self.failovers += 1;
        self.failovers < self.order.places().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempts(count: usize) -> Attempts {
        Attempts::new(Policy::Sequential.order(count))
    }

    #[test]
    fn the_list_is_gone_through_again_and_again() {
        let mut attempts = attempts(2);
        let mut asked = Vec::new();
        loop {
            asked.push(attempts.choose(|_| false, false));
            if !attempts.go_on_after_failure(4) {
                break;
            }
        }
        assert_eq!(asked, [Choice::Ask(0), Choice::Ask(1), Choice::Ask(0), Choice::Ask(1)]);
    }

    #[test]
    fn what_is_down_is_passed_over() {
        let mut attempts = attempts(3);
        assert_eq!(attempts.choose(|place| place == 0, false), Choice::Ask(1));
        assert!(attempts.go_on_after_failure(0));
        assert_eq!(attempts.choose(|place| place == 0, false), Choice::Ask(2));
        assert_eq!(attempts.choose(|place| place == 0, false), Choice::Ask(1));
    }

    #[test]
    fn when_all_are_down_one_is_asked_once_or_none() {
        let mut patient = attempts(2);
        assert!(matches!(patient.choose(|_| true, false), Choice::AskAnyway(0 | 1)));
        assert!(!patient.go_on_after_failure(0));
        assert_eq!(attempts(2).choose(|_| true, true), Choice::NobodyIsUp);
        assert_eq!(attempts(0).choose(|_| false, false), Choice::NobodyIsUp);
    }

    #[test]
    fn replies_are_passed_over_as_often_as_there_are_other_upstreams() {
        let mut attempts = attempts(3);
        assert!(attempts.go_on_after_reply() && attempts.go_on_after_reply());
        assert!(!attempts.go_on_after_reply());
    }
}
