//! What serves: reloads, hands over to its successor, and ends, as signals want it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinHandle};

use super::pidfile::PidFile;
use super::run::explain;
use crate::chain::EventHook;
use crate::control::config_watch::Changed;
use crate::control::service::{self, Notifier};
use crate::control::signals::{Signal, Signals};
use crate::control::upgrade::{Predecessor, Program, Successor, tell_outcome};
use crate::instance::{Plan, Running, StartError};
use crate::net::priority::step_back;

/// How long queries that wait may take to be answered at the end.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// How long a successor may take until it serves.
const SUCCESSOR_LIMIT: Duration = Duration::from_secs(60);

/// How long connections that are open are served on beside a successor: as long as one may be idle.
const RETIRE_LIMIT: Duration = Duration::from_secs(10);

/// After that, connections end behind what they have asked; how long that may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// A server that answers to signals.
pub(super) struct Daemon {
    pub(super) running: Running,
    pub(super) signals: Signals,
    pub(super) changes: mpsc::Receiver<Changed>,
    pub(super) notifier: Arc<Notifier>,
    /// What a successor is started from.
    pub(super) program: io::Result<Program>,
    pub(super) control: Handle,
}

/// What came of an upgrade.
enum Upgraded {
    /// Another process serves.
    Done,
    /// This one serves on; what stood in the way was said.
    Failed,
    /// A signal has ended both.
    Ended(Signal),
}

impl Daemon {
    /// Serves beside `predecessor` until that one leaves, then alone; `pidfile` is written between the two. Returns the exit code.
    pub(super) async fn succeed(
        mut self,
        predecessor: Predecessor,
        pidfile: impl FnOnce() -> Option<PidFile>,
    ) -> u8 {
        self.running.pulse().beat().await;
        predecessor.ready().await;
        let mut meanwhile = Vec::new();
        let left = {
            let has_left = predecessor.has_left();
            tokio::pin!(has_left);
            loop {
                tokio::select! {
                    left = &mut has_left => break left,
                    signal = self.signals.next() => match signal {
                        Signal::Reload | Signal::Upgrade => meanwhile.push(signal),
                        signal => return self.end(signal).await,
                    },
                }
            }
        };
        drop(predecessor);
        let Some(reload) = left else {
            tracing::error!(
                "the process that started this one has ended before it had handed over: ending, too"
            );
            let hooks = self.running.take_shutdown();
            stop(self.running, self.signals, STOP_LIMIT, hooks).await;
            return 1;
        };
        meanwhile.extend(reload.then_some(Signal::Reload));
        meanwhile.into_iter().for_each(|signal| self.signals.put_off(signal));
        self.serve(pidfile()).await
    }

    /// Carries out signals and changes of the configuration until one ends the process; returns the exit code.
    pub(super) async fn serve(mut self, pidfile: Option<PidFile>) -> u8 {
        self.notifier.ready(&self.status());
        let watchdog = self.watchdog();
        let code = loop {
            let outcome = tokio::select! {
                signal = self.signals.next() => match signal {
                    Signal::Reload => {
                        tracing::info!("SIGUSR1: Reloading");
                        // What is wrong was logged.
                        self.reload().await.map(|_| ())
                    }
                    Signal::Upgrade => match self.upgrade().await {
                        Upgraded::Done => {
                            watchdog.iter().for_each(AbortHandle::abort);
                            if let Some(pidfile) = pidfile {
                                pidfile.leave();
                            }
                            return self.retire().await;
                        }
                        Upgraded::Failed => Ok(()),
                        Upgraded::Ended(signal) => Err(signal),
                    },
                    signal => Err(signal),
                },
                Some(change) = self.changes.recv() => self.reload().await.map(|outcome| change.done(outcome)),
            };
            if let Err(signal) = outcome {
                break self.end(signal).await;
            }
        };
        watchdog.iter().for_each(AbortHandle::abort);
        drop(pidfile);
        code
    }

    /// Keeps the service manager's watchdog quiet as long as the workers are well.
    fn watchdog(&self) -> Option<AbortHandle> {
        let interval = service::watchdog_interval()?;
        let (notifier, pulse) = (Arc::clone(&self.notifier), self.running.pulse());
        let is_well = move || {
            let pulse = pulse.clone();
            async move { pulse.beat().await }
        };
        let watch = async move { notifier.keep_watchdog(interval, is_well).await };
        Some(self.control.spawn(watch).abort_handle())
    }

    fn status(&self) -> String {
        let listeners = self.running.listeners();
        format!("Serving on {listeners} listener{}", if listeners == 1 { "" } else { "s" })
    }

    /// Ends in the way that `signal` wants; returns the exit code.
    async fn end(mut self, signal: Signal) -> u8 {
        self.notifier.stopping();
        let hooks = self.running.take_shutdown();
        match signal {
            Signal::Terminate => {
                tracing::info!("SIGTERM: Shutting down servers then terminating");
                stop(self.running, self.signals, STOP_LIMIT, hooks).await
            }
            Signal::Interrupt => {
                tracing::info!("SIGINT: Shutting down");
                stop(self.running, self.signals, Duration::ZERO, hooks).await
            }
            Signal::ForceQuit => 2,
            Signal::Quit | Signal::Reload | Signal::Upgrade => 0,
        }
    }

    /// Reloads and says how it went; on an error the old configuration serves on. A signal that ends the process ends this too, and is returned.
    async fn reload(&mut self) -> Result<Result<(), String>, Signal> {
        tracing::info!("Reloading");
        self.notifier.reloading();
        let planned = unless_ended(self.running.successor(), &mut self.signals).await?;
        Ok(match planned.and_then(|plan| exchange(&mut self.running, plan)) {
            Ok(()) => {
                drop(run_aside(self.running.take_started()));
                tracing::info!("Reloading complete");
                self.notifier.ready(&self.status());
                Ok(())
            }
            Err(error) => {
                let why = explain(&error);
                crate::metrics::names::RELOAD_FAILED.with([]).inc();
                tracing::error!("Restart failed: {why}");
                self.notifier.ready(&format!("{}; the last reload failed: {why}", self.status()));
                Err(why)
            }
        })
    }

    /// Starts the program anew and leaves all to it once it serves. If it does not, this process serves on.
    async fn upgrade(&mut self) -> Upgraded {
        tracing::info!("SIGUSR2: Upgrading");
        tracing::info!("Upgrading");
        let Self { running, signals, notifier, program, .. } = self;
        let mut reload = false;
        let outcome = {
            let started = start_successor(running, program);
            tokio::pin!(started);
            loop {
                tokio::select! {
                    started = &mut started => break started,
                    signal = signals.next() => match signal {
                        Signal::Reload => reload = true,
                        Signal::Upgrade => tracing::warn!("SIGUSR2: an upgrade is under way already"),
                        signal => {
                            tell_outcome(&Err("the server was told to end".into())).await;
                            return Upgraded::Ended(signal);
                        }
                    },
                }
            }
        };
        let outcome = match outcome {
            Ok((successor, id)) => {
                // Said by who is the service still: of others the manager takes no word.
                notifier.main_process(id);
                successor.take_over(reload).await.map(|()| id)
            }
            Err(why) => Err(why),
        };
        tell_outcome(&outcome).await;
        match outcome {
            Ok(_) => {
                tracing::info!("Upgrade finished");
                Upgraded::Done
            }
            Err(why) => {
                tracing::error!("SIGUSR2: upgrading: {why}");
                self.notifier.status(&format!("{}; the last upgrade failed: {why}", self.status()));
                if reload {
                    self.signals.put_off(Signal::Reload);
                }
                Upgraded::Failed
            }
        }
    }

    /// Finishes what has come to this process while its successor serves; returns the exit code.
    async fn retire(mut self) -> u8 {
        let retired = self.running.retire();
        tokio::pin!(retired);
        for limit in [RETIRE_LIMIT, CLOSE_LIMIT] {
            let limit = tokio::time::sleep(limit);
            tokio::pin!(limit);
            let is_done = loop {
                tokio::select! {
                    () = &mut retired => break true,
                    () = &mut limit => break false,
                    signal = self.signals.next() => match signal {
                        // Both are the successor's business.
                        Signal::Reload => tracing::warn!("SIGUSR1: another process serves already"),
                        Signal::Upgrade => {
                            tracing::warn!("SIGUSR2: another process serves already");
                            tell_outcome(&Err("another process serves already in its place".into())).await;
                        }
                        Signal::Terminate => break true,
                        signal => return self.end(signal).await,
                    },
                }
            };
            if is_done {
                break;
            }
            self.running.close_connections();
        }
        // The service goes on elsewhere: nothing is run that belongs to its end.
        stop(self.running, self.signals, STOP_LIMIT, Vec::new()).await
    }
}

/// Reads a configuration with `read`, which may take long as it looks up names of hosts, unless a signal that ends the process comes
/// first. One that wants a reload has it read again.
pub(super) async fn unless_ended(
    read: impl Fn() -> Result<Plan, StartError> + Clone + Send + 'static,
    signals: &mut Signals,
) -> Result<Result<Plan, StartError>, Signal> {
    loop {
        let (planned, again) = or_ended(tokio::task::spawn_blocking(read.clone()), signals).await?;
        if !again {
            return Ok(planned);
        }
    }
}

/// Waits for the end of `work`, unless a signal that ends the process comes first. Also says whether one wanted a reload meanwhile; an upgrade is refused.
pub(super) async fn or_ended<T>(
    mut work: JoinHandle<Result<T, StartError>>,
    signals: &mut Signals,
) -> Result<(Result<T, StartError>, bool), Signal> {
    let mut again = false;
    loop {
        tokio::select! {
            done = &mut work => {
                let done = done.unwrap_or_else(|panicked| Err(StartError::Plugin(panicked.to_string())));
                return Ok((done, again));
            }
            signal = signals.next() => match signal {
                Signal::Reload => again = true,
                Signal::Upgrade => {
                    let why = "a configuration is just being read; try again";
                    tracing::warn!("SIGUSR2: {why}");
                    tell_outcome(&Err(why.to_owned())).await;
                }
                signal => return Err(signal),
            },
        }
    }
}

/// Starts the program anew, and waits until it serves, as the process of the ID that is returned.
async fn start_successor(
    running: &Running,
    program: &io::Result<Program>,
) -> Result<(Successor, u32), String> {
    let program =
        program.as_ref().map_err(|error| format!("which program this is cannot be told: {error}"))?;
    if std::process::id() == 1 {
        return Err(
            "this is the first process of its container, which ends with it: start a new container".into()
        );
    }
    let mut successor = Successor::start(program, &running.sockets(), running.read_once()).await?;
    let id = successor.ready(SUCCESSOR_LIMIT).await?;
    Ok((successor, id))
}

/// Runs `hooks` and stops `running`, while still listening for signals that want it faster.
async fn stop(running: Running, mut signals: Signals, limit: Duration, hooks: Vec<EventHook>) -> u8 {
    let told = run_aside(hooks);
    let stopped = async {
        // The thread's end, whatever came of it, is the end of the wait.
        let _ = told.await;
        let _ = tokio::task::spawn_blocking(move || running.stop(limit)).await;
    };
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            () = &mut stopped => return 0,
            signal = signals.next() => match signal {
                Signal::ForceQuit => {
                    tracing::info!("SIGINT: Force quit");
                    return 2;
                }
                Signal::Quit => return 0,
                Signal::Terminate | Signal::Interrupt | Signal::Reload | Signal::Upgrade => {}
            },
        }
    }
}

/// Runs `hooks` one after the other on a thread of their own, as they may wait for long; what is returned comes when they are through. The
/// thread is started from here, so that programs that it starts have the standing of the process, not that of the control plane.
pub(super) fn run_aside(hooks: Vec<EventHook>) -> oneshot::Receiver<()> {
    let (done, through) = oneshot::channel();
    if hooks.is_empty() {
        // Dropped, it is through.
        return through;
    }
    let work = move || {
        hooks.into_iter().for_each(|hook| hook());
        // Nobody may be waiting.
        let _ = done.send(());
    };
    if let Err(error) = std::thread::Builder::new().name("on".into()).spawn(work) {
        tracing::error!("starting a thread for commands: {error}");
    }
    through
}

/// Exchanges the configuration on a thread that steps back: letting go of the old one, with its cache and its tables, takes milliseconds, which
/// the queries of a worker on the same core are not to wait for. This thread itself must not, as what it starts would inherit it.
fn exchange(running: &mut Running, plan: Plan) -> Result<(), StartError> {
    std::thread::scope(|scope| {
        let work = move || {
            step_back();
            running.exchange(plan)
        };
        let worker = std::thread::Builder::new().name("control".into()).spawn_scoped(scope, work);
        match worker.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(exchanged)) => exchanged,
            Ok(Err(_)) => Err(StartError::Plugin("a panic, see above".into())),
            Err(error) => Err(StartError::Plugin(format!("starting a thread: {error}"))),
        }
    })
}
