//! The names that matter to any subscriber, to be compared with those the kernel tells of.

use super::trail::Trail;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// What an event has to be about.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Interest {
    /// The names on all trails, and the watched directories with all that they lie in.
    names: HashSet<PathBuf>,
    /// Directories of which every entry matters.
    listed: HashSet<PathBuf>,
}

impl Interest {
    /// Of all `trails` together.
    pub(super) fn of<'a>(trails: impl Iterator<Item = &'a Trail>) -> Self {
        let mut interest = Self::default();
        for trail in trails {
            interest.names.extend(trail.names.iter().cloned());
            // A directory further up that is moved away takes those below with it.
            let above = trail.directories.iter().flat_map(|directory| directory.ancestors());
            interest.names.extend(above.map(Path::to_owned));
            interest.listed.extend(trail.listed.clone());
        }
        interest
    }

    /// Whether something done to `path` may matter.
    pub(super) fn covers(&self, path: &Path) -> bool {
        self.names.contains(path) || path.parent().is_some_and(|parent| self.listed.contains(parent))
    }
}
