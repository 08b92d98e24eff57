//! Looking through the directory: which zones are there, and which have changed.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::{error, info, warn};

use super::names::FileNames;
use crate::chain::zones::{Tell, ZoneFile};
use crate::config::quote;
use crate::control::file_watch;
use crate::control::steady::{Fingerprint, Follower, INTERVAL_MIN, Trouble, changed_or_never};
use crate::wire::Name;
use crate::zone::ZoneSet;

/// Directories in directories at most: symbolic links can lead in circles.
const DEPTH_MAX: usize = 32;

/// Zones of one directory at most.
const ZONES_MAX: usize = 1_000_000;

/// The zones that are there now.
pub(super) type Zones = ZoneSet<Arc<ZoneFile<InDirectory>>>;

/// Says what happens to the files.
pub(super) struct InDirectory;

impl Tell for InDirectory {
    fn info(&self, text: &str) {
        info!(target: "plugin/auto", "{text}");
    }
    fn warning(&self, text: &str) {
        warn!(target: "plugin/auto", "{text}");
    }
    fn error(&self, text: &str) {
        error!(target: "plugin/auto", "{text}");
    }
}

/// A directory of master files.
pub(super) struct Directory {
    path: PathBuf,
    names: FileNames,
    zones: ArcSwap<Zones>,
    /// What was wrong at the last look, so that it is said once.
    said: Mutex<HashSet<String>>,
}

impl Directory {
    /// The directory at `path`, not looked at yet.
    pub(super) fn new(path: PathBuf, names: FileNames) -> Self {
        Self { path, names, zones: ArcSwap::default(), said: Mutex::default() }
    }

    /// The zones that are there.
    #[inline]
    pub(super) fn zones(&self) -> arc_swap::Guard<Arc<Zones>> {
        self.zones.load()
    }

    /// Looks for zones that are new, gone or changed. Takes as long as reading them takes: not for a worker.
    pub(super) fn look(&self) {
        let mut trouble = HashSet::new();
        let found = self.found(&mut trouble);
        let old = self.zones.load_full();
        let mut new = Zones::default();
        for (origin, path) in &found {
            let known = old.get(origin).filter(|zone| zone.path() == path);
            let zone = match known {
                Some(zone) => {
                    if Fingerprint::at(path) != zone.fingerprint_read() {
                        // What is wrong the file itself says; it is served on as it was.
                        let _ = zone.look(false, None);
                    }
                    Arc::clone(zone)
                }
                None => match first(origin, path, &mut trouble) {
                    Some(zone) => Arc::new(zone),
                    // Under another path it may have been there before, and is served on.
                    None => match old.get(origin) {
                        Some(zone) => Arc::clone(zone),
                        None => continue,
                    },
                },
            };
            new.insert(origin, zone);
        }
        let gone: Vec<&Name> =
            old.iter().map(|(origin, _)| origin).filter(|o| new.get(o).is_none()).collect();
        for origin in gone {
            info!(target: "plugin/auto", "Deleting zone `{origin}'");
        }
        self.zones.store(Arc::new(new));
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        for text in trouble.iter().filter(|text| !said.contains(*text)) {
            warn!(target: "plugin/auto", "{text}");
        }
        *said = trouble;
    }

    /// The files of zones by their origins; the first in the order of the names counts.
    fn found(&self, trouble: &mut HashSet<String>) -> BTreeMap<OriginKey, PathBuf> {
        let mut found = BTreeMap::new();
        walk(&self.path, 0, trouble, &mut |path, name| {
            let origin = match self.names.origin(name) {
                Ok(Some(origin)) if found.len() < ZONES_MAX => OriginKey(origin),
                Ok(_) => return None,
                Err(text) => return Some(format!("{}: '{text}' is no domain name", path.display())),
            };
            if let Some(other) = found.get(&origin) {
                let (origin, path) = (quote(&origin.to_string()), quote(&path.to_string_lossy()));
                let other = quote(&PathBuf::from(other).to_string_lossy());
                return Some(format!(
                    "Multiple zone files match origin {origin}: using {other} instead of {path}"
                ));
            }
            found.insert(origin, path);
            None
        });
        found
    }
}

/// An origin in the order of its text.
#[derive(Clone, PartialEq, Eq)]
struct OriginKey(Name);

impl PartialOrd for OriginKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for OriginKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.as_bytes().cmp(other.0.as_bytes())
    }
}

impl std::ops::Deref for OriginKey {
    type Target = Name;

    fn deref(&self) -> &Name {
        &self.0
    }
}

/// A zone that was not there before, if its file can be read.
fn first(origin: &Name, path: &Path, trouble: &mut HashSet<String>) -> Option<ZoneFile<InDirectory>> {
    let zone = ZoneFile::new(path.to_owned(), origin.clone(), false, InDirectory);
    match zone.first_read() {
        Ok(warnings) => {
            warnings.iter().for_each(|warning| InDirectory.warning(warning));
            info!(target: "plugin/auto", "Inserting zone `{origin}' from: {}", path.display());
            Some(zone)
        }
        Err(Ok(error)) => {
            for message in error.messages(path, origin) {
                trouble.insert(format!("Parse zone `{origin}': {message}"));
            }
            None
        }
        // Somebody writes it: the next look will find it whole.
        Err(Err(Trouble::Changing)) => None,
        Err(Err(why)) => {
            trouble.insert(format!("Opening {} failed: it {why}", path.display()));
            None
        }
    }
}

/// Gives every file below `directory` to `each`, in the order of the names, links followed; it returns what is wrong with one.
fn walk(
    directory: &Path,
    depth: usize,
    trouble: &mut HashSet<String>,
    each: &mut dyn FnMut(PathBuf, &str) -> Option<String>,
) {
    let entries = std::fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut entries = match entries {
        Ok(entries) => entries,
        Err(error) => {
            trouble.insert(format!("error reading {}: {error}", directory.display()));
            return;
        }
    };
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let (path, name) = (entry.path(), entry.file_name());
        // Kubernetes keeps what the links of a ConfigMap lead to in directories of such names.
        if name.to_string_lossy().starts_with("..") {
            continue;
        }
        // As in CoreDNS, links to directories are not followed.
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_directory && depth < DEPTH_MAX {
            walk(&path, depth + 1, trouble, each);
        } else if !is_directory
            && !path.is_dir()
            && let Some(wrong) = each(path, &name.to_string_lossy())
        {
            trouble.insert(wrong);
        }
    }
}

/// Looks every `interval`, and whenever the kernel tells of a change in the directory itself.
pub(super) async fn keep_fresh(directory: Arc<Directory>, interval: Duration) {
    let interval = interval.max(INTERVAL_MIN);
    let watched = Arc::clone(&directory);
    let subscribed = spawn_blocking(move || file_watch::subscribe(&watched.path)).await;
    let mut changes = subscribed.ok().and_then(Result::ok);
    loop {
        tokio::select! {
            () = changed_or_never(&mut changes) => {}
            () = sleep(interval) => {}
        }
        let looked = Arc::clone(&directory);
        if let Err(panic) = spawn_blocking(move || looked.look()).await {
            error!(target: "plugin/auto", "Looking through the directory failed: {panic}");
        }
    }
}
