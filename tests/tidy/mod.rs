//! The house rules that the compiler does not hold: which room may use which, what files may be called and hold, and that the pages
//! about the code say what is there. ARCHITECTURE.md gives the reasons.

mod pages;
mod rooms;
mod source;
mod words;

use std::fs;
use std::path::{Path, PathBuf};

/// A file of the repository.
struct File {
    /// Relative to the repository, with slashes.
    path: String,
    text: String,
    /// The module that a file of `src/` is: `src/wire/name.rs` is `wire::name`.
    module: Vec<String>,
}

impl File {
    fn new(path: String, text: String) -> Self {
        let names = path.trim_start_matches("src/").trim_end_matches(".rs").split('/');
        let module =
            names.filter(|name| !matches!(*name, "mod" | "lib" | "main")).map(str::to_owned).collect();
        Self { path, text, module }
    }

    /// Whether the file is only compiled for tests.
    fn is_test(&self) -> bool {
        self.path.starts_with("tests/") || self.module.iter().any(|name| source::is_for_tests(name))
    }

    fn tokens(&self) -> Vec<source::Token> {
        source::tokens(&self.text)
    }
}

/// The repository's root.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text files of the repository below `folder` whose names end in one of `endings`, in order.
fn files(folder: &str, endings: &[&str]) -> Vec<File> {
    let mut found = Vec::new();
    collect(&root().join(folder), &mut found);
    let mut files: Vec<File> = found
        .into_iter()
        .filter(|path| endings.iter().any(|ending| path.to_string_lossy().ends_with(ending)))
        .filter_map(|path| {
            let text = fs::read_to_string(&path).ok()?;
            Some(File::new(path.strip_prefix(root()).ok()?.to_string_lossy().into_owned(), text))
        })
        .collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!files.is_empty(), "{folder} holds files");
    files
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name();
        if name == "target" || name == ".git" {
            continue;
        }
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => collect(&path, found),
            Ok(kind) if kind.is_file() => found.push(path),
            _ => {}
        }
    }
}

/// The Rust files of the server itself.
fn server_files() -> Vec<File> {
    let mut files = files("src", &[".rs"]);
    let placed: Vec<_> = files.iter().flat_map(source::placed_modules).collect();
    for (path, module) in placed {
        let file = files.iter_mut().find(|file| file.path == path);
        file.unwrap_or_else(|| panic!("{path} is a module, and no file")).module = module;
    }
    files
}

/// All Rust files of the repository, benches and fuzz targets included.
fn rust_files() -> Vec<File> {
    files("", &[".rs"])
}

/// Fails with every line of `offences`, under the rule that they break.
fn hold(rule: &str, offences: Vec<String>) {
    assert!(offences.is_empty(), "{rule}:\n  {}\n", offences.join("\n  "));
}
