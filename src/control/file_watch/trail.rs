//! What a path's meaning depends on: every link on the way, and the file at its end.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// The way from a path to its file, with all symbolic links followed by hand. All paths in it are absolute and have no
/// link among their directories, as the kernel's watcher reports them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Trail {
    /// The directories that hold one of `names`: what must be watched.
    pub(super) directories: HashSet<PathBuf>,
    /// The links on the way and the file at the end; or, where the way ends early, the name that is missing.
    pub(super) names: HashSet<PathBuf>,
    /// The end, where it is a directory: everything in it counts.
    pub(super) listed: Option<PathBuf>,
    /// What the file was when it was looked at.
    pub(super) fingerprint: Option<Fingerprint>,
}

/// What tells one state of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Trail {
    /// Follows `path`, which must be absolute.
    pub(super) fn follow(path: &Path) -> Self {
        let mut trail = Self { fingerprint: Fingerprint::of(path), ..Self::default() };
        let mut at = PathBuf::from("/");
        let mut ahead: Vec<_> = components(path);
        let mut links = 0;
        while let Some(component) = ahead.pop() {
            let next = match component {
                Step::Root => {
                    at = PathBuf::from("/");
                    continue;
                }
                Step::Up => {
                    at.pop();
                    continue;
                }
                Step::Into(name) => at.join(name),
            };
            let kind = fs::symlink_metadata(&next).map(|metadata| metadata.file_type());
            match kind {
                Ok(kind) if kind.is_symlink() => {
                    trail.add(&at, &next);
                    links += 1;
                    match fs::read_link(&next) {
                        Ok(target) if links <= LINKS_MAX => ahead.extend(components(&target)),
                        _ => return trail,
                    }
                }
                Ok(kind) => {
                    if ahead.is_empty() || !kind.is_dir() {
                        trail.add(&at, &next);
                        if kind.is_dir() {
                            trail.directories.insert(next.clone());
                            trail.listed = Some(next);
                        }
                        return trail;
                    }
                    at = next;
                }
                // Missing, or not ours to see: what can be watched is whether it comes.
                Err(_) => {
                    trail.add(&at, &next);
                    return trail;
                }
            }
        }
        // The path ends in `..` or at the root.
        trail.directories.insert(at.clone());
        trail.listed = Some(at);
        trail
    }

    /// Whether something done to `path` may change what the trail leads to.
    pub(super) fn depends_on(&self, path: &Path) -> bool {
        self.names.contains(path)
            || self.listed.as_deref().is_some_and(|listed| path.parent() == Some(listed))
    }

    fn add(&mut self, directory: &Path, name: &Path) {
        self.directories.insert(directory.into());
        self.names.insert(name.into());
    }
}

impl Fingerprint {
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

enum Step {
    Root,
    Up,
    Into(std::ffi::OsString),
}

/// Last first, to be taken from the end.
fn components(path: &Path) -> Vec<Step> {
    let step = |component| match component {
        Component::RootDir => Some(Step::Root),
        Component::ParentDir => Some(Step::Up),
        Component::Normal(name) => Some(Step::Into(name.to_owned())),
        Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().rev().filter_map(step).collect()
}

/// As many links as Linux follows.
const LINKS_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use super::super::tests::TestDir;
    use super::*;
    use std::os::unix::fs::symlink;

    fn check(dir: &TestDir, path: &str, directories: &[&str], names: &[&str]) {
        let trail = Trail::follow(&dir.path(path));
        let set = |paths: &[&str]| paths.iter().map(|path| dir.path(path)).collect::<HashSet<_>>();
        assert_eq!((trail.directories, trail.names), (set(directories), set(names)));
    }

    #[test]
    fn every_link_on_the_way_counts() {
        let dir = TestDir::new();
        fs::create_dir_all(dir.path("etc/..2024")).unwrap();
        fs::write(dir.path("etc/..2024/Corefile"), "").unwrap();
        symlink("..2024", dir.path("etc/..data")).unwrap();
        symlink("..data/Corefile", dir.path("etc/Corefile")).unwrap();
        symlink(dir.path("etc"), dir.path("conf")).unwrap();
        fs::write(dir.path("plain"), "").unwrap();
        symlink("itself", dir.path("itself")).unwrap();

        check(&dir, "plain", &[""], &["plain"]);
        check(&dir, "etc/../plain", &[""], &["plain"]);
        check(&dir, "missing", &[""], &["missing"]);
        check(&dir, "etc/missing/file", &["etc"], &["etc/missing"]);
        check(&dir, "plain/file", &[""], &["plain"]);
        check(&dir, "itself", &[""], &["itself"]);
        let names = ["etc/Corefile", "etc/..data", "etc/..2024/Corefile"];
        check(&dir, "etc/Corefile", &["etc", "etc/..2024"], &names);
        let names = ["conf", "etc/Corefile", "etc/..data", "etc/..2024/Corefile"];
        check(&dir, "conf/Corefile", &["", "etc", "etc/..2024"], &names);
        check(&dir, "conf", &["", "etc"], &["conf", "etc"]);
        assert_eq!(Trail::follow(&dir.path("conf")).listed, Some(dir.path("etc")));
        assert_eq!(Trail::follow(&dir.path("etc/..")).listed, Some(dir.path("")));
    }

    #[test]
    fn a_fingerprint_tells_states_apart() {
        let dir = TestDir::new();
        let path = dir.path("file");
        let absent = Fingerprint::of(&path);
        fs::write(&path, "one").unwrap();
        let first = Fingerprint::of(&path);
        assert_eq!(first, Fingerprint::of(&path));
        fs::write(&path, "three").unwrap();
        let longer = Fingerprint::of(&path);
        fs::write(dir.path("other"), "three").unwrap();
        fs::rename(dir.path("other"), &path).unwrap();
        let replaced = Fingerprint::of(&path);
        assert!(absent != first && first != longer && longer != replaced);
    }
}
