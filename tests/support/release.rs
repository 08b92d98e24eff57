//! What `packaging/release.sh` has made.

use std::fs;
use std::path::{Path, PathBuf};

use super::say;

/// The folder of releases: target/dist, or another that WAYPOST_DIST names.
fn folder() -> PathBuf {
    std::env::var_os("WAYPOST_DIST")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/dist"), PathBuf::from)
}

/// The released file whose name ends in `ending`; `None`, having said loudly which test does not run, if there is none.
pub(crate) fn released(test: &str, ending: &str) -> Option<PathBuf> {
    let folder = folder();
    let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
    let found = entries.map(|entry| entry.path()).find(|path| path.to_string_lossy().ends_with(ending));
    if found.is_none() {
        say(&format!(
            "SKIPPED: {test}: there is no file …{ending} in {}: packaging/release.sh makes it",
            folder.display()
        ));
    }
    found
}
