//! What reading a configuration needs from outside, and gathers, whatever its syntax.

use super::diagnostic::{Diagnostic, Refused};
use super::env::{self, Environment};
use super::imports::{self, Loader};
use super::source::{FileId, SourceMap, Span};
use super::tree::{Config, Directive, ServerBlock, Word};
use std::collections::HashSet;

/// The names that may begin a directive.
#[derive(Clone, Copy, Debug)]
pub struct Vocabulary<'a> {
    /// Directives there are.
    pub known: &'a [&'a str],
    /// Directives of CoreDNS that there are not yet: refused, but by their name.
    pub missing: &'a [&'a str],
}

/// What a configuration is read from.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// The file as messages call it: the path as it was typed.
    pub name: &'a str,
    /// Its contents. What is not UTF-8 is replaced by U+FFFD.
    pub text: &'a [u8],
    /// How imported files are read.
    pub loader: &'a dyn Loader,
    /// Where variables are looked up.
    pub environment: &'a Environment<'a>,
    /// The directives there are; `None` takes any name.
    pub vocabulary: Option<Vocabulary<'a>>,
}

/// Files imported in one configuration. CoreDNS takes ten times as many, and minutes to get there.
const FILE_IMPORTS_MAX: usize = 10_000;

/// Bytes of all files of one configuration together.
const TOTAL_SIZE_MAX: usize = 64 << 20;

/// Errors told at once; more are no help to anybody.
pub(super) const ERRORS_MAX: usize = 100;

/// The configuration of a server that was given none: it answers who asked, and logs that.
const DEFAULT_COREFILE: &str = ". {\nwhoami\nlog\n}\n";

/// What reading either syntax needs and gathers.
pub(super) struct Context<'a> {
    pub(super) input: Input<'a>,
    pub(super) sources: SourceMap,
    pub(super) errors: Vec<Diagnostic>,
    pub(super) warnings: Vec<Diagnostic>,
    bytes_read: usize,
    file_imports: usize,
    is_default: bool,
}

impl<'a> Context<'a> {
    pub(super) fn new(input: Input<'a>) -> Self {
        Self {
            input,
            sources: SourceMap::default(),
            errors: Vec::new(),
            warnings: Vec::new(),
            bytes_read: 0,
            file_imports: 0,
            is_default: false,
        }
    }

    /// Keeps the text of a file and says where it is kept. A byte order mark is dropped, with a warning.
    pub(super) fn add_source(&mut self, name: &str, bytes: &[u8]) -> FileId {
        self.bytes_read = self.bytes_read.saturating_add(bytes.len());
        let text = String::from_utf8_lossy(bytes);
        let stripped = text.strip_prefix('\u{feff}');
        let file = self.sources.add(name, stripped.unwrap_or(&text));
        if stripped.is_some() {
            let message = "the file begins with a byte order mark, which is ignored";
            self.warnings.push(Diagnostic::warning(Span::start_of(file), message));
        }
        file
    }

    /// The word with its variables replaced. One that cannot be replaced stays, with an error.
    pub(super) fn expand(&mut self, word: Word) -> Word {
        match env::expand(&word.text, self.input.environment) {
            Ok(expanded) => {
                for name in expanded.unset {
                    let message =
                        format!("the environment variable '{name}' is not set and counts as nothing");
                    self.warnings.push(Diagnostic::warning(word.span, message));
                }
                word.expanded(expanded.text)
            }
            Err(name) => {
                let message = format!("Environment variable '{name}' cannot be replaced");
                let help = "its value probably contains its own name, or is too long";
                self.errors.push(Diagnostic::error(word.span, message).help(help));
                word
            }
        }
    }

    /// Refuses the name of a directive that there is not.
    pub(super) fn check_name(&mut self, name: &Word) -> bool {
        let Some(Vocabulary { known, missing }) = self.input.vocabulary else { return true };
        let text = name.text.as_str();
        if known.contains(&text) {
            return true;
        }
        let error = if missing.contains(&text) {
            Diagnostic::error(name.span, format!("Directive '{text}' is not part of waypost yet"))
                .help(format!("'{text}' is a plugin of CoreDNS that this version of waypost does not have"))
        } else {
            unknown_directive(name, known)
        };
        self.errors.push(error);
        false
    }

    /// The paths an import means, with their contents.
    ///
    /// # Errors
    /// CoreDNS's texts, said of the pattern.
    pub(super) fn import_files(
        &mut self,
        pattern: &Word,
        importing_file: &str,
    ) -> Result<Vec<String>, Diagnostic> {
        self.file_imports += 1;
        if self.file_imports > FILE_IMPORTS_MAX {
            return Err(pattern.error(format!("maximum file import depth ({FILE_IMPORTS_MAX}) exceeded")));
        }
        let text = &pattern.text;
        let path = imports::resolve(text, importing_file);
        if imports::too_many_wildcards(&path) {
            let message = format!("Glob pattern may only contain one wildcard (*), but has others: {path}");
            return Err(pattern.error(message).help("at most one '*' and one '?', and no brackets"));
        }
        let found = imports::glob(self.input.loader, &path).map_err(|imports::BadPattern| {
            pattern.error(format!("Failed to use import pattern {text}: syntax error in pattern"))
        })?;
        if found.is_empty() {
            if !imports::is_pattern(&path) {
                let error = pattern.error(format!("File to import not found: {text}"));
                return Err(
                    error.help(format!("looked for {path}; a snippet must be defined before it is imported"))
                );
            }
            let message = format!("No files matching import glob pattern: {text}");
            self.warnings.push(Diagnostic::warning(pattern.span, message).unlocated());
        }
        Ok(found)
    }

    /// The contents of an imported file.
    ///
    /// # Errors
    /// CoreDNS's texts, said of the pattern.
    pub(super) fn read(&mut self, path: &str, pattern: &Word) -> Result<Vec<u8>, Diagnostic> {
        let bytes = self.input.loader.read(path).map_err(|error| {
            let reason = match error.kind() {
                std::io::ErrorKind::IsADirectory => "is a directory".to_owned(),
                _ => imports::system_error("open", path, &error),
            };
            pattern.error(format!("Could not import {path}: {reason}"))
        })?;
        if self.bytes_read.saturating_add(bytes.len()) > TOTAL_SIZE_MAX {
            let message = format!("Could not import {path}: more than {TOTAL_SIZE_MAX} bytes in all");
            return Err(pattern.error(message));
        }
        Ok(bytes)
    }

    /// Puts the default configuration where there is no block at all.
    pub(super) fn default_if_empty(&mut self, blocks: &mut Vec<ServerBlock>) {
        if !blocks.is_empty() || !self.errors.is_empty() {
            return;
        }
        if !self.input.text.is_empty() {
            let message = "the file has no server block: the default is served, whoami and log for '.'";
            self.warnings.push(Diagnostic::warning(Span::default(), message));
        }
        self.is_default = true;
        let file = self.sources.add("Corefile", DEFAULT_COREFILE);
        let word = |text: &str, line| Word::new(text, Span { line, ..Span::start_of(file) });
        let directive = |name: Word| {
            let span = name.span;
            Directive { name, args: Vec::new(), block: None, span, end: span }
        };
        let directives = vec![directive(word("whoami", 2)), directive(word("log", 3))];
        blocks.push(ServerBlock { keys: vec![word(".", 1)], directives });
    }

    /// Whether so much is wrong that going on makes no sense.
    pub(super) fn hopeless(&self) -> bool {
        self.errors.len() >= ERRORS_MAX
    }

    /// The result: the configuration with its warnings, or all errors.
    pub(super) fn finish(
        mut self,
        blocks: Vec<ServerBlock>,
        fingerprint: [u8; 64],
    ) -> Result<Config, Refused> {
        super::lint::check(&blocks, &mut self.warnings);
        let Self { errors, warnings, sources, is_default, .. } = self;
        let (errors, warnings) = (once_each(errors), once_each(warnings));
        if errors.is_empty() {
            Ok(Config { blocks, is_default, sources, warnings, fingerprint })
        } else {
            Err(Refused { errors, warnings, sources })
        }
    }
}

/// What a snippet or file imported several times brings forth again is told once.
fn once_each(found: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let mut told = HashSet::new();
    found
        .into_iter()
        .filter(|diagnostic| told.insert((diagnostic.span, diagnostic.message.clone())))
        .collect()
}

fn unknown_directive(name: &Word, known: &[&str]) -> Diagnostic {
    let text = name.text.as_str();
    let error = name.error(format!("Unknown directive '{text}'"));
    match text {
        "proxy" => error.help("'proxy' left CoreDNS with version 1.5.0: use 'forward'"),
        "federation" => error.help("'federation' left CoreDNS with version 1.7.0: remove it"),
        "upstream" => error.help("'upstream' is no longer needed: remove it"),
        "startup" | "shutdown" => error.help(format!("use 'on {text}'")),
        "{" => error.help("an opening brace belongs at the end of the line it opens a block for"),
        _ if text.ends_with('{') => error.help("put a blank before the '{'"),
        _ if text.starts_with("//") || text.starts_with(';') => error.help("a comment begins with '#'"),
        _ if looks_like_key(text) => {
            error.help("this looks like the key of a server block: is the '}' of the block above it missing?")
        }
        _ => match super::did_you_mean(text, known.iter().copied()) {
            Some(close) => error.help(format!("did you mean '{close}'?")),
            None => {
                error.help("it is no plugin that CoreDNS comes with: plugins from elsewhere cannot be loaded")
            }
        },
    }
}

/// Whether a word is more like a zone than like the name of a directive.
fn looks_like_key(text: &str) -> bool {
    text.contains(['.', ':', '/'])
}
