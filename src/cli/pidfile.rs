//! The file with the process ID.

use std::path::{Path, PathBuf};

use crate::config;

/// A file with our process ID; removed when dropped, unless a successor has it.
pub(super) struct PidFile(Option<PathBuf>);

impl PidFile {
    /// Writes it. If that fails it is said, and no more.
    pub(super) fn write(path: &Path) -> Self {
        if let Err(error) = std::fs::write(path, format!("{}\n", std::process::id())) {
            tracing::error!(
                "Could not write pidfile: {}",
                config::system_error("open", &path.to_string_lossy(), &error)
            );
        }
        Self(Some(path.to_owned()))
    }

    /// Leaves it to the process that writes its own ID into it.
    pub(super) fn leave(mut self) {
        self.0 = None;
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}
