//! Reading a file of a configuration: bounded in size, and in time where there may never be anything to read.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

/// Size of one file of a configuration, in bytes. The largest in use are a few hundred KiB; what is larger is most
/// likely not a configuration.
pub const FILE_SIZE_MAX: u64 = 16 << 20;

/// Device number of `/dev/null`, which people name when they want no file.
const DEV_NULL: u64 = 1 << 8 | 3;

/// Between two looks at a pipe.
const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// Looks at a pipe that nobody has opened for writing, at most: 5 seconds.
const LOOKS_WITHOUT_WRITER_MAX: u32 = 500;

/// Looks at a pipe whose writer writes nothing, at most: a minute, as it may be a program that asks another machine.
const LOOKS_WITHOUT_BYTES_MAX: u32 = 6_000;

/// Why a file was not read, where the system has no error for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unread {
    /// A device or a socket.
    Special,
    /// A pipe without a writer.
    Unwritten,
    /// A pipe with a writer that does not write.
    Silent,
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Special => "neither a file nor a pipe",
            Self::Unwritten => "a pipe that nobody writes to",
            Self::Silent => "a pipe to which nothing was written for a minute",
        })
    }
}

impl std::error::Error for Unread {}

impl From<Unread> for io::Error {
    fn from(why: Unread) -> Self {
        let kind = if why == Unread::Special { io::ErrorKind::InvalidInput } else { io::ErrorKind::TimedOut };
        Self::new(kind, why)
    }
}

/// Reads a file of a configuration, up to [`FILE_SIZE_MAX`]: a file, or what a pipe (such as `/dev/stdin` or `<(…)` of a shell) or a terminal
/// has to say until its writer closes it.
///
/// # Errors
/// Those of the system; a directory is [`io::ErrorKind::IsADirectory`], a file above [`FILE_SIZE_MAX`] [`io::ErrorKind::FileTooLarge`], a
/// pipe to which nobody writes [`io::ErrorKind::TimedOut`] after some seconds, anything else [`io::ErrorKind::InvalidInput`].
pub fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    // Without O_NONBLOCK, opening a pipe waits for its writer.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let metadata = file.metadata()?;
    let kind = metadata.file_type();
    if kind.is_dir() {
        Err(io::ErrorKind::IsADirectory.into())
    } else if kind.is_file() || kind.is_char_device() && metadata.rdev() == DEV_NULL {
        read_to_end(file)
    } else if kind.is_fifo() {
        read_pipe(file)
    } else if file.is_terminal() {
        // Who types takes the time it takes.
        read_to_end(File::open(path)?)
    } else {
        Err(Unread::Special.into())
    }
}

/// Whether what is at `path` can be read only once: a pipe or a terminal.
pub fn is_read_once(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| {
        let kind = metadata.file_type();
        kind.is_fifo() || kind.is_char_device() && metadata.rdev() != DEV_NULL
    })
}

fn read_to_end(file: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(FILE_SIZE_MAX + 1).read_to_end(&mut bytes)?;
    within_size(bytes)
}

fn within_size(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
    if u64::try_from(bytes.len()).is_ok_and(|length| length > FILE_SIZE_MAX) {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

/// Reads a pipe that was opened with O_NONBLOCK until its last writer has closed it.
fn read_pipe(pipe: impl Read) -> io::Result<Vec<u8>> {
    let mut pipe = pipe.take(FILE_SIZE_MAX + 1);
    let mut bytes = Vec::new();
    let mut looks = 0;
    loop {
        let length = bytes.len();
        let (limit, why) = match pipe.read_to_end(&mut bytes) {
            // Without a writer a pipe is at its end, even if one is still to come.
            Ok(_) if bytes.is_empty() => (LOOKS_WITHOUT_WRITER_MAX, Unread::Unwritten),
            Ok(_) => return within_size(bytes),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                (LOOKS_WITHOUT_BYTES_MAX, Unread::Silent)
            }
            Err(error) => return Err(error),
        };
        looks = if bytes.len() > length { 0 } else { looks + 1 };
        if looks >= limit {
            return Err(why.into());
        }
        #[allow(
            clippy::disallowed_methods,
            reason = "who reads a configuration waits for it; no worker does"
        )]
        std::thread::sleep(LOOK_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// A pipe that says these things when it is read; then it is at its end.
    struct Pipe(VecDeque<io::Result<&'static [u8]>>);

    impl Pipe {
        fn of(says: impl IntoIterator<Item = io::Result<&'static str>>) -> Self {
            Self(says.into_iter().map(|said| said.map(str::as_bytes)).collect())
        }
    }

    impl Read for Pipe {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.pop_front() {
                Some(Ok(said)) => {
                    buffer[..said.len()].copy_from_slice(said);
                    Ok(said.len())
                }
                Some(Err(error)) => Err(error),
                None => Ok(0),
            }
        }
    }

    fn nothing_yet<T>() -> io::Result<T> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    #[test]
    fn a_pipe_is_read_until_its_writer_closes_it() {
        // The writer comes late, pauses, and goes.
        let pipe = Pipe::of([Ok(""), nothing_yet(), Ok(". {\n"), nothing_yet(), Ok("}\n")]);
        assert_eq!(read_pipe(pipe).unwrap(), b". {\n}\n");
        let broken = Pipe::of([Ok("."), Err(io::ErrorKind::PermissionDenied.into())]);
        assert_eq!(read_pipe(broken).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn a_pipe_may_say_no_more_than_a_file() {
        assert_eq!(read_pipe(io::repeat(b'#')).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        let largest = read_pipe(io::repeat(b'#').take(FILE_SIZE_MAX)).unwrap();
        assert_eq!(largest.len() as u64, FILE_SIZE_MAX);
    }

    #[test]
    fn what_is_no_file_is_told() {
        let check = |path: &str, kind: io::ErrorKind, expected: &str| {
            let error = read_bounded(Path::new(path)).unwrap_err();
            assert_eq!((error.kind(), error.to_string().as_str()), (kind, expected), "{path}");
        };
        check("/dev/zero", io::ErrorKind::InvalidInput, "neither a file nor a pipe");
        assert_eq!(read_bounded(Path::new("/")).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        assert!(read_bounded(Path::new("/dev/null")).unwrap().is_empty());
        assert!(!is_read_once(Path::new("/dev/null")) && is_read_once(Path::new("/dev/zero")));
        assert!(!is_read_once(Path::new("/")) && !is_read_once(Path::new("/nonexistent")));
    }

    #[test]
    fn a_pipe_that_nobody_writes_to_is_given_up() {
        let error = read_pipe(io::empty()).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (io::ErrorKind::TimedOut, "a pipe that nobody writes to")
        );
    }
}
