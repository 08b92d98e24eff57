//! `waypost run`: start, serve, reload, end.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::args::Flags;
use crate::config;
use crate::control::config_watch::Changed;
use crate::control::runtime::ControlRuntime;
use crate::control::signals::{Signal, Signals};
use crate::instance::{LoadError, Plan, Running, Source, StartError, plan};
use crate::log;
use crate::net::priority::step_back;
use crate::server;

/// How long queries that wait may take to be answered at the end.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// How long the last log lines may take to be read.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);

/// The configuration's name if none is given.
const COREFILE: &str = "Corefile";

/// Where the configuration is, by the flag `conf`. Waits for what is typed or piped in.
pub(super) fn source(conf: Option<&Path>) -> Result<Source, LoadError> {
    match conf {
        Some(conf) if conf.as_os_str() == "stdin" => Source::from_stdin(),
        Some(conf) => Source::from_path(conf.to_owned()),
        None if Path::new(COREFILE).symlink_metadata().is_ok() => Source::from_path(COREFILE.into()),
        None => Ok(Source::Default),
    }
}

/// Serves until a signal ends it.
#[allow(clippy::print_stderr, reason = "errors at start go to the terminal")]
pub(super) fn run(flags: &Flags) -> ExitCode {
    match start(flags) {
        Ok(code) => code,
        Err(error) => {
            log::flush(FLUSH_LIMIT);
            eprintln!("{}", error.trim_end());
            ExitCode::FAILURE
        }
    }
}

fn start(flags: &Flags) -> Result<ExitCode, String> {
    log::start();
    server::install_panic_hook();
    let control = ControlRuntime::start().map_err(|error| format!("starting the control plane: {error}"))?;
    let code = control.block_on(async {
        let mut signals = Signals::listen().map_err(|error| format!("catching signals: {error}"))?;
        let ended_by = |signal: Signal| if signal == Signal::ForceQuit { 2 } else { 0 };
        let conf = flags.conf.clone();
        let reading = tokio::task::spawn_blocking(move || source(conf.as_deref()).map_err(StartError::from));
        let source = match or_ended(reading, &mut signals).await {
            Ok((source, _)) => source.map_err(|error| explain(&error))?,
            Err(signal) => return Ok(ended_by(signal)),
        };
        let dns_port = flags.dns_port.unwrap_or(config::DNS_PORT);
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        // One configuration at a time can have changed.
        let (changed, changes) = mpsc::channel(1);
        let read = {
            let source = source.clone();
            move || plan(&source, dns_port).map_err(StartError::from)
        };
        let planned = match unless_ended(read, &mut signals).await {
            Ok(planned) => planned.map_err(|error| explain(&error))?,
            Err(signal) => return Ok(ended_by(signal)),
        };
        let (running, plan) = Running::start(source, dns_port, planned, workers, control.handle(), changed)
            .map_err(|error| explain(&error))?;
        if !flags.quiet {
            Running::print_banner(&plan);
        }
        let pidfile = flags.pidfile.as_deref().map(PidFile::write);
        let code = serve(running, signals, changes).await;
        drop(pidfile);
        Ok::<_, String>(code)
    })?;
    log::flush(FLUSH_LIMIT);
    control.shut_down(Duration::from_millis(100));
    Ok(ExitCode::from(code))
}

/// Carries out signals and changes of the configuration until one ends the process; returns the exit code.
async fn serve(mut running: Running, mut signals: Signals, mut changes: mpsc::Receiver<Changed>) -> u8 {
    loop {
        tokio::select! {
            signal = signals.next() => {
                if signal != Signal::Reload {
                    return end(running, signals, signal).await;
                }
                tracing::info!("SIGUSR1: Reloading");
                // What is wrong was logged.
                if let Err(signal) = reload(&mut running, &mut signals).await {
                    return end(running, signals, signal).await;
                }
            }
            Some(change) = changes.recv() => match reload(&mut running, &mut signals).await {
                Ok(outcome) => change.done(outcome),
                Err(signal) => return end(running, signals, signal).await,
            },
        }
    }
}

/// Ends `running` in the way that `signal` wants; returns the exit code.
async fn end(running: Running, signals: Signals, signal: Signal) -> u8 {
    match signal {
        Signal::Terminate => {
            tracing::info!("SIGTERM: Shutting down servers then terminating");
            stop(running, signals, STOP_LIMIT).await
        }
        Signal::Interrupt => {
            tracing::info!("SIGINT: Shutting down");
            stop(running, signals, Duration::ZERO).await
        }
        Signal::ForceQuit => 2,
        Signal::Quit | Signal::Reload => 0,
    }
}

/// Reads a configuration with `read`, which may take long as it looks up names of hosts, unless a signal that ends the process comes
/// first. One that wants a reload has it read again.
async fn unless_ended(
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

/// Waits for the end of `work`, unless a signal that ends the process comes first. Also says whether one wanted a reload meanwhile.
async fn or_ended<T>(
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
                signal => return Err(signal),
            },
        }
    }
}

/// Stops `running` while still listening for signals that want it faster.
async fn stop(running: Running, mut signals: Signals, limit: Duration) -> u8 {
    let stopped = tokio::task::spawn_blocking(move || running.stop(limit));
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            _ = &mut stopped => return 0,
            signal = signals.next() => match signal {
                Signal::ForceQuit => {
                    tracing::info!("SIGINT: Force quit");
                    return 2;
                }
                Signal::Quit => return 0,
                Signal::Terminate | Signal::Interrupt | Signal::Reload => {}
            },
        }
    }
}

/// Reloads and says how it went; on an error the old configuration serves on. A signal that ends the process ends this too, and is returned.
async fn reload(running: &mut Running, signals: &mut Signals) -> Result<Result<(), String>, Signal> {
    tracing::info!("Reloading");
    let planned = unless_ended(running.successor(), signals).await?;
    Ok(match planned.and_then(|plan| exchange(running, plan)) {
        Ok(()) => {
            tracing::info!("Reloading complete");
            Ok(())
        }
        Err(error) => {
            let why = explain(&error);
            crate::metrics::names::RELOAD_FAILED.with([]).inc();
            tracing::error!("Restart failed: {why}");
            Err(why)
        }
    })
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

/// The error with what can be done about it; warnings that came with it are logged.
fn explain(error: &StartError) -> String {
    error.log_warnings();
    let StartError::Bind(bind) = error else { return error.to_string() };
    let port = bind.address.port();
    let hint = match bind.source.kind() {
        io::ErrorKind::PermissionDenied => format!(
            "\nPort {port} is below 1024 and needs the right to bind it. Any of these gives it:\n  \
             - run as root\n  \
             - setcap cap_net_bind_service=+ep {}\n  \
             - in a systemd unit: AmbientCapabilities=CAP_NET_BIND_SERVICE\n  \
             - in a container: --cap-add NET_BIND_SERVICE\n\
             Or serve another port: in the Corefile (`.:1053 {{`), or with `-p 1053` where that names none",
            std::env::current_exe().unwrap_or_else(|_| "waypost".into()).display()
        ),
        io::ErrorKind::AddrInUse => format!(
            "\nAnother program listens on port {port} (perhaps a second waypost, or the stub of systemd-resolved on 127.0.0.53).\n\
             This shows which: ss -lpn 'sport = :{port}'"
        ),
        io::ErrorKind::AddrNotAvailable => {
            "\nThe address is not one of this machine's; `ip address` shows them.".to_owned()
        }
        _ => String::new(),
    };
    format!("{error}{hint}")
}

/// The file with our process ID; removed when dropped.
struct PidFile(PathBuf);

impl PidFile {
    fn write(path: &Path) -> Self {
        if let Err(error) = std::fs::write(path, format!("{}\n", std::process::id())) {
            tracing::error!(
                "Could not write PID file: {}",
                config::system_error("open", &path.to_string_lossy(), &error)
            );
        }
        Self(path.to_owned())
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
