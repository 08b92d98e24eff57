//! Where a configuration comes from.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::config::{self, Config, Input, Refused, Vocabulary};
use crate::control::config_watch::{Seen, Unseen};
use crate::plugins;

/// Where a configuration comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file, named as the user typed it. Ending in `.toml` it is TOML, else a Corefile.
    File(PathBuf),
    /// Standard input, a pipe or a terminal, which was read and has no more to say.
    Once {
        /// What messages call it.
        name: String,
        /// What was read.
        text: Vec<u8>,
    },
    /// There is no file: the default.
    Default,
}

/// What messages call standard input.
pub const STDIN: &str = "/dev/stdin";

/// Why there is no configuration.
#[derive(Debug)]
pub enum LoadError {
    /// The file cannot be read.
    Unreadable(PathBuf, io::Error),
    /// It is not a configuration.
    Refused(Refused),
}

impl LoadError {
    /// What the system says about a file that cannot be read, as Go puts it.
    pub(super) fn unreadable(path: &Path, error: &io::Error) -> String {
        // A directory can be opened.
        let action = if error.kind() == io::ErrorKind::IsADirectory { "read" } else { "open" };
        config::system_error(action, &path.to_string_lossy(), error)
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, error) => f.write_str(&Self::unreadable(path, error)),
            Self::Refused(refused) => refused.fmt(f),
        }
    }
}

impl Source {
    /// Reads standard input to its end, up to the size a configuration may have.
    ///
    /// # Errors
    /// If it cannot be read or is larger.
    pub fn from_stdin() -> Result<Self, LoadError> {
        let mut text = Vec::new();
        let read = io::stdin().lock().take(config::FILE_SIZE_MAX + 1).read_to_end(&mut text);
        let error = match read {
            Err(error) => error,
            Ok(_) if text.len() as u64 > config::FILE_SIZE_MAX => io::ErrorKind::FileTooLarge.into(),
            Ok(_) => return Ok(Self::Once { name: STDIN.to_owned(), text }),
        };
        Err(LoadError::Unreadable(STDIN.into(), error))
    }

    /// The file at `path`. What can be read only once is read now.
    ///
    /// # Errors
    /// If that fails.
    pub fn from_path(path: PathBuf) -> Result<Self, LoadError> {
        if !config::is_read_once(&path) {
            return Ok(Self::File(path));
        }
        match config::read_bounded(&path) {
            Ok(text) => Ok(Self::Once { name: path.to_string_lossy().into_owned(), text }),
            Err(error) => Err(LoadError::Unreadable(path, error)),
        }
    }

    /// The file, if it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Once { .. } | Self::Default => None,
        }
    }

    /// What messages call it; `None` for the default.
    pub fn name(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::File(path) => Some(path.to_string_lossy()),
            Self::Once { name, .. } => Some(name.into()),
            Self::Default => None,
        }
    }
}

/// Reads the configuration of `source` with everything it imports.
///
/// # Errors
/// All errors of the file at once.
pub(super) fn load(source: &Source) -> Result<Config, LoadError> {
    let known: Vec<&str> = plugins::ORDER.iter().map(|spec| spec.name).collect();
    let missing: Vec<&str> =
        plugins::COREDNS_ORDER.iter().copied().filter(|name| plugins::find(name).is_none()).collect();
    read(source, Some(Vocabulary { known: &known, missing: &missing }))
}

/// The same whatever its directives are called; `None` if there is more wrong with it than their names.
pub(super) fn load_any_directives(source: &Source) -> Option<Config> {
    read(source, None).ok()
}

/// What the configuration of `source` says now, for whoever watches it: whether its directives exist is found out when it is loaded.
pub(super) fn look(source: &Source) -> Result<Seen, Unseen> {
    match read(source, None) {
        Ok(config) => Ok(seen(&config)),
        Err(LoadError::Unreadable(_, error)) => Err(Unseen::Unreadable(error)),
        Err(LoadError::Refused(refused)) => Err(Unseen::Refused(refused.to_string())),
    }
}

/// What `config` says, and in which files.
pub(super) fn seen(config: &Config) -> Seen {
    Seen { digest: config.fingerprint, files: config.sources.names().map(PathBuf::from).collect() }
}

fn read(source: &Source, vocabulary: Option<Vocabulary<'_>>) -> Result<Config, LoadError> {
    let (name, text) = match source {
        Source::File(path) => {
            let text =
                config::read_bounded(path).map_err(|error| LoadError::Unreadable(path.clone(), error))?;
            (path.to_string_lossy().into_owned(), text)
        }
        Source::Once { name, text } => (name.clone(), text.clone()),
        Source::Default => ("Corefile".to_owned(), Vec::new()),
    };
    let input = Input {
        name: &name,
        text: &text,
        loader: &config::Filesystem,
        environment: &config::process_environment,
        vocabulary,
    };
    let parsed = config::parse(&input);
    parsed.map_err(LoadError::Refused)
}
