//! A directory of a test's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A new directory that is removed with all it holds when dropped.
#[derive(Debug)]
pub(crate) struct TestDir(PathBuf);

impl TestDir {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("waypost-test-{}-{n}", std::process::id()));
        // One that a killed run with our process ID has left.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("the directory of temporary files can be written to");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The path of a file in it, as text.
    pub(crate) fn join(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// Writes a file in place, as an editor that does not rename does.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.0.join(name), text).expect("a file in the test's directory can be written");
    }

    /// Replaces a file in one step.
    pub(crate) fn replace(&self, name: &str, text: impl AsRef<[u8]>) {
        let new = format!("{name}.new");
        self.write(&new, text);
        fs::rename(self.0.join(new), self.0.join(name))
            .expect("a file in the test's directory can be renamed");
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.0.join(name)).expect("a file in the test's directory can be removed");
    }
}

impl Drop for TestDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
