//! What a plugin may ask for while it is built.

use std::future::Future;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::capability::Capabilities;
use super::{ListenerWishes, MetadataSource, Page, Plugin, Query, Shared};
use crate::config::{self, Address, Diagnostic, Directive, Word};
use crate::wire::Name;

/// What a plugin puts into the chain: nothing (it only configured its block), one handler, or several in a row.
pub type Built = Vec<Arc<dyn Plugin>>;

/// A future for the control plane, living as long as the instance does.
pub type Background = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What runs when the instance starts serving.
pub type StartHook = Box<dyn FnOnce() -> Result<(), String> + Send>;

/// What runs when the process is told to end, while DNS and the pages are still served: each waits for the one before, in the order of the
/// plugins, then of the blocks.
pub type EndHook = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What runs once all blocks are built and known to be good.
pub type PlacedHook = Box<dyn FnOnce(&Places<'_>) + Send>;

/// What is known of a block when all are built.
pub struct Places<'a> {
    /// The labels of the queries that may come to it.
    pub labels: &'a [Labels],
    /// The names of the plugins that its queries pass, in the order of the chain.
    pub plugins: &'a [&'static str],
    /// What its plugins offer.
    pub capabilities: &'a Capabilities,
}

/// A listener, a zone and a view, as a query has them and as metrics name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Labels {
    /// The listener as metrics name it, such as `dns://:53`.
    pub server: &'static str,
    /// The zone of the block that was chosen, such as `example.org.`.
    pub zone: &'static str,
    /// The view of the block that was chosen; empty without one.
    pub view: &'static str,
}

/// What runs when something happens to the process; one after the other, on a thread that may wait.
pub type EventHook = Box<dyn FnOnce() + Send>;

/// What one plugin sees of its block while it is built, and what it may set there.
pub struct Setup<'a> {
    /// Its directives in the order of the file, at least one.
    pub directives: &'a [&'a Directive],
    /// The zones of the block, from its keys.
    pub zones: &'a [Name],
    /// What the block's keys come to: zones with schemes and ports.
    pub addresses: &'a [Address],
    /// The block itself.
    pub block: &'a mut BlockSetup,
}

/// What the plugins of a block configure together; `instance` reads it when all are built.
#[derive(Default)]
pub struct BlockSetup {
    /// Where relative paths start (`root`).
    pub root: PathBuf,
    /// The addresses to listen on (`bind`); empty: all. Each with the interface it is scoped to, if link-local.
    pub bind: Vec<(IpAddr, u32)>,
    /// True if `bind` excluded every address: the block is not served.
    pub bind_excludes_all: bool,
    /// See [`super::Block::debug`].
    pub debug: bool,
    /// See [`super::Block::other_classes`].
    pub other_classes: bool,
    /// See [`super::Block::stacktrace`].
    pub stacktrace: bool,
    /// See [`super::Block::patience`].
    pub patience: Option<Duration>,
    /// The zones the `metadata` plugin covers.
    pub metadata_zones: Option<Vec<Name>>,
    /// Who knows metadata.
    pub metadata_sources: Vec<Arc<dyn MetadataSource>>,
    /// Traits offered to other plugins.
    pub capabilities: Capabilities,
    /// What to run on the control plane while the instance lives.
    pub background: Vec<Background>,
    /// What to do when the instance starts, before sockets are bound; an error stops the start.
    pub on_start: Vec<StartHook>,
    /// What to do when the instance is replaced or the process ends.
    pub on_stop: Vec<Box<dyn FnOnce() + Send>>,
    /// What to run once the instance serves.
    pub on_started: Vec<EventHook>,
    /// What to run when the process is told to end, before anything else: all is still served, and waits.
    pub on_shutdown: Vec<EventHook>,
    /// How the configuration is watched for changes (`reload`); `None`: it is not. Counts for the process: the last block that has one.
    pub reload: Option<ReloadSettings>,
    /// True if queries are counted for a page that somebody sees (`prometheus`), so that those of no block are to be counted, too.
    pub counts_queries: bool,
    /// Pages to be served over HTTP.
    pub pages: Vec<Page>,
    /// What to do once all blocks are built; never run for a configuration that is refused or only checked by half.
    pub when_placed: Vec<PlacedHook>,
    /// What to wait for when the process is told to end.
    pub on_end: Vec<EndHook>,
    /// What the blocks of the configuration have together.
    pub shared: Arc<Shared>,
    /// What is wanted of the listeners of the block.
    pub listeners: ListenerWishes,
    /// What plugins accept, but is probably not what was meant.
    pub warnings: Vec<Diagnostic>,
    marks: usize,
}

/// How often to look whether the configuration has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReloadSettings {
    /// The time between two looks, 2 s or more.
    pub interval: Duration,
    /// The interval is drawn once, within half of this more or less; at most half of it, 0 for none.
    pub jitter: Duration,
}

impl ReloadSettings {
    /// The interval that `random`, any number, draws.
    pub fn draw(self, random: u64) -> Duration {
        let jitter = u64::try_from(self.jitter.as_nanos()).unwrap_or(u64::MAX);
        let more = Duration::from_nanos(random.checked_rem(jitter).unwrap_or(0));
        (self.interval + more).saturating_sub(self.jitter / 2)
    }
}

impl Setup<'_> {
    /// A place for a number that the plugin keeps with each query, see [`Query::mark`].
    ///
    /// # Errors
    /// If all places of the block are taken.
    pub fn mark(&mut self) -> Result<usize, Vec<Diagnostic>> {
        let mark = self.block.marks;
        if mark == Query::marks() {
            let span = self.directives[0].span;
            return Err(vec![Diagnostic::error(span, "too many plugins of this kind in one server block")]);
        }
        self.block.marks += 1;
        Ok(mark)
    }

    /// Reads a directive that is only a switch, here or not. As CoreDNS, it looks at the first alone; any further one is warned of.
    ///
    /// # Errors
    /// If arguments or a block stand behind the first.
    pub fn switch(&mut self) -> Result<(), Vec<Diagnostic>> {
        self.directives[0].alone().map_err(|error| vec![error])?;
        for further in &self.directives[1..] {
            self.warn(further.error(format!("'{}' is on already", further.name.text)));
        }
        Ok(())
    }

    /// Keeps a warning about the configuration, to be shown when all is read.
    pub fn warn(&mut self, warning: Diagnostic) {
        self.block.warnings.push(warning.as_warning());
    }

    /// The zones that `words` name or, without words, those of the block; what is no zone is skipped with a warning, as CoreDNS skips it.
    pub fn origins(&mut self, words: &[Word]) -> Vec<Name> {
        let origins = config::origins(words, self.addresses, &mut self.block.warnings);
        origins.iter().filter_map(|zone| Name::from_text(zone).ok()).collect()
    }

    /// `path` as the block's `root` makes it.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.block.root.join(path)
    }

    /// Runs `task` on the control plane while the instance lives.
    pub fn background(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.block.background.push(Box::pin(task));
    }
}
