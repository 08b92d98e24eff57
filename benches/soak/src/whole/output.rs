//! Who reads what the server writes: a reader of its standard output that can be slow, away or gone, and a small disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// What the reader does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Manner {
    /// It reads all there is.
    Reading,
    /// It reads a little now and then, about 40 KiB a second.
    Slow,
    /// It holds the pipe and does not read.
    Away,
    /// It has closed the pipe.
    Gone,
}

const MANNERS: [Manner; 4] = [Manner::Reading, Manner::Slow, Manner::Away, Manner::Gone];
/// Pause when there was nothing to read.
const PAUSE: Duration = Duration::from_millis(2);
const SLOW_PAUSE: Duration = Duration::from_millis(100);
const SLOW_BYTES: usize = 4096;

/// A named pipe and its reader.
pub struct Pipe {
    /// Its path.
    pub path: PathBuf,
    manner: AtomicU8,
    lines: AtomicU64,
    is_over: AtomicBool,
}

impl Pipe {
    /// Makes one.
    ///
    /// # Errors
    /// A sentence.
    pub fn make(path: PathBuf) -> Result<Self, String> {
        match Command::new("mkfifo").arg(&path).status() {
            Ok(status) if status.success() => {}
            other => return Err(format!("mkfifo {}: {other:?}", path.display())),
        }
        Ok(Self { path, manner: 0.into(), lines: 0.into(), is_over: false.into() })
    }

    /// From now on its reader does so.
    pub fn behave(&self, manner: Manner) {
        self.manner.store(manner as u8, Ordering::Relaxed);
    }

    /// Lines read so far.
    pub fn lines(&self) -> u64 {
        self.lines.load(Ordering::Relaxed)
    }

    /// Ends the reading.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Reads until the end.
    ///
    /// # Errors
    /// A sentence, when the pipe cannot be opened or read.
    pub fn read(&self) -> Result<(), String> {
        let failed = |error: io::Error| format!("{}: {error}", self.path.display());
        let mut buffer = vec![0; 1 << 16];
        let mut pipe: Option<File> = None;
        while !self.is_over.load(Ordering::Relaxed) {
            let manner = MANNERS[usize::from(self.manner.load(Ordering::Relaxed)) % MANNERS.len()];
            let (bytes, pause) = match manner {
                Manner::Reading => (buffer.len(), PAUSE),
                Manner::Slow => (SLOW_BYTES, SLOW_PAUSE),
                Manner::Away | Manner::Gone => (0, PAUSE),
            };
            if manner == Manner::Gone {
                pipe = None;
                thread::sleep(pause);
                continue;
            }
            // Without waiting for a writer: there may be none.
            let open = || OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&self.path);
            let reader = match &mut pipe {
                Some(reader) => reader,
                none => none.insert(open().map_err(failed)?),
            };
            let read = match reader.read(&mut buffer[..bytes]) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(error) => return Err(failed(error)),
            };
            let lines = buffer[..read].iter().filter(|byte| **byte == b'\n').count();
            self.lines.fetch_add(lines as u64, Ordering::Relaxed);
            if read < buffer.len() {
                thread::sleep(pause);
            }
        }
        Ok(())
    }
}

/// A file on a file system of its own, which is small.
pub struct SmallDisk {
    /// The file that is written to.
    pub log: PathBuf,
    filler: PathBuf,
    is_held: AtomicBool,
}

/// How large it is.
pub const SMALL_DISK_KIB: u32 = 512;
/// The file is emptied when it holds more than so many blocks of 512 bytes.
const BLOCKS_MAX: u64 = 400;

impl SmallDisk {
    /// The one mounted at `dir`.
    pub fn at(dir: &Path) -> Self {
        Self { log: dir.join("log"), filler: dir.join("filler"), is_held: false.into() }
    }

    /// Fills what is free; none of it is free until [`SmallDisk::empty`].
    ///
    /// # Errors
    /// A sentence, when it did not become full.
    pub fn fill(&self) -> Result<(), String> {
        self.is_held.store(true, Ordering::Relaxed);
        let mut filler = File::create(&self.filler).map_err(|error| format!("the filler: {error}"))?;
        // Twice its size, as the log may be emptied meanwhile.
        for _ in 0..2 * SMALL_DISK_KIB {
            if let Err(error) = filler.write_all(&[0; 1024]) {
                return match error.kind() {
                    io::ErrorKind::StorageFull => Ok(()),
                    _ => Err(format!("the filler: {error}")),
                };
            }
        }
        Err("the small disk did not become full".into())
    }

    /// Makes room again.
    ///
    /// # Errors
    /// A sentence.
    pub fn empty(&self) -> Result<(), String> {
        fs::remove_file(&self.filler).map_err(|error| format!("the filler: {error}"))?;
        self.cut()?;
        self.is_held.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Empties the file when it has grown, unless the disk is to be full.
    ///
    /// # Errors
    /// A sentence.
    pub fn keep_room(&self) -> Result<(), String> {
        if !self.is_held.load(Ordering::Relaxed) && self.blocks() > BLOCKS_MAX { self.cut() } else { Ok(()) }
    }

    /// Blocks of 512 bytes that the file holds.
    pub fn blocks(&self) -> u64 {
        fs::metadata(&self.log).map_or(0, |metadata| metadata.blocks())
    }

    fn cut(&self) -> Result<(), String> {
        let file =
            OpenOptions::new().write(true).open(&self.log).map_err(|error| format!("the log: {error}"))?;
        file.set_len(0).map_err(|error| format!("the log: {error}"))
    }
}
