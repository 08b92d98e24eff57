//! Files that a configuration imports: how they are found and read.

use super::read::{FILE_SIZE_MAX, read_bounded};
use std::fs;
use std::io;
use std::path::Path;

/// What the parser asks the world outside for.
pub trait Loader {
    /// The path from the root for one that may be relative to the working directory, without `.` and `..`.
    ///
    /// # Errors
    /// When the working directory is not known.
    fn absolute(&self, path: &str) -> io::Result<String>;

    /// Whether something has that path, if only a link to nowhere.
    fn exists(&self, path: &str) -> bool;

    /// The names in a directory in any order; none if it is no directory or cannot be read.
    fn list(&self, directory: &str) -> Vec<String>;

    /// The contents of a file.
    ///
    /// # Errors
    /// As [`read_bounded`].
    fn read(&self, path: &str) -> io::Result<Vec<u8>>;
}

/// The files of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filesystem;

impl Loader for Filesystem {
    fn absolute(&self, path: &str) -> io::Result<String> {
        if path.starts_with('/') {
            return Ok(clean(path));
        }
        let directory = std::env::current_dir()?;
        Ok(clean(&format!("{}/{path}", directory.to_string_lossy())))
    }

    fn exists(&self, path: &str) -> bool {
        fs::symlink_metadata(path).is_ok()
    }

    fn list(&self, directory: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        read_bounded(Path::new(path))
    }
}

/// What the system says about a file, in the words of Go: `open PATH: no such file or directory`.
pub fn system_error(action: &str, path: &str, error: &io::Error) -> String {
    let reason = match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "is a directory".to_owned(),
        io::ErrorKind::NotADirectory => "not a directory".to_owned(),
        io::ErrorKind::FileTooLarge => format!("larger than {FILE_SIZE_MAX} bytes"),
        _ => {
            // Rust adds the number of the error to the system's text, which begins with a capital.
            let text = error.to_string();
            let text = text.split(" (os error").next().unwrap_or_default();
            let mut letters = text.chars();
            letters
                .next()
                .map(|first| first.to_lowercase().collect::<String>() + letters.as_str())
                .unwrap_or_default()
        }
    };
    format!("{action} {path}: {reason}")
}

/// The path an import means: relative to the directory of the file that imports.
pub(super) fn resolve(pattern: &str, importing_file: &str) -> String {
    if pattern.starts_with('/') {
        return pattern.to_owned();
    }
    let directory = importing_file.rsplit_once('/').map_or("", |(directory, _)| directory);
    clean(&format!("{directory}/{pattern}"))
}

/// Whether the text asks for a search rather than one file, by the signs that CoreDNS looks for.
pub(super) fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?', '[', ']'])
}

/// Whether a pattern has more wildcards than CoreDNS allows, as a search with many can take very long.
pub(super) fn too_many_wildcards(path: &str) -> bool {
    path.matches('*').count() > 1
        || path.matches('?').count() > 1
        || (path.contains('[') && path.contains(']'))
}

/// The pattern has a bracket or a backslash without what belongs to it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadPattern;

/// The paths that match, in order. `*` and `?` stand for anything within one name, dots in front included; a backslash
/// takes the meaning from the next character.
pub(super) fn glob(loader: &dyn Loader, pattern: &str) -> Result<Vec<String>, BadPattern> {
    if pattern.contains('[') || ends_in_escape(pattern) {
        return Err(BadPattern);
    }
    Ok(search(loader, pattern))
}

fn search(loader: &dyn Loader, pattern: &str) -> Vec<String> {
    if !pattern.contains(['*', '?', '\\']) {
        return if loader.exists(pattern) { vec![pattern.to_owned()] } else { Vec::new() };
    }
    let (directory, name) = pattern.rsplit_once('/').unwrap_or((".", pattern));
    let directories = if directory.is_empty() { vec![String::new()] } else { search(loader, directory) };
    let mut found = Vec::new();
    for directory in directories {
        let mut names = loader.list(if directory.is_empty() { "/" } else { &directory });
        names.sort_unstable();
        found.extend(
            names
                .into_iter()
                .filter(|entry| matches(name, entry))
                .map(|entry| format!("{directory}/{entry}")),
        );
    }
    found
}

fn ends_in_escape(pattern: &str) -> bool {
    pattern.len() % 2 != pattern.trim_end_matches('\\').len() % 2
}

/// Whether a name matches a pattern. The time is bounded by the one `*` that is allowed.
fn matches(pattern: &str, name: &str) -> bool {
    fn from(pattern: &[char], name: &[char]) -> bool {
        match pattern {
            [] => name.is_empty(),
            ['*', rest @ ..] => (0..=name.len()).any(|skip| from(rest, &name[skip..])),
            ['?', rest @ ..] => !name.is_empty() && from(rest, &name[1..]),
            ['\\', literal, rest @ ..] | [literal, rest @ ..] => {
                name.first() == Some(literal) && from(rest, &name[1..])
            }
        }
    }
    from(&pattern.chars().collect::<Vec<_>>(), &name.chars().collect::<Vec<_>>())
}

/// The path without `.`, `..` and doubled slashes, by its text alone; always from the root.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Files in memory; the working directory is `/etc/coredns`.
    #[derive(Default)]
    pub(crate) struct Memory(pub(crate) BTreeMap<String, Vec<u8>>);

    impl Memory {
        pub(crate) fn new<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
            Self(files.into_iter().map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec())).collect())
        }

        fn is_directory(&self, path: &str) -> bool {
            self.0.keys().any(|file| file.strip_prefix(path).is_some_and(|rest| rest.starts_with('/')))
        }
    }

    impl Loader for Memory {
        fn absolute(&self, path: &str) -> io::Result<String> {
            Ok(if path.starts_with('/') { clean(path) } else { clean(&format!("/etc/coredns/{path}")) })
        }

        fn exists(&self, path: &str) -> bool {
            self.0.contains_key(path) || self.is_directory(path)
        }

        fn list(&self, directory: &str) -> Vec<String> {
            let directory = directory.trim_end_matches('/');
            let inside = |file: &String| {
                let rest = file.strip_prefix(directory)?.strip_prefix('/')?;
                Some(rest.split('/').next()?.to_owned())
            };
            let mut names: Vec<String> = self.0.keys().filter_map(inside).collect();
            names.dedup();
            names.reverse();
            names
        }

        fn read(&self, path: &str) -> io::Result<Vec<u8>> {
            match self.0.get(path) {
                Some(bytes) => Ok(bytes.clone()),
                None if self.is_directory(path) => Err(io::ErrorKind::IsADirectory.into()),
                None => Err(io::ErrorKind::NotFound.into()),
            }
        }
    }

    #[test]
    fn a_pattern_finds_files_in_order() {
        let loader =
            Memory::new([("/a/b.conf", ""), ("/a/a.conf", ""), ("/a/.c.conf", ""), ("/b/a.conf", "")]);
        let check = |pattern: &str, expected: &[&str]| {
            assert_eq!(glob(&loader, pattern).unwrap(), expected, "{pattern}")
        };
        check("/a/a.conf", &["/a/a.conf"]);
        check("/a/none", &[]);
        check("/a/*.conf", &["/a/.c.conf", "/a/a.conf", "/a/b.conf"]);
        check("/a/?.conf", &["/a/a.conf", "/a/b.conf"]);
        check("/*/a.conf", &["/a/a.conf", "/b/a.conf"]);
        check("/?/b*", &["/a/b.conf"]);
        check("/a/\\a.conf", &["/a/a.conf"]);
        check("/a", &["/a"]);
        assert_eq!(glob(&loader, "/a/[a.conf"), Err(BadPattern));
        assert_eq!(glob(&loader, "/a/a\\"), Err(BadPattern));
    }

    #[test]
    fn paths_are_relative_to_the_importing_file() {
        assert_eq!(resolve("x", "/etc/Corefile"), "/etc/x");
        assert_eq!(resolve("../x", "/etc/dns/Corefile"), "/etc/x");
        assert_eq!(resolve("./a//x", "/Corefile"), "/a/x");
        assert_eq!(resolve("/x", "/etc/Corefile"), "/x");
        assert_eq!(clean("/../.."), "/");
    }

    #[test]
    fn the_system_s_errors_read_as_go_s() {
        let check = |path: &str, expected: &str| {
            let error = Filesystem.read(path).unwrap_err();
            assert_eq!(system_error("open", path, &error), expected);
        };
        check("/nonexistent/x", "open /nonexistent/x: no such file or directory");
        check("/", "open /: is a directory");
        check("/dev/zero", "open /dev/zero: neither a file nor a pipe");
        let large = io::ErrorKind::FileTooLarge.into();
        assert_eq!(system_error("open", "x", &large), format!("open x: larger than {FILE_SIZE_MAX} bytes"));
        let other = io::Error::from_raw_os_error(libc::ELOOP);
        assert_eq!(system_error("open", "x", &other), "open x: too many levels of symbolic links");
    }

    #[test]
    fn the_file_system_is_listed() {
        assert!(Filesystem.exists("/"));
        assert!(Filesystem.list("/").contains(&"dev".to_owned()));
        assert!(Filesystem.list("/nonexistent").is_empty());
        assert!(Filesystem.absolute("x").unwrap().ends_with("/x"));
        assert_eq!(Filesystem.absolute("/a/../x").unwrap(), "/x");
    }
}
