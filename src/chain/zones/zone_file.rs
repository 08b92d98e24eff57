//! A zone as its master file says, read again when that changes.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwapOption, Guard};

use crate::config::quote;
use crate::control::steady::{self, Fingerprint, Follower, Trouble, Wanted};
use crate::wire::{Name, Rtype};
use crate::zone::master_file::{self, Entry, FileError, Files};
use crate::zone::{BuildError, Builder, Zone};

/// Bytes of a line of a master file, about, to know beforehand how many records there will be.
const LINE_LEN_USUAL: u64 = 32;

/// Records out of the zone that are named one by one.
const STRAYS_NAMED_MAX: usize = 5;

/// Why a master file makes no zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// It has mistakes.
    Mistakes(Vec<FileError>),
    /// What it says is no zone.
    Build(BuildError),
}

impl LoadError {
    /// The error in the words of CoreDNS, for a file and an origin; one for each mistake.
    pub fn messages(&self, path: &Path, origin: &Name) -> Vec<String> {
        let file = quote(&path.to_string_lossy());
        let parse = |error: &dyn fmt::Display| {
            format!("failed to parse file {file} for origin {origin} with error {error}")
        };
        match self {
            Self::Mistakes(mistakes) => mistakes.iter().map(|mistake| parse(mistake)).collect(),
            Self::Build(BuildError::NoSoa) => {
                vec![format!("file {file} has no SOA record for origin {origin}")]
            }
            Self::Build(error) => vec![parse(error)],
        }
    }
}

/// Why the file at `path` was not read, in the words of CoreDNS where it has some.
pub fn why_not_opened(path: &Path, trouble: &Trouble) -> String {
    let path = path.display();
    match trouble {
        Trouble::Missing => format!("open {path}: no such file or directory"),
        trouble => format!("{path} {trouble}"),
    }
}

/// A zone, and what is odd about its file.
pub struct Loaded {
    /// The zone.
    pub zone: Zone,
    /// What an operator should know, one line each.
    pub warnings: Vec<String>,
}

/// Included files, relative to the file that names them.
struct OnDisk;

impl Files for OnDisk {
    fn include(&mut self, name: &str, from: &str) -> Result<(String, Vec<u8>), String> {
        let path = Path::new(from).parent().unwrap_or(Path::new("")).join(name);
        let read = steady::read(&path, Wanted::default(), |reader, len| all(reader, len));
        match read {
            Ok(Some((_, text))) => Ok((path.to_string_lossy().into_owned(), text)),
            Ok(None) => Err("it was read before".to_owned()),
            Err(trouble) => Err(format!("it {trouble}")),
        }
    }
}

fn all(reader: &mut dyn Read, len: u64) -> Result<Vec<u8>, Trouble> {
    let mut text = Vec::with_capacity(usize::try_from(len).unwrap_or(0) + 1);
    reader.read_to_end(&mut text)?;
    Ok(text)
}

/// The zone at `origin` that `text`, the contents of the file at `path`, describes. Records that are not in the zone are left out, with a
/// warning.
///
/// # Errors
/// Why it is none.
pub fn load(text: &[u8], path: &Path, origin: &Name) -> Result<Loaded, LoadError> {
    let file = path.to_string_lossy();
    let expected = text.len() as u64 / LINE_LEN_USUAL;
    let mut builder = Builder::new(origin, usize::try_from(expected).unwrap_or(0));
    let mut warnings = Vec::new();
    let mut strays = 0;
    let read = master_file::parse(text, &file, origin, &mut OnDisk, &mut |entry: &Entry<'_>| match builder
        .add(entry.owner, entry.rtype, entry.ttl, entry.rdata)
    {
        Err(BuildError::OutOfZone) if entry.rtype != Rtype::SOA => {
            strays += 1;
            if strays <= STRAYS_NAMED_MAX {
                let Entry { owner, rtype, file, line, .. } = entry;
                warnings.push(format!("{file}:{line}: {owner} {rtype} is not in {origin} and is left out"));
            }
            Ok(())
        }
        added => added.map_err(|error| error.to_string()),
    });
    read.map_err(LoadError::Mistakes)?;
    if strays > STRAYS_NAMED_MAX {
        warnings.push(format!("{file}: {strays} records in all are not in {origin} and are left out"));
    }
    let zone = builder.finish().map_err(LoadError::Build)?;
    Ok(Loaded { zone, warnings })
}

/// Says in the name of a plugin what happens to its files.
pub trait Tell: Send + Sync + 'static {
    /// All is well.
    fn info(&self, text: &str);
    /// Something is odd.
    fn warning(&self, text: &str);
    /// Something does not work.
    fn error(&self, text: &str);
}

/// A master file, and the zone that it was when it was last read whole.
pub struct ZoneFile<T> {
    path: PathBuf,
    origin: Name,
    /// Whether a change counts even if the serial stays.
    any_change: bool,
    tell: T,
    zone: ArcSwapOption<Zone>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What was read.
    read: Option<Fingerprint>,
    /// What is wrong and was said.
    said: Option<String>,
}

impl<T: Tell> ZoneFile<T> {
    /// The file at `path` for the zone at `origin`, not looked at yet. With `any_change` it is served anew whenever it changes, else only
    /// with another serial.
    pub fn new(path: PathBuf, origin: Name, any_change: bool, tell: T) -> Self {
        Self { path, origin, any_change, tell, zone: ArcSwapOption::empty(), state: Mutex::default() }
    }

    /// The zone; `None` until its file was read once.
    #[inline]
    pub fn zone(&self) -> Guard<Option<Arc<Zone>>> {
        self.zone.load()
    }

    /// The zone's origin.
    pub const fn origin(&self) -> &Name {
        &self.origin
    }

    /// Reads the file for the first time, and returns what is odd about it.
    ///
    /// # Errors
    /// Why it cannot be read, or why it is no zone.
    pub fn first_read(&self) -> Result<Vec<String>, Result<LoadError, Trouble>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let read = steady::read(&self.path, Wanted::default(), all).map_err(|trouble| {
            // The caller says it; the first look need not say it again.
            state.said = Some(self.not_opened(&trouble));
            Err(trouble)
        })?;
        let Some((fingerprint, text)) = read else { return Ok(Vec::new()) };
        let loaded = load(&text, &self.path, &self.origin).map_err(Ok)?;
        state.read = Some(fingerprint);
        self.zone.store(Some(Arc::new(loaded.zone)));
        Ok(loaded.warnings)
    }

    fn not_opened(&self, trouble: &Trouble) -> String {
        let (origin, path) = (quote(&self.origin.to_string()), quote(&self.path.to_string_lossy()));
        format!("Failed to open zone {origin} in {path}: {}", why_not_opened(&self.path, trouble))
    }

    /// Says what is wrong, once.
    fn complain(&self, state: &mut State, text: String) {
        if state.said.as_ref() != Some(&text) {
            self.tell.error(&text);
            state.said = Some(text);
        }
    }

    fn take(&self, state: &mut State, loaded: Loaded) {
        let Loaded { zone, warnings } = loaded;
        let old = self.zone.load_full();
        let (origin, path) = (quote(&self.origin.to_string()), quote(&self.path.to_string_lossy()));
        let serial = zone.soa().serial;
        if let Some(old) = &old
            && old.soa().serial == serial
            && !self.any_change
        {
            if state.said.is_none() && !crate::zone::difference(old, &zone).1.is_empty() {
                let text =
                    format!("Zone {origin} in {path} has changed, but not its serial {serial}: not served");
                self.tell.warning(&text);
                state.said = Some(text);
            }
            return;
        }
        let zone = match &old {
            Some(old) => zone.sharing(old),
            None => zone,
        };
        self.zone.store(Some(Arc::new(zone)));
        state.said = None;
        warnings.iter().for_each(|warning| self.tell.warning(warning));
        self.tell.info(&format!("Successfully reloaded zone {origin} in {path} with {serial} SOA serial"));
    }
}

impl<T: Tell> Follower for ZoneFile<T> {
    fn path(&self) -> &Path {
        &self.path
    }

    fn fingerprint_read(&self) -> Option<Fingerprint> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).read
    }

    fn look(&self, forced: bool, settled: Option<Fingerprint>) -> Result<(), Trouble> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let origin = quote(&self.origin.to_string());
        let read = steady::read(&self.path, Wanted { known: state.read, forced, settled }, all);
        match read {
            Ok(None) => Ok(()),
            Ok(Some((fingerprint, text))) => {
                // What is wrong with it stays so until it changes.
                state.read = Some(fingerprint);
                match load(&text, &self.path, &self.origin) {
                    Ok(loaded) => self.take(&mut state, loaded),
                    Err(error) => {
                        let why = error.messages(&self.path, &self.origin).join("; ");
                        self.complain(&mut state, format!("Parsing zone {origin}: {why}"));
                    }
                }
                Ok(())
            }
            Err(Trouble::Changing) => Err(Trouble::Changing),
            Err(trouble) => {
                self.complain(&mut state, self.not_opened(&trouble));
                Err(trouble)
            }
        }
    }
}
