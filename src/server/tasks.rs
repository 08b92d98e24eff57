//! Many futures in one task of the worker.
//!
//! A task of the runtime for each query that waits would cost more than the rest of our work on it: memory aligned and taken apart anew,
//! places in the runtime's lists, and a look at the kernel's events every few polls. Here a place is used again and again, and all
//! futures that are ready run in one go.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Places that are free and more than this are given back when nothing runs.
const FREE_PLACES_MAX: usize = 256;

/// Futures polled in one go, at most.
const POLLS_MAX: usize = 128;

/// The futures of one worker that run side by side.
#[derive(Default)]
pub(super) struct Tasks {
    places: RefCell<Places>,
    ready: Arc<Ready>,
    /// The task that polls them is there.
    is_driven: Cell<bool>,
}

#[derive(Default)]
struct Places {
    all: Vec<Place>,
    free: Vec<u32>,
}

struct Place {
    /// `None` while it is free, and while its future is being polled.
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
    /// Wakes whichever future stands here; one call too many does no harm.
    caller: Arc<Caller>,
    waker: Waker,
}

/// What wakers share with the task that polls; they may come from any thread.
#[derive(Default)]
struct Ready {
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    places: Vec<u32>,
    driver: Option<Waker>,
}

struct Caller {
    place: u32,
    is_queued: AtomicBool,
    ready: Arc<Ready>,
}

impl Wake for Caller {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // AcqRel: what was done before the call is seen by the poll that it causes.
        if self.is_queued.swap(true, Ordering::AcqRel) {
            return;
        }
        let driver = {
            let mut queue = self.ready.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.places.push(self.place);
            queue.driver.take()
        };
        if let Some(driver) = driver {
            driver.wake();
        }
    }
}

impl Tasks {
    /// Runs `future`, from the worker's next turn on. Call it on the worker, in its `LocalRuntime`.
    pub(super) fn spawn(self: &Rc<Self>, future: impl Future<Output = ()> + 'static) {
        let caller = self.places.borrow_mut().put(Box::pin(future), &self.ready);
        caller.wake();
        if !self.is_driven.replace(true) {
            tokio::task::spawn_local(drive(Rc::clone(self)));
        }
    }

    /// Polls what is ready, but not too much in one go: the sockets want their turn too.
    fn poll(&self, ready: &mut Vec<u32>, cx: &Context<'_>) {
        let mut left = POLLS_MAX;
        loop {
            if ready.is_empty() {
                let mut queue = self.ready.queue.lock().unwrap_or_else(PoisonError::into_inner);
                if queue.places.is_empty() {
                    // Whoever is next to be ready calls.
                    queue.driver = Some(cx.waker().clone());
                    return;
                }
                std::mem::swap(&mut queue.places, ready);
                // The first to be called is taken first.
                ready.reverse();
            }
            while left > 0
                && let Some(place) = ready.pop()
            {
                left -= 1;
                self.poll_one(place);
            }
            if left == 0 {
                return cx.waker().wake_by_ref();
            }
        }
    }

    fn poll_one(&self, place: u32) {
        let taken = {
            let mut places = self.places.borrow_mut();
            places.all.get_mut(place as usize).and_then(|p| {
                // Before the poll: a call during it must count.
                p.caller.is_queued.store(false, Ordering::Release);
                Some((p.future.take()?, p.waker.clone()))
            })
        };
        let Some((mut future, waker)) = taken else { return };
        let mut cx = Context::from_waker(&waker);
        // Plugins run under guards of their own. Whatever else panics ends its own query alone, as in a task of the runtime.
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut cx)));
        if let Ok(Poll::Pending) = polled {
            if let Some(p) = self.places.borrow_mut().all.get_mut(place as usize) {
                p.future = Some(future);
            }
            return;
        }
        // What it held may spawn when it is dropped.
        drop(future);
        self.places.borrow_mut().give_back(place);
    }
}

impl Places {
    fn put(&mut self, future: Pin<Box<dyn Future<Output = ()>>>, ready: &Arc<Ready>) -> Arc<Caller> {
        if let Some(place) = self.free.pop().and_then(|place| self.all.get_mut(place as usize)) {
            place.future = Some(future);
            return Arc::clone(&place.caller);
        }
        let place = self.all.len() as u32;
        let caller = Arc::new(Caller { place, is_queued: AtomicBool::new(false), ready: Arc::clone(ready) });
        let waker = Waker::from(Arc::clone(&caller));
        self.all.push(Place { future: Some(future), caller: Arc::clone(&caller), waker });
        caller
    }

    fn give_back(&mut self, place: u32) {
        self.free.push(place);
        if self.free.len() == self.all.len() && self.all.len() > FREE_PLACES_MAX {
            *self = Self::default();
        }
    }
}

/// Ends all futures with the task that polls them: with the worker's runtime.
struct Driven(Rc<Tasks>);

impl Drop for Driven {
    fn drop(&mut self) {
        self.0.is_driven.set(false);
        let places = std::mem::take(&mut *self.0.places.borrow_mut());
        drop(places);
    }
}

async fn drive(tasks: Rc<Tasks>) {
    let driven = Driven(tasks);
    let mut ready = Vec::new();
    poll_fn(|cx| {
        driven.0.poll(&mut ready, cx);
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "local")]
    async fn futures_run_side_by_side_and_places_are_used_again() {
        let tasks = Rc::new(Tasks::default());
        let (done, mut seen) = tokio::sync::mpsc::unbounded_channel();
        for _ in 0..3 {
            for i in 0..100 {
                let done = done.clone();
                tasks.spawn(async move {
                    for _ in 0..i % 7 {
                        tokio::task::yield_now().await;
                    }
                    done.send(i).expect("the test listens");
                });
            }
            let mut all = Vec::new();
            seen.recv_many(&mut all, 100).await;
            while all.len() < 100 {
                seen.recv_many(&mut all, 100).await;
            }
            all.sort_unstable();
            assert!(all.into_iter().eq(0..100));
        }
        assert_eq!(tasks.places.borrow().all.len(), 100);
        assert_eq!(tasks.places.borrow().free.len(), 100);
    }

    #[tokio::test(flavor = "local")]
    async fn a_call_from_another_thread_counts() {
        let tasks = Rc::new(Tasks::default());
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let (told, heard) = tokio::sync::oneshot::channel();
        tasks.spawn(async move {
            let _ = told.send(receiver.await);
        });
        tokio::task::yield_now().await;
        let thread = std::thread::spawn(move || sender.send(7));
        assert_eq!(heard.await.unwrap(), Ok(7));
        thread.join().unwrap().unwrap();
    }

    #[tokio::test(flavor = "local")]
    async fn a_panic_ends_its_future_alone() {
        let tasks = Rc::new(Tasks::default());
        let (told, heard) = tokio::sync::oneshot::channel();
        tasks.spawn(async { panic!("one of many") });
        tasks.spawn(async move {
            let _ = told.send(());
        });
        heard.await.unwrap();
        assert_eq!(tasks.places.borrow().free.len(), 2);
    }

    #[tokio::test(flavor = "local")]
    async fn a_future_may_spawn_another() {
        let tasks = Rc::new(Tasks::default());
        let (told, heard) = tokio::sync::oneshot::channel();
        let inner = Rc::clone(&tasks);
        tasks.spawn(async move {
            inner.spawn(async move {
                let _ = told.send(());
            });
        });
        heard.await.unwrap();
    }

    #[test]
    fn what_waits_is_dropped_with_the_runtime() {
        let tasks = Rc::new(Tasks::default());
        let held = Rc::new(());
        let runtime = tokio::runtime::LocalRuntime::new().unwrap();
        let theirs = Rc::clone(&held);
        runtime.block_on(async {
            tasks.spawn(async move {
                std::future::pending::<()>().await;
                drop(theirs);
            });
            tokio::task::yield_now().await;
        });
        drop(runtime);
        assert_eq!(Rc::strong_count(&held), 1);
    }

    #[tokio::test(flavor = "local")]
    async fn the_places_of_a_burst_are_given_back() {
        let tasks = Rc::new(Tasks::default());
        let (told, heard) = tokio::sync::oneshot::channel();
        for _ in 0..1_000 {
            tasks.spawn(async {});
        }
        tasks.spawn(async move {
            let _ = told.send(());
        });
        heard.await.unwrap();
        assert!(tasks.places.borrow().all.is_empty());
    }
}
