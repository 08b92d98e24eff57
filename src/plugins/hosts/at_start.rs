//! Small files that many blocks read at one start: opened once, since everybody who watches them is told of each time.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::control::steady::Fingerprint;

/// Bytes of a file that is kept until all blocks have read it.
const LEN_MAX: u64 = 64 << 10;

/// A file as it was found.
pub(super) struct Contents {
    pub(super) fingerprint: Fingerprint,
    pub(super) text: Vec<u8>,
}

/// The files of one configuration, while it starts.
#[derive(Default)]
pub(super) struct AtStart(Mutex<HashMap<PathBuf, Arc<Contents>>>);

impl AtStart {
    /// What the file at `path` says now; `None` if it is none, is too large, or is being written: then it is read as at any other time.
    pub(super) fn contents(&self, path: &Path) -> Option<Arc<Contents>> {
        let now = Fingerprint::of(&std::fs::metadata(path).ok()?);
        let mut files = self.files();
        if let Some(known) = files.get(path).filter(|known| known.fingerprint == now) {
            return Some(Arc::clone(known));
        }
        let contents = Arc::new(read(path)?);
        files.insert(path.to_owned(), Arc::clone(&contents));
        Some(contents)
    }

    /// Lets go of all.
    pub(super) fn forget(&self) {
        *self.files() = HashMap::new();
    }

    fn files(&self) -> MutexGuard<'_, HashMap<PathBuf, Arc<Contents>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &Path) -> Option<Contents> {
    // Without O_NONBLOCK, opening a pipe waits for its writer.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).ok()?;
    let before = file.metadata().ok().filter(|file| file.is_file() && file.len() <= LEN_MAX)?;
    let mut text = Vec::new();
    (&file).take(LEN_MAX).read_to_end(&mut text).ok()?;
    let fingerprint = Fingerprint::of(&file.metadata().ok()?);
    // A file of the kernel says that it is empty, and is not.
    let is_whole = fingerprint == Fingerprint::of(&before) && text.len() as u64 == before.len();
    is_whole.then_some(Contents { fingerprint, text })
}
