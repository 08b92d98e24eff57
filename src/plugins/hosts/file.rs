//! The file on disk: read when it has changed, whole or not at all.

use std::fmt;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tracing::{debug, info, warn};

use super::at_start::Contents;
use super::lines::{self, LINE_LEN_MAX, Loaded};
use super::table::Table;
use crate::config::quote;
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

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint {
    device: u64,
    inode: u64,
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Fingerprint {
    pub(super) fn of(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            len: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }
}

/// Why the file was not read. What it said before goes on being served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It is not there.
    Missing,
    /// It is a directory.
    Directory,
    /// It is a pipe, a socket or a device: reading might never end.
    Special,
    /// It was written to while it was read.
    Changing,
    /// The system says no.
    Unreadable(ErrorKind, String),
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

    /// Where the file is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What tells whether the file has changed; `None` if it cannot be looked at.
    pub(super) fn fingerprint(&self) -> Option<Fingerprint> {
        std::fs::metadata(&self.path).ok().map(|file| Fingerprint::of(&file))
    }

    /// What told that when it was last read whole.
    pub(super) fn fingerprint_read(&self) -> Option<Fingerprint> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).read
    }

    /// Looks at the file, reads it if it has changed (or in any case if `forced`), and says what there is to say. Takes as long as reading takes:
    /// not for a worker.
    pub(super) fn refresh(&self, forced: bool) -> Look {
        self.refresh_settled(forced, None)
    }

    /// The same, but leaves the file alone if it is no longer in the state `settled`: somebody has begun to write it anew.
    pub(super) fn refresh_settled(&self, forced: bool, settled: Option<Fingerprint>) -> Look {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let had_contents = state.read.is_some();
        match self.read(forced, state.read, settled) {
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

    /// Reads the file if it is not in the state `known`, or in any case if `forced`; but only in the state `settled`, if that is given.
    fn read(
        &self,
        forced: bool,
        known: Option<Fingerprint>,
        settled: Option<Fingerprint>,
    ) -> Result<Option<(Fingerprint, Loaded)>, Trouble> {
        // Without O_NONBLOCK, opening a pipe waits for its writer.
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&self.path)?;
        let metadata = file.metadata()?;
        let kind = metadata.file_type();
        if kind.is_dir() {
            return Err(Trouble::Directory);
        }
        let is_null = kind.is_char_device() && metadata.rdev() == DEV_NULL;
        if !kind.is_file() && !is_null {
            return Err(Trouble::Special);
        }
        let before = Fingerprint::of(&metadata);
        if !forced && known == Some(before) {
            return Ok(None);
        }
        if settled.is_some_and(|settled| settled != before) {
            return Err(Trouble::Changing);
        }
        // Somebody who writes on and on must not keep us reading; that the file grew is noticed afterwards. Files of the kernel say that they are
        // empty and are not.
        let len_max = before.len.max(UNSIZED_LEN_MAX);
        let loaded = self.load_steady(&file, before, (&file).take(len_max))?;
        Ok(Some((before, loaded)))
    }

    /// Loads what `reader` gives of `file`, if the file is the same afterwards as it was before.
    fn load_steady(&self, file: &File, before: Fingerprint, reader: impl Read) -> Result<Loaded, Trouble> {
        let loaded = lines::load(reader, before.len, self.zones.as_deref(), self.reverse)?;
        if Fingerprint::of(&file.metadata()?) == before { Ok(loaded) } else { Err(Trouble::Changing) }
    }
}

/// Bytes read of a file that does not know its length.
const UNSIZED_LEN_MAX: u64 = 1 << 20;

/// Device number of `/dev/null`, which people name when they want no file.
const DEV_NULL: u64 = 1 << 8 | 3;

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Self::Missing,
            ErrorKind::IsADirectory => Self::Directory,
            kind => Self::Unreadable(kind, error.to_string()),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("is not there"),
            Self::Directory => f.write_str("is a directory"),
            Self::Special => f.write_str("is neither a file nor /dev/null"),
            Self::Changing => f.write_str("changed while it was read"),
            Self::Unreadable(_, why) => write!(f, "cannot be read: {why}"),
        }
    }
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
