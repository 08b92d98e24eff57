//! The file on disk: read when it has changed, whole or not at all.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tracing::{debug, info, warn};

use super::at_start::Contents;
use super::lines::{self, LINE_LEN_MAX, Loaded};
use super::table::Table;
use crate::config::quote;
use crate::control::steady::{self, Fingerprint, Follower, Trouble, Wanted};
use crate::metrics::{Gauge, names as metrics};
use crate::wire::Name;

/// A hosts file, and what it said when it was last read.
pub(super) struct HostsFile {
    path: PathBuf,
    zones: Option<Vec<Name>>,
    reverse: bool,
    /// Records that are served besides: they count in the metric.
    inline_records: usize,
    table: ArcSwap<Table>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What was read.
    read: Option<Fingerprint>,
    /// What is wrong and was said.
    trouble: Option<Trouble>,
    entries: Option<Gauge>,
}

/// What a look at the file came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// It is as it was.
    Same,
    /// It was read.
    Loaded,
    /// It could not be read. `news`: the reason is not that of the look before.
    Kept {
        /// Why.
        trouble: Trouble,
        /// Whether that was not so at the last look.
        news: bool,
    },
}

impl HostsFile {
    /// A file that was not looked at yet.
    pub(super) fn new(path: PathBuf, zones: Option<Vec<Name>>, reverse: bool, inline_records: usize) -> Self {
        let (table, state) = Default::default();
        Self { path, zones, reverse, inline_records, table, state }
    }

    /// What the file said when it was last read whole.
    #[inline]
    pub(super) fn table(&self) -> arc_swap::Guard<Arc<Table>> {
        self.table.load()
    }

    /// Looks at the file, reads it if it has changed (or in any case if `forced`), and says what there is to say. Takes as long as reading takes:
    /// not for a worker.
    #[cfg(test)]
    pub(super) fn refresh(&self, forced: bool) -> Look {
        self.refresh_settled(forced, None)
    }

    /// The same, but leaves the file alone if it is no longer in the state `settled`: somebody has begun to write it anew.
    pub(super) fn refresh_settled(&self, forced: bool, settled: Option<Fingerprint>) -> Look {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let had_contents = state.read.is_some();
        match self.read(Wanted { known: state.read, forced, settled }) {
            Ok(None) => {
                self.say_recovered(&mut state);
                Look::Same
            }
            Ok(Some((fingerprint, loaded))) => {
                self.say_recovered(&mut state);
                self.take(&mut state, fingerprint, loaded);
                Look::Loaded
            }
            Err(trouble) => {
                let news = state.trouble.as_ref() != Some(&trouble);
                if news {
                    self.say(&trouble, had_contents);
                    state.trouble = Some(trouble.clone());
                }
                Look::Kept { trouble, news }
            }
        }
    }

    /// Takes `contents` for what the file says, at the start.
    pub(super) fn take_up(&self, contents: &Contents) {
        let Contents { fingerprint, text } = contents;
        // Reading memory does not fail.
        if let Ok(loaded) = lines::load(&text[..], fingerprint.len, self.zones.as_deref(), self.reverse) {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            self.take(&mut state, *fingerprint, loaded);
        }
    }

    fn take(&self, state: &mut State, fingerprint: Fingerprint, loaded: Loaded) {
        let records = loaded.table.records();
        self.table.store(Arc::new(loaded.table));
        state.read = Some(fingerprint);
        debug!(target: "plugin/hosts", "Parsed hosts file into {records} entries");
        let path = self.path.to_string_lossy();
        for (line, what) in &loaded.notes {
            debug!(target: "plugin/hosts", "{path}:{line}: {what}");
        }
        if loaded.odd_lines > loaded.notes.len() as u64 {
            debug!(target: "plugin/hosts", "{path}: {} such lines in all", loaded.odd_lines);
        }
        if let Some(line) = loaded.too_long {
            warn!(target: "plugin/hosts", "{path}:{line}: longer than {LINE_LEN_MAX} bytes, skipped");
        }
        if let Some(line) = loaded.full {
            warn!(target: "plugin/hosts", "{path}:{line}: too many names, this and what follows is not served");
        }
        let entries = state.entries.get_or_insert_with(|| metrics::HOSTS_ENTRIES.scoped([&path]));
        entries.set((records + self.inline_records) as f64);
        let (seconds, nanoseconds) = fingerprint.modified;
        metrics::HOSTS_RELOAD_TIMESTAMP.with([]).set(seconds as f64 + nanoseconds as f64 / 1e9);
    }

    fn say(&self, trouble: &Trouble, had_contents: bool) {
        let path = quote(&self.path.to_string_lossy());
        match trouble {
            // At the start the directive was read before, and it was said then.
            Trouble::Missing | Trouble::Directory if !had_contents => {}
            _ if had_contents => {
                warn!(target: "plugin/hosts", "Hosts file {path} {trouble}; what it said before is served on");
            }
            _ => {
                warn!(target: "plugin/hosts", "Hosts file {path} {trouble}; it is served when it can be read")
            }
        }
    }

    fn say_recovered(&self, state: &mut State) {
        if state.trouble.take().is_some_and(|trouble| trouble != Trouble::Changing) {
            info!(target: "plugin/hosts", "Hosts file {} is read again", quote(&self.path.to_string_lossy()));
        }
    }

    fn read(&self, wanted: Wanted) -> Result<Option<(Fingerprint, Loaded)>, Trouble> {
        steady::read(&self.path, wanted, |reader, len| self.load(reader, len))
    }

    fn load(&self, reader: impl Read, len: u64) -> Result<Loaded, Trouble> {
        Ok(lines::load(reader, len, self.zones.as_deref(), self.reverse)?)
    }
}

impl Follower for HostsFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn fingerprint_read(&self) -> Option<Fingerprint> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).read
    }

    fn look(&self, forced: bool, settled: Option<Fingerprint>) -> Result<(), Trouble> {
        match self.refresh_settled(forced, settled) {
            Look::Same | Look::Loaded => Ok(()),
            Look::Kept { trouble, .. } => Err(trouble),
        }
    }
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
