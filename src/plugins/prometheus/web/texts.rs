//! The files of a web configuration, and whether they still say what was read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::config::{is_read_once, read_bounded, system_error};

/// What was read of each file, or why nothing was.
#[derive(Default)]
pub(super) struct Texts(BTreeMap<PathBuf, Result<Vec<u8>, String>>);

impl Texts {
    /// The bytes of the file, which is read once.
    ///
    /// # Errors
    /// In the words of the system: `open F: no such file or directory`.
    pub(super) fn read(&mut self, path: &Path) -> Result<Vec<u8>, String> {
        self.0.entry(path.to_owned()).or_insert_with(|| read(path)).clone()
    }

    /// Whether all files that were read still say the same. They are compared, as their times say too little: two changes within a tick of the
    /// kernel's clock have one time.
    pub(super) fn are_current(&self) -> bool {
        !self.0.is_empty() && self.0.iter().all(|(path, text)| read(path) == *text)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let name = path.display().to_string();
    if is_read_once(path) {
        return Err(format!("open {name}: it cannot be read again"));
    }
    read_bounded(path).map_err(|error| system_error("open", &name, &error))
}
