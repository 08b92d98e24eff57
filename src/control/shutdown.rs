//! Stopping in order: who must stop is told and waited for, and no step can hold up the end for longer than its time.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::watch;

/// A pair of which one side says stop and the other side hears it.
pub fn stop_channel() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), Stop(receiver))
}

/// Tells all its [`Stop`]s to stop. Dropping it tells them too.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

impl Stopper {
    /// Says stop, without waiting.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }

    /// Says stop and waits, up to `limit`, until the last [`Stop`] is dropped; says whether it was. Needs a runtime with
    /// its timer on.
    pub async fn stop_and_wait(&self, limit: Duration) -> bool {
        self.stop();
        tokio::time::timeout(limit, self.0.closed()).await.is_ok()
    }

    /// Another listener.
    pub fn listener(&self) -> Stop {
        Stop(self.0.subscribe())
    }
}

/// Hears a [`Stopper`]. Whoever must be waited for keeps one until it is done; a task that serves others clones one into
/// each of them.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Whether stop was said.
    pub fn is_stopped(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Waits until stop is said.
    pub async fn stopped(&mut self) {
        // An error means that the stopper is gone, which says the same.
        let _ = self.0.wait_for(|stopped| *stopped).await;
    }
}

/// The steps of an end, run one after the other in the order they were added: as `health`'s lameduck must be over
/// before `prometheus` closes its page.
#[derive(Default)]
pub struct Shutdown {
    steps: Vec<Step>,
}

struct Step {
    name: String,
    limit: Duration,
    run: Pin<Box<dyn Future<Output = Result<(), String>> + Send>>,
}

/// A step that did not do what it should; the steps behind it ran all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedStep {
    /// The step, as it was added.
    pub name: String,
    /// What it said, or that it took too long, or that it panicked.
    pub why: String,
}

impl fmt::Display for FailedStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.why)
    }
}

impl Shutdown {
    /// Adds a step, which is given up `limit` after it began.
    pub fn step(
        &mut self,
        name: impl Into<String>,
        limit: Duration,
        run: impl Future<Output = Result<(), String>> + Send + 'static,
    ) {
        self.steps.push(Step { name: name.into(), limit, run: Box::pin(run) });
    }

    /// Runs all steps and returns those that failed. Needs a runtime with its timer on.
    pub async fn run(self) -> Vec<FailedStep> {
        let mut failed = Vec::new();
        for Step { name, limit, run } in self.steps {
            // In a task of its own: a panic ends it alone, and one that never yields cannot outlast its limit.
            let mut task = tokio::spawn(run);
            let why = match tokio::time::timeout(limit, &mut task).await {
                Ok(Ok(Ok(()))) => continue,
                Ok(Ok(Err(why))) => why,
                Ok(Err(_)) => "panicked".into(),
                Err(_) => {
                    task.abort();
                    format!("not done after {limit:?}")
                }
            };
            failed.push(FailedStep { name, why });
        }
        failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn stopping_waits_for_the_last_listener() {
        let (stopper, mut stop) = stop_channel();
        assert!(!stop.is_stopped());
        let worker = tokio::spawn(async move {
            stop.stopped().await;
            stop.is_stopped()
        });
        assert!(stopper.stop_and_wait(LONG).await);
        assert!(worker.await.unwrap());
        let late = stopper.listener();
        assert!(late.is_stopped(), "who comes late hears it too");
        assert!(!stopper.stop_and_wait(Duration::ZERO).await, "somebody still holds a listener");
    }

    #[tokio::test]
    async fn a_dropped_stopper_says_stop() {
        let (stopper, mut stop) = stop_channel();
        drop(stopper);
        assert!(stop.is_stopped());
        stop.stopped().await;
    }

    #[tokio::test]
    async fn steps_run_in_order_and_a_failed_one_does_not_stop_the_rest() {
        let ran = Arc::new(Mutex::new(Vec::new()));
        let note = |what| {
            let ran = Arc::clone(&ran);
            move || ran.lock().unwrap().push(what)
        };
        let mut shutdown = Shutdown::default();
        let first = note("first");
        shutdown.step("first", LONG, async move {
            tokio::task::yield_now().await;
            first();
            Ok(())
        });
        shutdown.step("failing", LONG, async { Err("no disk".into()) });
        shutdown.step("panicking", LONG, async { panic!("on purpose") });
        shutdown.step("hanging", Duration::ZERO, std::future::pending());
        let last = note("last");
        shutdown.step("last", LONG, async move {
            last();
            Ok(())
        });
        let failed: Vec<_> = shutdown.run().await.iter().map(ToString::to_string).collect();
        assert_eq!(failed, ["failing: no disk", "panicking: panicked", "hanging: not done after 0ns"]);
        assert_eq!(*ran.lock().unwrap(), ["first", "last"]);
    }
}
