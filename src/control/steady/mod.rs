//! Files that are read when they have changed, whole or not at all.
//!
//! [`read`] looks at a file once; [`keep_fresh`] looks whenever there may be something new, and leaves a writer the time to finish.

mod follow;

pub use follow::{Follower, INTERVAL_MIN, QUIET, changed_or_never, first_look, keep_fresh, keep_fresh_by};

use std::fmt;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    device: u64,
    inode: u64,
    /// The file's length, bytes.
    pub len: u64,
    /// When it was written last, seconds and nanoseconds since 1970.
    pub modified: (i64, i64),
    changed: (i64, i64),
}

impl Fingerprint {
    /// That of an open file.
    pub fn of(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            len: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }

    /// That of the file at `path`; `None` if it cannot be looked at.
    pub fn at(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(|file| Self::of(&file))
    }
}

/// Why a file was not read. What it said before goes on being served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It is not there.
    Missing,
    /// It is a directory.
    Directory,
    /// It is a pipe, a socket or a device: reading might never end.
    Special,
    /// It was written to while it was read.
    Changing,
    /// The system says no.
    Unreadable(ErrorKind, String),
}

/// What is known of a file, and what is wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// In this state it was read already.
    pub known: Option<Fingerprint>,
    /// It is read in that state too.
    pub forced: bool,
    /// It is read in this state alone: in any other, somebody has begun to write it anew.
    pub settled: Option<Fingerprint>,
}

/// Opens the file at `path` and, if it is in a state that is `wanted`, has `load` read it: it gets what to read from, and the length, bytes. `None`:
/// it is as it was.
///
/// # Errors
/// Why it could not be read; [`Trouble::Changing`] also if it is another afterwards.
pub fn read<T>(
    path: &Path,
    wanted: Wanted,
    load: impl FnOnce(&mut dyn Read, u64) -> Result<T, Trouble>,
) -> Result<Option<(Fingerprint, T)>, Trouble> {
    // Without O_NONBLOCK, opening a pipe waits for its writer.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let metadata = file.metadata()?;
    let kind = metadata.file_type();
    if kind.is_dir() {
        return Err(Trouble::Directory);
    }
    let is_null = kind.is_char_device() && metadata.rdev() == DEV_NULL;
    if !kind.is_file() && !is_null {
        return Err(Trouble::Special);
    }
    let before = Fingerprint::of(&metadata);
    if !wanted.forced && wanted.known == Some(before) {
        return Ok(None);
    }
    if wanted.settled.is_some_and(|settled| settled != before) {
        return Err(Trouble::Changing);
    }
    // Somebody who writes on and on must not keep us reading; that the file grew is noticed afterwards. Files of the kernel say that they are
    // empty and are not.
    let len_max = before.len.max(UNSIZED_LEN_MAX);
    let loaded = load_steady(&file, before, || load(&mut (&file).take(len_max), before.len))?;
    Ok(Some((before, loaded)))
}

/// What `load` makes of `file`, if the file is the same afterwards as it was `before`.
///
/// # Errors
/// Those of `load`, and [`Trouble::Changing`].
pub fn load_steady<T>(
    file: &File,
    before: Fingerprint,
    load: impl FnOnce() -> Result<T, Trouble>,
) -> Result<T, Trouble> {
    let loaded = load()?;
    if Fingerprint::of(&file.metadata()?) == before { Ok(loaded) } else { Err(Trouble::Changing) }
}

/// Bytes read of a file that does not know its length.
const UNSIZED_LEN_MAX: u64 = 1 << 20;

/// Device number of `/dev/null`, which people name when they want no file.
const DEV_NULL: u64 = 1 << 8 | 3;

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Self::Missing,
            ErrorKind::IsADirectory => Self::Directory,
            kind => Self::Unreadable(kind, error.to_string()),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("is not there"),
            Self::Directory => f.write_str("is a directory"),
            Self::Special => f.write_str("is neither a file nor /dev/null"),
            Self::Changing => f.write_str("changed while it was read"),
            Self::Unreadable(_, why) => write!(f, "cannot be read: {why}"),
        }
    }
}
