//! What the directives say.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use regex::Regex;

use super::names::FileNames;
use crate::chain::Setup;
use crate::config::{Diagnostic, Directive, Problems, Word, pattern, system_error};
use crate::wire::Name;

/// All `auto` directives of a block, which count as one.
pub(super) struct Config {
    /// The zones whose names are served.
    pub(super) origins: Vec<Name>,
    /// The directory, as the block's `root` makes it.
    pub(super) directory: PathBuf,
    /// Which files are zones, and whose.
    pub(super) names: FileNames,
    /// How often the directory is looked at; zero: never again.
    pub(super) reload: Duration,
}

const RELOAD: Duration = Duration::from_secs(60);

const OPTIONS: &[&str] = &["directory", "reload", "upstream"];

/// Bytes of a pattern at most, as in CoreDNS.
const PATTERN_LEN_MAX: usize = 10_000;

impl Config {
    /// Reads the directives of a block; of several the last counts for what it sets.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub(super) fn read(setup: &mut Setup<'_>) -> Result<Self, Vec<Diagnostic>> {
        let mut problems = Problems::default();
        let (mut origins, mut directory, mut reload) = (Vec::new(), None, RELOAD);
        let mut names = FileNames::default();
        for &directive in setup.directives {
            origins = setup.origins(&directive.args);
            for option in directive.options() {
                problems.keep(option.no_block());
                match option.name.as_str() {
                    "directory" => {
                        let Some(word) = problems.keep(option.first_arg()) else { continue };
                        directory = problems.keep(find(setup, word)).or(directory);
                        if let Some(read) = problems.keep(file_names(option)).flatten() {
                            names = read;
                        }
                    }
                    "reload" => {
                        if let Some(read) = problems.keep(duration(option)) {
                            reload = read;
                        }
                    }
                    // CoreDNS takes what stands behind and does nothing with it.
                    "upstream" => {
                        setup.warn(
                            option.error("upstream is ignored: names elsewhere are asked of the server"),
                        );
                    }
                    other => {
                        let error = option.name.error(format!("unknown property '{other}'"));
                        problems.push(error.choices(other, OPTIONS));
                    }
                }
            }
        }
        let last = setup.directives[setup.directives.len() - 1];
        if directory.is_none() && problems.is_empty() {
            problems.push(last.error_at_end("auto needs a directory").help("add a line 'directory DIR'"));
        }
        problems.finish(Self { origins, directory: directory.unwrap_or_default(), names, reload })
    }
}

/// The directory as CoreDNS makes it: below `root` if that is set.
fn find(setup: &mut Setup<'_>, word: &Word) -> Result<PathBuf, Diagnostic> {
    let given = Path::new(word.as_str());
    let is_below_root = !given.is_absolute() && !setup.block.root.as_os_str().is_empty();
    let path: PathBuf = if is_below_root { setup.path(given).components().collect() } else { given.into() };
    let shown = path.to_string_lossy().into_owned();
    match std::fs::metadata(&path) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {
            setup.warn(word.bare_error(format!("Directory does not exist: {shown}")));
        }
        Err(error) => {
            let why = system_error("stat", &shown, &error);
            return Err(word.error(format!("Unable to access root path '{shown}': {why}")));
        }
    }
    Ok(path)
}

/// The pattern and the template behind the directory; `None` if there are none.
fn file_names(option: &Directive) -> Result<Option<FileNames>, Diagnostic> {
    let (pattern, template) = match &option.args[..] {
        [_] => return Ok(None),
        [_, pattern, template] => (pattern, template),
        [_, _] => {
            return Err(option
                .arg_error()
                .help("behind the pattern goes the template of the origin, such as {1}"));
        }
        _ => return Err(option.arg_error()),
    };
    if pattern.text.len() > PATTERN_LEN_MAX {
        return Err(pattern.error("regexp too large"));
    }
    let compiled: Regex = pattern::compile(&pattern.text).map_err(|message| pattern.error(message))?;
    if compiled.captures_len() < 2 {
        return Err(pattern.error("Need at least one sub expression"));
    }
    Ok(Some(FileNames::new(compiled, template.as_str())))
}

fn duration(option: &Directive) -> Result<Duration, Diagnostic> {
    let help = "such as 30s; 0 for never";
    let Some(word) = option.args.first() else {
        return Err(option.error("reload duration value is expected").help(help));
    };
    let duration = word.signed_duration().map_err(Diagnostic::located)?;
    duration.positive().ok_or_else(|| word.error("invalid duration").help(help))
}
