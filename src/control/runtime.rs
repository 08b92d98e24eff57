//! The runtime of the control plane: small, so that what runs there never competes with the workers for more than a
//! core or two.

use std::io;
use std::sync::Mutex;
use std::thread;
use tokio::runtime::{Builder, Handle, Runtime};

/// A multi-threaded tokio runtime of one or two threads.
pub struct ControlRuntime(Runtime);

impl ControlRuntime {
    /// Starts the threads; they are called `control`.
    ///
    /// # Errors
    /// If the kernel gives no threads or no epoll descriptor.
    pub fn start() -> io::Result<Self> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let threads = cores.min(THREADS_MAX);
        are_to_be_had(threads)?;
        Builder::new_multi_thread()
            .worker_threads(threads)
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .thread_name("control")
            // What is read and built here may share a core with a worker, whose queries wait for nobody.
            .on_thread_start(crate::net::priority::step_back)
            .enable_all()
            .build()
            .map(Self)
    }

    /// For spawning from anywhere.
    pub fn handle(&self) -> &Handle {
        self.0.handle()
    }

    /// Runs `future` on the calling thread, with the runtime behind it.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.0.block_on(future)
    }

    /// Leaves its threads to the end of the process, which is to follow at once. Where that end is forced, a thread may still be waiting for
    /// the runtime's timer, and would panic if that went away first.
    #[allow(clippy::mem_forget, reason = "what it owns is the kernel's a moment later")]
    pub fn leave(self) {
        std::mem::forget(self.0);
    }
}

/// Whether the system gives so many threads. The runtime takes that for granted: it panics if not, and then waits for ever for those that it got.
fn are_to_be_had(threads: usize) -> io::Result<()> {
    let end = Mutex::new(());
    thread::scope(|scope| {
        // All at once, as the runtime has them.
        let _go_on = end.lock();
        (0..threads)
            .try_for_each(|_| thread::Builder::new().spawn_scoped(scope, || drop(end.lock())).map(drop))
    })
}

/// Two, so that a task that computes for long (parsing a large file) does not hold up health checks.
const THREADS_MAX: usize = 2;
/// Reading files and resolving names by the system block; more than a few at once gain nothing.
const BLOCKING_THREADS_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_run_on_threads_of_its_own_and_end_with_it() {
        let runtime = ControlRuntime::start().unwrap();
        let name = runtime.handle().spawn(async { thread::current().name().map(String::from) });
        assert_eq!(runtime.block_on(name).unwrap().as_deref(), Some("control"));
        let (ended, end) = std::sync::mpsc::channel::<()>();
        runtime.handle().spawn(async move {
            let _ended = ended;
            std::future::pending::<()>().await;
        });
        drop(runtime);
        assert!(end.recv().is_err(), "the task is gone, and its sender with it");
    }
}
