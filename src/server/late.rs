//! What all tasks of a worker share: the bound on queries that wait, what is owed to clients at the end, and the timer that hands log lines
//! over.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;

use super::tasks::Tasks;
use crate::chain::{Query, Response, clock};
use crate::log;

/// Queries of all workers that may wait for something at once. Each costs some 2.5 KiB where it waits for an upstream, so all of
/// them stay under 45 MiB; over the bound new ones are refused at once.
const WAITING_MAX: usize = 16_384;

/// A worker's part of [`WAITING_MAX`] is no smaller than this, however many there are.
const WAITING_OF_WORKER_MIN: usize = 1_024;

/// Shared by the tasks of one worker.
pub(super) struct WorkerShared {
    waiting: Cell<usize>,
    waiting_max: usize,
    /// Connections and answers of which something is still to be written.
    owed: Cell<usize>,
    /// Where queries that wait run.
    pub(super) tasks: Rc<Tasks>,
    #[allow(clippy::vec_box, reason = "the boxes themselves are handed on")]
    spare: RefCell<Vec<Box<Held>>>,
    log_armed: Cell<bool>,
    log_wanted: Notify,
    /// Somebody waits for `idle`.
    is_ending: Cell<bool>,
    connections: Cell<usize>,
    idle: Notify,
}

/// A query that waits, and its response.
#[derive(Default)]
pub(super) struct Held {
    pub(super) query: Query,
    pub(super) response: Response,
}

/// Values of [`Held`] that are kept for the next queries.
const SPARE_MAX: usize = 256;

/// Bytes of a message that a kept value may have space for.
const SPARE_BYTES_MAX: usize = 4_096;

/// A place among the waiting queries; given back on drop.
pub(super) struct WaitingPlace(Rc<WorkerShared>);

/// Something that is still to be written to a client, for which the end waits. It takes no place from queries: who does not read keeps none
/// from others.
pub(super) struct Owed(Rc<WorkerShared>);
/// An open connection.
pub(super) struct OpenConnection(Rc<WorkerShared>);

impl WorkerShared {
    /// For one of `workers` workers.
    pub(super) fn new(workers: usize) -> Self {
        Self {
            waiting: Cell::new(0),
            owed: Cell::new(0),
            waiting_max: (WAITING_MAX / workers.max(1)).max(WAITING_OF_WORKER_MIN),
            tasks: Rc::default(),
            spare: RefCell::default(),
            log_armed: Cell::new(false),
            log_wanted: Notify::new(),
            is_ending: Cell::new(false),
            connections: Cell::new(0),
            idle: Notify::new(),
        }
    }

    /// A place for one more waiting query, if there is one.
    pub(super) fn place(self: &Rc<Self>) -> Option<WaitingPlace> {
        let n = self.waiting.get();
        (n < self.waiting_max).then(|| {
            self.waiting.set(n + 1);
            WaitingPlace(Rc::clone(self))
        })
    }

    /// Makes the end wait until what this returns is dropped.
    pub(super) fn owe(self: &Rc<Self>) -> Owed {
        self.owed.set(self.owed.get() + 1);
        Owed(Rc::clone(self))
    }

    /// Takes `query` and `response` over; what is left in their place is as good as new.
    pub(super) fn hold(&self, query: &mut Query, response: &mut Response) -> Box<Held> {
        let mut held = self.spare.borrow_mut().pop().unwrap_or_default();
        std::mem::swap(&mut held.query, query);
        std::mem::swap(&mut held.response, response);
        held
    }

    /// Keeps the space of a query that waits no more for one that will.
    pub(super) fn let_go(&self, mut held: Box<Held>) {
        held.query.extensions.clear();
        held.response.clear();
        let mut spare = self.spare.borrow_mut();
        let is_small = held.query.wire().len() <= SPARE_BYTES_MAX
            && held.response.wire_vec().capacity() <= SPARE_BYTES_MAX;
        if is_small && spare.len() < SPARE_MAX {
            spare.push(held);
        }
    }

    /// Waits until no query waits any more and all answers are written.
    pub(super) async fn until_idle(&self) {
        self.is_ending.set(true);
        while self.is_busy() {
            self.idle.notified().await;
        }
    }

    fn is_busy(&self) -> bool {
        self.waiting.get() > 0 || self.owed.get() > 0
    }

    fn look_if_idle(&self) {
        if self.is_ending.get() && !self.is_busy() {
            self.idle.notify_waiters();
        }
    }

    /// Counts a connection as open while what this returns is kept.
    pub(super) fn connection(self: &Rc<Self>) -> OpenConnection {
        self.connections.set(self.connections.get() + 1);
        OpenConnection(Rc::clone(self))
    }

    /// Waits until no query waits any more, nothing is to be written, and no connection is open.
    pub(super) async fn until_unused(&self) {
        self.is_ending.set(true);
        while self.is_busy() || self.connections.get() > 0 {
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
        self.0.waiting.set(self.0.waiting.get() - 1);
        self.0.look_if_idle();
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        self.0.owed.set(self.0.owed.get() - 1);
        self.0.look_if_idle();
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.connections.set(self.0.connections.get() - 1);
        self.0.look_if_idle();
    }
}
