//! Panics inside a plugin cost their query, not the server.

use std::any::Any;
use std::backtrace::Backtrace;
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;

thread_local! {
    /// Where the panic caught last on this thread began, and the stack if it was asked for.
    static PLACE: RefCell<Option<(String, String)>> = const { RefCell::new(None) };
    /// How many guards are around the running code.
    static GUARDED: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

/// Makes panics under a guard quiet (they are logged by whoever catches them); others are printed as before.
pub fn install() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if GUARDED.get() == 0 {
            return default(panic);
        }
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let stack = Backtrace::force_capture().to_string();
        PLACE.with_borrow_mut(|p| *p = Some((place, stack)));
    }));
}

/// Runs `work`; on a panic logs it for `server`, counts it and returns `None`.
pub(super) fn guarded<T>(server: &str, with_stack: bool, work: impl FnOnce() -> T) -> Option<T> {
    GUARDED.set(GUARDED.get() + 1);
    // What `work` borrowed is cleared by the caller before it is used again.
    let result = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(GUARDED.get() - 1);
    result.map_err(|panic| report(server, with_stack, &*panic)).ok()
}

/// Awaits `work`; on a panic logs it for `server`, counts it and returns `None`.
pub(super) async fn guarded_future<T>(
    server: &str,
    with_stack: bool,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut work = pin!(work);
    poll_fn(|cx| match guarded(server, with_stack, || work.as_mut().poll(cx)) {
        Some(poll) => poll.map(Some),
        None => std::task::Poll::Ready(None),
    })
    .await
}

fn report(server: &str, with_stack: bool, panic: &(dyn Any + Send)) {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without words");
    let (place, stack) = PLACE.take().unwrap_or_default();
    crate::metrics::names::PANICS.with([]).inc();
    if with_stack {
        tracing::error!("Recovered from panic in server: \"{server}\" {message} ({place})\n{stack}");
    } else {
        tracing::error!("Recovered from panic in server: \"{server}\" {message} ({place})");
    }
}
