//! `waypost run`: start, serve, end.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::args::Flags;
use super::daemon::{Daemon, or_ended, run_aside, unless_ended};
use super::pidfile::PidFile;
use crate::config;
use crate::control::runtime::ControlRuntime;
use crate::control::service::{self, Notifier};
use crate::control::signals::{Signal, Signals};
use crate::control::upgrade::{Predecessor, Program};
use crate::instance::{LoadError, Running, STDIN, Source, StartError, plan};
use crate::log;
use crate::net::inherited;
use crate::server;

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

/// What this process was given by whoever has started it.
struct Given {
    program: io::Result<Program>,
    /// The service manager's, each with its name.
    sockets: Vec<(String, OwnedFd)>,
    /// To the process that this one is to replace.
    channel: io::Result<Option<OwnedFd>>,
}

/// Serves until a signal ends it.
#[allow(clippy::print_stderr, reason = "errors at start go to the terminal")]
pub(super) fn run(flags: &Flags) -> ExitCode {
    if Predecessor::pass_on() {
        return ExitCode::SUCCESS;
    }
    // Before anything is opened, and before standard input is read.
    let given = Given {
        program: Program::of_this_process(),
        sockets: service::take_sockets(),
        channel: Predecessor::channel(),
    };
    match start(flags, given) {
        Ok(code) => code,
        Err(error) => {
            log::flush(FLUSH_LIMIT);
            eprintln!("{}", error.trim_end());
            ExitCode::FAILURE
        }
    }
}

fn start(flags: &Flags, given: Given) -> Result<ExitCode, String> {
    log::start();
    server::install_panic_hook();
    let control = ControlRuntime::start().map_err(|error| format!("starting the control plane: {error}"))?;
    let Given { program, sockets, channel } = given;
    keep(sockets);
    let code = control.block_on(async {
        let signals = Signals::listen().map_err(|error| format!("catching signals: {error}"))?;
        let channel = channel.map_err(|error| format!("taking over from the old process: {error}"))?;
        let (predecessor, text) = match channel {
            Some(channel) => Predecessor::receive(channel).await.map(|(p, text)| (Some(p), text))?,
            None => (None, None),
        };
        let pidfile = || flags.pidfile.as_deref().map(PidFile::write);
        let beginning = begin(flags, program, signals, &control, text);
        let begun = match &predecessor {
            Some(predecessor) => tokio::select! {
                begun = beginning => begun,
                // It may be that what is to be read never comes.
                _ = predecessor.has_left() => {
                    return Err("the process that started this one does not wait for it any more: ending".into());
                }
            },
            None => beginning.await,
        };
        let daemon = match begun {
            Ok(Ok(daemon)) => daemon,
            Ok(Err(code)) => return Ok(code),
            Err(error) => {
                if let Some(predecessor) = predecessor {
                    predecessor.failed(error.trim_end()).await;
                }
                return Err(error);
            }
        };
        Ok(match predecessor {
            Some(predecessor) => daemon.succeed(predecessor, pidfile).await,
            None => daemon.serve(pidfile()).await,
        })
    })?;
    log::flush(FLUSH_LIMIT);
    control.leave();
    Ok(ExitCode::from(code))
}

/// Serves what the flags say; gives the exit code if a signal ends the process before. `given` is the text of the configuration if a
/// predecessor has read it from where it can be read only once.
async fn begin(
    flags: &Flags,
    program: io::Result<Program>,
    mut signals: Signals,
    control: &ControlRuntime,
    given: Option<Vec<u8>>,
) -> Result<Result<Daemon, u8>, String> {
    let ended_by = |signal: Signal| if signal == Signal::ForceQuit { 2 } else { 0 };
    let conf = flags.conf.clone();
    let read_source = move || match (given, &conf) {
        (Some(text), Some(conf)) if conf.as_os_str() != "stdin" => {
            Ok(Source::Once { name: conf.to_string_lossy().into_owned(), text })
        }
        (Some(text), _) => Ok(Source::Once { name: STDIN.to_owned(), text }),
        (None, conf) => source(conf.as_deref()).map_err(StartError::from),
    };
    let source = match or_ended(tokio::task::spawn_blocking(read_source), &mut signals).await {
        Ok((source, _)) => source.map_err(|error| explain(&error))?,
        Err(signal) => return Ok(Err(ended_by(signal))),
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
        Err(signal) => return Ok(Err(ended_by(signal))),
    };
    let (mut running, plan) = Running::start(source, dns_port, planned, workers, control.handle(), changed)
        .map_err(|error| explain(&error))?;
    for unwanted in inherited::close_rest() {
        tracing::warn!(
            "the service manager has opened {unwanted}, where no server block listens; it is closed: \
             ListenDatagram= (udp) and ListenStream= (tcp) have to be where the configuration listens"
        );
    }
    if !flags.quiet {
        Running::print_banner(&plan);
    }
    // Nobody waits for these: they are the operator's, and may take long.
    drop(run_aside(running.take_started()));
    Ok(Ok(Daemon {
        running,
        signals,
        changes,
        notifier: Arc::new(Notifier::from_environment()),
        program,
        control: control.handle().clone(),
    }))
}

/// Keeps what the service manager has opened for the listeners of the configuration.
fn keep(sockets: Vec<(String, OwnedFd)>) {
    for (name, socket) in sockets {
        if let Err(error) = inherited::keep(socket, None) {
            tracing::warn!("the service manager's socket '{name}' is not used: {error}");
        }
    }
}

/// The error with what can be done about it; warnings that came with it are logged.
pub(super) fn explain(error: &StartError) -> String {
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
