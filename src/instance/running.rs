//! What serves, and how it gives way to its successor.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::banner;
use super::build::{Plan, build};
use super::load::{LoadError, Source, load, load_any_directives, look};
use crate::chain::{EndHook, EventHook};
use crate::config::{Diagnostic, Refused, SourceMap, sort_by_place};
use crate::control::config_watch::{self, Changed};
use crate::control::http::Listeners;
use crate::log;
use crate::server::{BindError, Pulse, Server};

/// A configuration that is being served.
pub struct Running {
    source: Source,
    dns_port: u16,
    control: Handle,
    changed: mpsc::Sender<Changed>,
    server: Server,
    pages: Listeners,
    live: Live,
}

/// What belongs to one configuration and ends with it.
struct Live {
    tasks: Vec<AbortHandle>,
    watch: Option<Watch>,
    on_stop: Vec<Box<dyn FnOnce() + Send>>,
    on_end: Vec<EndHook>,
    on_started: Vec<EventHook>,
    on_shutdown: Vec<EventHook>,
}

/// The watch on the files of a configuration.
struct Watch {
    interval: Duration,
    task: AbortHandle,
}

/// Why a configuration is not served.
#[derive(Debug)]
pub enum StartError {
    /// It cannot be read.
    Unreadable(std::path::PathBuf, io::Error),
    /// It has errors; all of them are here.
    Refused(Refused),
    /// At a reload: it has no server block. At a start that means the default; in place of what is being served it is a file that is just
    /// being written, or lost.
    Emptied(std::path::PathBuf),
    /// A plugin could not start.
    Plugin(String),
    /// A page cannot be served over HTTP: which, of which plugin, and why.
    Page(String),
    /// A socket could not be opened.
    Bind(BindError),
    /// The system has no threads or descriptors for workers.
    Workers(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, error) => {
                write!(f, "loading Caddyfile via flag: {}", LoadError::unreadable(path, error))
            }
            Self::Refused(refused) => refused.fmt(f),
            Self::Emptied(path) => {
                write!(f, "{} has no server block any more; what it said before is served on", path.display())
            }
            Self::Plugin(text) | Self::Page(text) => f.write_str(text),
            Self::Bind(error) => error.fmt(f),
            Self::Workers(error) => write!(f, "starting workers: {error}"),
        }
    }
}

impl StartError {
    /// Logs what would have been warned of had there been no errors: CoreDNS logs that, too, before it gives up.
    pub fn log_warnings(&self) {
        if let Self::Refused(refused) = self {
            warn(&refused.warnings, &refused.sources);
        }
    }
}

impl From<LoadError> for StartError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Unreadable(path, error) => Self::Unreadable(path, error),
            LoadError::Refused(refused) => Self::Refused(refused),
        }
    }
}

/// How long pages that were asked for before the end may take to be read.
const PAGES_STOP_LIMIT: Duration = Duration::from_secs(1);

/// How [`Running::stop`] went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every query was answered.
    Clean,
    /// Some were still waiting when the time was up.
    CutOff,
}

impl Running {
    /// Serves `plan`, the configuration of `source`, with `workers` workers; background tasks run on `control`. Where `reload` watches the
    /// configuration, a change is told through `changed`, and the owner exchanges it ([`Self::exchange`]).
    ///
    /// # Errors
    /// [`StartError`]; nothing is served then.
    pub fn start(
        source: Source,
        dns_port: u16,
        mut plan: Plan,
        workers: usize,
        control: &Handle,
        changed: mpsc::Sender<Changed>,
    ) -> Result<(Self, Plan), StartError> {
        warn(&plan.warnings, &plan.sources);
        plan.run_start_hooks().map_err(StartError::Plugin)?;
        crate::net::socket::raise_descriptor_limit();
        let mut pages = Listeners::new(control.clone());
        let opened = plan.pages.open(&pages, &plan.sources).map_err(StartError::Page)?;
        let mut server = Server::start(workers).map_err(StartError::Workers)?;
        server.apply(&plan.listeners).map_err(StartError::Bind)?;
        std::mem::take(&mut plan.pages).serve(&mut pages, opened);
        log::set_debug(plan.debug);
        let live = Live::enter(&mut plan, control, &source, &changed, None);
        Ok((Self { source, dns_port, control: control.clone(), changed, server, pages, live }, plan))
    }

    /// Work that reads the configuration again and gives the plan of the successor. It may block, as names of hosts are looked up.
    pub fn successor(&self) -> impl Fn() -> Result<Plan, StartError> + Clone + Send + use<> {
        let (source, dns_port) = (self.source.clone(), self.dns_port);
        move || {
            let plan = plan(&source, dns_port)?;
            match source.path() {
                Some(path) if plan.is_default => Err(StartError::Emptied(path.to_owned())),
                _ => Ok(plan),
            }
        }
    }

    /// Serves `plan` in place of the old one. Sockets that both want stay open; queries on their way are finished by the
    /// configuration they came to.
    ///
    /// # Errors
    /// [`StartError`]; the old configuration serves on, untouched.
    pub fn exchange(&mut self, mut plan: Plan) -> Result<(), StartError> {
        warn(&plan.warnings, &plan.sources);
        plan.run_start_hooks().map_err(StartError::Plugin)?;
        let opened = plan.pages.open(&self.pages, &plan.sources).map_err(StartError::Page)?;
        self.server.apply(&plan.listeners).map_err(StartError::Bind)?;
        std::mem::take(&mut plan.pages).serve(&mut self.pages, opened);
        log::set_debug(plan.debug);
        let watched_every = self.live.watched_every();
        let new = Live::enter(&mut plan, &self.control, &self.source, &self.changed, watched_every);
        std::mem::replace(&mut self.live, new).leave();
        Ok(())
    }

    /// Prints what is served; the first lines of a log.
    pub fn print_banner(plan: &Plan) {
        banner::print(plan);
    }

    /// How many listeners there are.
    pub fn listeners(&self) -> usize {
        self.server.listeners()
    }

    /// Each listening socket with what it is for, as a successor is given them.
    pub fn sockets(&self) -> Vec<(String, BorrowedFd<'_>)> {
        let mut sockets = self.server.sockets();
        sockets.extend(self.pages.sockets());
        sockets
    }

    /// The text of the configuration, if it came from where it can be read only once.
    pub fn read_once(&self) -> Option<&[u8]> {
        match &self.source {
            Source::Once { text, .. } => Some(text),
            Source::File(_) | Source::Default => None,
        }
    }

    /// What tells whether the workers are well.
    pub fn pulse(&self) -> Pulse {
        self.server.pulse()
    }

    /// Leaves all that is new to the process that has the sockets too, and serves the connections that are open; what this returns is done when
    /// they have ended and no query waits any more. The end is [`Self::stop`].
    pub fn retire(&mut self) -> impl Future<Output = ()> + Send + use<> {
        // Nothing goes away for anybody, so there is nothing to wait for at the end.
        self.live.on_end.clear();
        self.pages.retire();
        self.server.retire()
    }

    /// After [`Self::retire`]: lets connections end behind what they have asked by then.
    pub fn close_connections(&mut self) {
        self.server.close();
    }

    /// What is to be run as this configuration is served now; at the first call.
    pub fn take_started(&mut self) -> Vec<EventHook> {
        std::mem::take(&mut self.live.on_started)
    }

    /// What is to be run as the process is told to end; at the first call.
    pub fn take_shutdown(&mut self) -> Vec<EventHook> {
        std::mem::take(&mut self.live.on_shutdown)
    }

    /// Waits for what plugins want to wait for while all is served (`health`'s lameduck), then takes no new queries, answers those that
    /// wait, at most for `limit`, and ends. Blocks; must not be called from a task of the control plane.
    pub fn stop(mut self, limit: Duration) -> Ended {
        self.pages.begin_end();
        for hook in std::mem::take(&mut self.live.on_end) {
            self.control.block_on(hook);
        }
        // No check of the pages, and no reload, comes from here on.
        self.live.tasks.iter().for_each(AbortHandle::abort);
        self.control.block_on(self.pages.close(limit.min(PAGES_STOP_LIMIT)));
        let clean = self.server.stop(limit);
        self.live.leave();
        if clean { Ended::Clean } else { Ended::CutOff }
    }
}

impl Live {
    /// `watched_every`: how often the files were looked at before, if they were.
    fn enter(
        plan: &mut Plan,
        control: &Handle,
        source: &Source,
        changed: &mpsc::Sender<Changed>,
        watched_every: Option<Duration>,
    ) -> Self {
        let tasks = plan.background.drain(..).map(|task| control.spawn(task).abort_handle()).collect();
        let (source, seen, changed) = (source.clone(), plan.seen.clone(), changed.clone());
        let is_file = source.path().is_some();
        let look = move || look(&source);
        let watch = match (plan.reload, watched_every) {
            (Some(settings), _) if is_file => {
                // Many servers of one file do not read it all at once. Without randomness they do.
                #[allow(clippy::disallowed_methods, reason = "what is drawn is given to the settings")]
                let random = getrandom::u64().unwrap_or_default();
                let interval = settings.draw(random);
                let task = control.spawn(config_watch::watch(interval, seen, look, changed)).abort_handle();
                Some(Watch { interval, task })
            }
            (None, Some(interval)) if is_file => {
                let watch = config_watch::watch_on(interval, seen, look, changed);
                Some(Watch { interval, task: control.spawn(watch).abort_handle() })
            }
            _ => None,
        };
        Self {
            tasks,
            watch,
            on_stop: std::mem::take(&mut plan.on_stop),
            on_end: std::mem::take(&mut plan.on_end),
            on_started: std::mem::take(&mut plan.on_started),
            on_shutdown: std::mem::take(&mut plan.on_shutdown),
        }
    }

    /// How often the files are looked at, if they are.
    fn watched_every(&self) -> Option<Duration> {
        self.watch.as_ref().filter(|watch| !watch.task.is_finished()).map(|watch| watch.interval)
    }

    fn leave(self) {
        self.tasks.iter().for_each(AbortHandle::abort);
        self.watch.iter().for_each(|watch| watch.task.abort());
        self.on_stop.into_iter().for_each(|hook| hook());
    }
}

/// Reads `source` and builds all of it, without opening a socket: what `check` looks at. Warnings and errors stand in the order of the file.
///
/// # Errors
/// All errors of the file, or of its blocks and plugins, at once.
pub fn plan(source: &Source, dns_port: u16) -> Result<Plan, LoadError> {
    let refused = match load(source) {
        Ok(config) => match build(config, dns_port) {
            Ok(mut plan) => {
                sort_by_place(&mut plan.warnings);
                return Ok(plan);
            }
            Err(refused) => refused,
        },
        Err(LoadError::Refused(refused)) => with_what_plugins_say(refused, source, dns_port),
        Err(unreadable) => return Err(unreadable),
    };
    let Refused { mut errors, mut warnings, sources } = refused;
    sort_by_place(&mut errors);
    sort_by_place(&mut warnings);
    Err(LoadError::Refused(Refused { errors, warnings, sources }))
}

/// Adds the errors that plugins find in a file of which only some directives do not exist, so that all are told in one run.
fn with_what_plugins_say(mut refused: Refused, source: &Source, dns_port: u16) -> Refused {
    if let Some(Err(more)) = load_any_directives(source).map(|config| build(config, dns_port)) {
        refused.errors.extend(more.errors);
        refused.warnings = more.warnings;
    }
    refused
}

/// Logs what is probably not meant.
fn warn(warnings: &[Diagnostic], sources: &SourceMap) {
    for warning in warnings {
        tracing::warn!("{}", warning.log_line(sources));
        for help in &warning.help {
            tracing::warn!("  {help}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn an_emptied_file_is_no_reason_to_serve_the_default() {
        let path = std::env::temp_dir().join(format!("waypost-emptied-{}", std::process::id()));
        let good = ".:0 {\n    bind 127.0.0.1\n    whoami\n}\n";
        fs::write(&path, good).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (changed, _changes) = mpsc::channel(1);
        let source = Source::File(path.clone());
        let (mut running, _) =
            Running::start(source.clone(), 53, plan(&source, 53).unwrap(), 1, runtime.handle(), changed)
                .unwrap();
        for empty in ["", "# only a comment\n", "(a) {\n    whoami\n}\n"] {
            fs::write(&path, empty).unwrap();
            assert!(matches!(running.successor()(), Err(StartError::Emptied(_))), "{empty:?}");
        }
        fs::write(&path, good).unwrap();
        let plan = running.successor()().unwrap();
        running.exchange(plan).unwrap();
        assert_eq!(running.stop(Duration::from_secs(60)), Ended::Clean);
        fs::remove_file(&path).unwrap();
    }
}
