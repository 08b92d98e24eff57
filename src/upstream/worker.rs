//! What a worker does for all its upstreams at once: sends what a turn gathered, watches deadlines, lends buffers.
//!
//! ```text
//!  exchange() ─┐                                      ┌─ sendmmsg, one call an upstream
//!  exchange() ─┼─► dirty upstreams ──flush() or the ──┤
//!  exchange() ─┘                     flusher's turn   └─ write, one call a connection
//! ```
//!
//! The first query of a turn wakes the flusher, a task that stands behind all tasks that were ready by then: what they ask goes out with it.
//! A worker that knows where its batch ends calls [`flush`] itself.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::local::Local;
use super::random::Random;
use super::{clock, worker_local};
use crate::net::{BATCH, RecvBatch};

/// Room for one datagram, bytes. Memory of the batch is only used as far as datagrams reach.
const DATAGRAM_LEN_MAX: usize = u16::MAX as usize;

/// How often idle sockets and connections are looked after while there are any.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

thread_local! {
    static WORKER: Worker = const { Worker::new() };
}

struct Worker {
    /// Upstreams with something to send.
    dirty: RefCell<Vec<Rc<Local>>>,
    flusher: Sleeper,
    /// Upstreams with deadlines, sockets or connections.
    watched: RefCell<Vec<Weak<Local>>>,
    clock: Sleeper,
    /// When the clock wakes next; `None` if it sleeps until called.
    clock_due: Cell<Option<Instant>>,
    random: RefCell<Option<Random>>,
    receive: RefCell<Option<RecvBatch>>,
    wakers: Cell<Vec<Waker>>,
}

impl Worker {
    const fn new() -> Self {
        Self {
            dirty: RefCell::new(Vec::new()),
            flusher: Sleeper::new(),
            watched: RefCell::new(Vec::new()),
            clock: Sleeper::new(),
            clock_due: Cell::new(None),
            random: RefCell::new(None),
            receive: RefCell::new(None),
            wakers: Cell::new(Vec::new()),
        }
    }
}

/// A task of the worker that sleeps until called. It is spawned by the first call, and again should its runtime have ended.
struct Sleeper {
    is_running: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

impl Sleeper {
    const fn new() -> Self {
        Self { is_running: Cell::new(false), waker: Cell::new(None) }
    }

    fn call(&self, spawn: impl FnOnce()) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        } else if !self.is_running.replace(true) {
            spawn();
        }
    }
}

/// Lives in a [`Sleeper`]'s task: says that it is gone when the runtime drops it.
struct Running(fn(&Worker) -> &Sleeper);

impl Drop for Running {
    fn drop(&mut self) {
        // At the thread's end the worker may be gone first.
        let _ = WORKER.try_with(|worker| {
            let sleeper = (self.0)(worker);
            sleeper.is_running.set(false);
            sleeper.waker.take();
        });
    }
}

/// Sends what queries of this turn left to send, on this worker.
pub fn flush() {
    WORKER.with(|worker| {
        loop {
            // The borrow ends with this line: flushing may leave something to flush.
            let next = worker.dirty.borrow_mut().pop();
            let Some(local) = next else { break };
            local.flush();
        }
    });
}

/// `local` has something to send at the end of this turn.
pub(super) fn will_flush(local: Rc<Local>) {
    WORKER.with(|worker| {
        worker.dirty.borrow_mut().push(local);
        worker.flusher.call(|| drop(tokio::task::spawn_local(flusher())));
    });
}

async fn flusher() {
    let _running = Running(|worker| &worker.flusher);
    // Once round behind the tasks that are ready already.
    tokio::task::yield_now().await;
    loop {
        flush();
        poll_fn(|cx| {
            WORKER.with(|worker| {
                if worker.dirty.borrow().is_empty() {
                    worker.flusher.waker.set(Some(cx.waker().clone()));
                    return Poll::Pending;
                }
                Poll::Ready(())
            })
        })
        .await;
    }
}

/// `local` has sockets, connections or waiters from now on.
pub(super) fn watch(local: &Rc<Local>) {
    WORKER.with(|worker| worker.watched.borrow_mut().push(Rc::downgrade(local)));
}

/// The clock must run at `due` at the latest.
pub(super) fn wake_clock_by(due: Instant) {
    WORKER.with(|worker| {
        if worker.clock.is_running.get() && worker.clock_due.get().is_some_and(|at| at <= due) {
            return;
        }
        worker.clock_due.set(Some(due));
        worker.clock.call(|| drop(tokio::task::spawn_local(clock())));
    });
}

async fn clock() {
    let _running = Running(|worker| &worker.clock);
    let mut sleep = pin!(tokio::time::sleep_until(clock::now().into()));
    loop {
        poll_fn(|cx| WORKER.with(|worker| poll_clock(worker, sleep.as_mut(), cx))).await;
        let now = clock::now();
        let watched = WORKER.with(|worker| std::mem::take(&mut *worker.watched.borrow_mut()));
        let mut due: Option<Instant> = None;
        let mut left = Vec::with_capacity(watched.len());
        for weak in watched {
            let Some(local) = weak.upgrade() else { continue };
            if let Some(next) = local.tick(now) {
                let next = next.min(now + HOUSEKEEPING);
                due = Some(due.map_or(next, |due| due.min(next)));
                left.push(weak);
            }
        }
        worker_local::sweep();
        WORKER.with(|worker| {
            // Whoever came meanwhile said when it is due itself.
            worker.watched.borrow_mut().append(&mut left);
            let asked = worker.clock_due.get().filter(|&asked| asked > now);
            worker.clock_due.set(asked.into_iter().chain(due).min());
        });
    }
}

/// Ready when it is time for the clock to look round.
fn poll_clock(worker: &Worker, mut sleep: Pin<&mut tokio::time::Sleep>, cx: &mut Context<'_>) -> Poll<()> {
    worker.clock.waker.set(Some(cx.waker().clone()));
    let Some(due) = worker.clock_due.get() else { return Poll::Pending };
    if sleep.deadline() != due.into() {
        sleep.as_mut().reset(due.into());
    }
    std::task::ready!(sleep.poll(cx));
    worker.clock.waker.take();
    Poll::Ready(())
}

/// Lends this worker's source of random numbers.
pub(super) fn with_random<R>(use_it: impl FnOnce(&mut Random) -> R) -> R {
    WORKER.with(|worker| use_it(worker.random.borrow_mut().get_or_insert_with(Random::kernel)))
}

/// Makes this worker's random numbers repeat, for tests.
#[cfg(test)]
pub(super) fn fix_random(seed: u64) {
    WORKER.with(|worker| *worker.random.borrow_mut() = Some(Random::fixed(seed)));
}

/// Lends this worker's receive batch.
pub(super) fn with_receive_batch<R>(use_it: impl FnOnce(&mut RecvBatch) -> R) -> R {
    WORKER.with(|worker| {
        let mut batch = worker.receive.borrow_mut();
        use_it(batch.get_or_insert_with(|| RecvBatch::new(BATCH, DATAGRAM_LEN_MAX, false)))
    })
}

/// Runs `gather` with an empty list of wakers, and wakes them once it has let go of everything.
pub(super) fn waking<R>(gather: impl FnOnce(&mut Vec<Waker>) -> R) -> R {
    let mut wakers = WORKER.try_with(|worker| worker.wakers.take()).unwrap_or_default();
    let result = gather(&mut wakers);
    wakers.drain(..).for_each(Waker::wake);
    let _ = WORKER.try_with(|worker| worker.wakers.set(wakers));
    result
}
