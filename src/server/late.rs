//! What all tasks of a worker share: the bound on queries that wait, and the timer that hands log lines over.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::chain::clock;
use crate::log;

/// Queries of one worker that may wait for something at once. Each costs about 1.5 KiB, so all of them stay under 25 MiB; over the
/// bound new ones are refused at once.
pub(super) const WAITING_MAX: usize = 16_384;

/// Shared by the tasks of one worker.
#[derive(Default)]
pub(super) struct WorkerShared {
    waiting: Cell<usize>,
    log_armed: Cell<bool>,
    log_wanted: Notify,
    idle: Notify,
}

/// A place among the waiting queries; given back on drop.
pub(super) struct WaitingPlace(Rc<WorkerShared>);

impl WorkerShared {
    /// A place for one more waiting query, if there is one.
    pub(super) fn place(self: &Rc<Self>) -> Option<WaitingPlace> {
        let n = self.waiting.get();
        (n < WAITING_MAX).then(|| {
            self.waiting.set(n + 1);
            WaitingPlace(Rc::clone(self))
        })
    }

    /// Waits until no query waits any more.
    pub(super) async fn until_idle(&self) {
        while self.waiting.get() > 0 {
            self.idle.notified().await;
        }
    }

    /// Called when a batch or task is done: log lines that it left are handed over soon, together with those that follow.
    pub(super) fn after_work(&self, now_ns: u64) {
        if log::wants_hand_over(now_ns) {
            log::hand_over();
        } else if !self.log_armed.get() && log::hand_over_due_ns().is_some() {
            self.log_armed.set(true);
            self.log_wanted.notify_one();
        }
    }

    /// Hands over log lines that no later batch took along; runs as a task of the worker.
    pub(super) async fn hand_over_lines(self: Rc<Self>) {
        loop {
            self.log_wanted.notified().await;
            if let Some(due) = log::hand_over_due_ns() {
                let wait = Duration::from_nanos(due.saturating_sub(clock::now().0));
                tokio::time::sleep(wait).await;
                log::hand_over();
            }
            self.log_armed.set(false);
        }
    }
}

impl Drop for WaitingPlace {
    fn drop(&mut self) {
        let left = self.0.waiting.get() - 1;
        self.0.waiting.set(left);
        if left == 0 {
            self.0.idle.notify_waiters();
        }
    }
}
