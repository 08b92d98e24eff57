//! The way to standard output: never waits for its reader, keeps order, keeps lines whole, and is bounded.
//!
//! A hand-over writes straight to the descriptor, without blocking. What does not fit (a pipe or terminal that is not
//! read, a full disk) becomes the backlog, and a thread of its own writes it as soon as there is room; until it is
//! through, new lines queue behind it. That thread ends when it has been idle for a while.

#![allow(
    unsafe_code,
    reason = "send(2) with MSG_DONTWAIT and poll(2) have no safe equivalent in the standard library"
)]

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// So many bytes of lines are kept for a reader that is slow or gone; lines over it are dropped and counted.
pub const LOG_BACKLOG_BYTES_MAX: usize = 1024 * 1024;

/// How many lines the process has dropped since it started because standard output did not take them.
pub fn dropped_lines_total() -> u64 {
    standard_output().lock().dropped_total
}

/// The writer of the process.
pub(super) fn standard_output() -> &'static Arc<Writer> {
    &STANDARD_OUTPUT
}

/// One descriptor and the backlog before it.
pub(super) struct Writer {
    output: Output,
    state: Mutex<State>,
    /// The backlog got lines, or somebody waits for its end.
    wake_drainer: Condvar,
    /// The backlog got shorter.
    drained: Condvar,
}

/// How bytes reach the descriptor.
enum Output {
    /// A description of our own of a pipe or device, opened without blocking, so that the one shared with the user's
    /// shell stays as it is; or a regular file, which never makes its writer wait for a reader.
    Direct(File),
    /// A socket (journald gives one), which cannot be opened a second time: each send says for itself not to wait.
    Socket(File),
    /// A pipe or device that may not be opened again (another user's, as after dropping privileges; no /proc): may
    /// block, so only the drainer writes to it.
    Blocking(File),
    /// There is no standard output.
    Nowhere,
}

struct State {
    /// Bytes in order, ending with a whole line; may begin inside one whose beginning is written.
    backlog: VecDeque<u8>,
    /// Lines dropped since the last line that said so.
    dropped: u64,
    dropped_total: u64,
    /// Why lines are being dropped: the last write's error, or a slow reader.
    dropped_why: Option<io::Error>,
    /// Why the last write failed, until one succeeds. A reader that is merely slow is no failure.
    failure: Option<io::Error>,
    draining: bool,
    /// Somebody flushes, and nothing was tried since.
    flushing: bool,
}

impl Writer {
    fn new(output: Output) -> Self {
        Self {
            output,
            state: Mutex::new(State {
                backlog: VecDeque::new(),
                dropped: 0,
                dropped_total: 0,
                dropped_why: None,
                failure: None,
                draining: false,
                flushing: false,
            }),
            wake_drainer: Condvar::new(),
            drained: Condvar::new(),
        }
    }

    /// Writes whole lines, or keeps them behind what waits already, or drops and counts them. Never blocks on the
    /// descriptor.
    pub(super) fn submit(self: &Arc<Self>, lines: &[u8]) {
        let mut state = self.lock();
        let mut rest = lines;
        if state.backlog.is_empty() && state.dropped == 0 && !matches!(self.output, Output::Blocking(_)) {
            let (written, outcome) = self.write_all_it_takes(lines);
            state.note(written, outcome);
            rest = &lines[written..];
            if rest.is_empty() {
                return;
            }
        }
        state.keep(rest);
        if state.draining {
            self.wake_drainer.notify_one();
        } else {
            self.start_drainer(&mut state);
        }
    }

    /// Waits until the backlog is empty, up to `limit`, or until writing it has failed; says whether it is empty.
    pub(super) fn flush(&self, limit: Duration) -> bool {
        let mut state = self.lock();
        state.flushing = true;
        self.wake_drainer.notify_one();
        let waiting = |state: &mut State| {
            !state.backlog.is_empty() && state.draining && (state.flushing || state.failure.is_none())
        };
        let (mut state, _) =
            self.drained.wait_timeout_while(state, limit, waiting).unwrap_or_else(PoisonError::into_inner);
        state.flushing = false;
        state.backlog.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start_drainer(self: &Arc<Self>, state: &mut State) {
        let writer = Arc::clone(self);
        let started = std::thread::Builder::new().name("log".into()).spawn(move || writer.drain());
        state.draining = started.is_ok();
        if !state.draining {
            // No thread to be had: this hand-over tries once, and the next one again.
            self.write_backlog(state);
        }
    }

    /// The drainer's life.
    fn drain(&self) {
        let mut chunk = Vec::new();
        let mut state = self.lock();
        loop {
            if state.backlog.is_empty() {
                let idle = |state: &mut State| state.backlog.is_empty();
                (state, _) = self
                    .wake_drainer
                    .wait_timeout_while(state, DRAINER_IDLE, idle)
                    .unwrap_or_else(PoisonError::into_inner);
                if state.backlog.is_empty() {
                    state.draining = false;
                    return;
                }
            }
            if let Output::Blocking(_) = self.output {
                // Without the lock, so that only this thread waits. Nobody else takes from the backlog's front.
                let (front, _) = state.backlog.as_slices();
                chunk.clear();
                chunk.extend_from_slice(&front[..front.len().min(BLOCKING_WRITE_BYTES_MAX)]);
                drop(state);
                let outcome = self.write_some(&chunk);
                state = self.lock();
                let written = *outcome.as_ref().unwrap_or(&0);
                state.take_written(written);
                state.note(written, outcome.map(|_| ()));
            } else {
                self.write_backlog(&mut state);
            }
            state.say_what_was_dropped();
            state.flushing = false;
            self.drained.notify_all();
            if state.failure.is_some() {
                let not_flushing = |state: &mut State| !state.flushing;
                (state, _) = self
                    .wake_drainer
                    .wait_timeout_while(state, RETRY_AFTER_FAILURE, not_flushing)
                    .unwrap_or_else(PoisonError::into_inner);
            } else if !state.backlog.is_empty() {
                drop(state);
                self.wait_for_room();
                state = self.lock();
            }
        }
    }

    fn write_backlog(&self, state: &mut State) {
        loop {
            let (front, _) = state.backlog.as_slices();
            if front.is_empty() {
                return;
            }
            let whole = front.len();
            let (written, outcome) = self.write_all_it_takes(front);
            state.take_written(written);
            state.note(written, outcome);
            if written < whole {
                return;
            }
        }
    }

    /// Writes until everything is written, the descriptor has no room, or it fails. `Ok` with less than all written
    /// means no room.
    fn write_all_it_takes(&self, bytes: &[u8]) -> (usize, io::Result<()>) {
        let mut written = 0;
        while written < bytes.len() {
            match self.write_some(&bytes[written..]) {
                Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (written, Err(error)),
            }
        }
        (written, Ok(()))
    }

    fn write_some(&self, bytes: &[u8]) -> io::Result<usize> {
        match &self.output {
            Output::Direct(file) | Output::Blocking(file) => (&*file).write(bytes),
            Output::Socket(file) => send_without_waiting(file.as_fd(), bytes),
            Output::Nowhere => Ok(bytes.len()),
        }
    }

    /// Returns when the descriptor has room or failed, or after a while.
    fn wait_for_room(&self) {
        let (Output::Direct(file) | Output::Socket(file) | Output::Blocking(file)) = &self.output else {
            return;
        };
        let mut descriptor = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
        // SAFETY: `descriptor` is one valid pollfd for the length of the call, and `file` keeps its fd open.
        unsafe { libc::poll(&raw mut descriptor, 1, POLL_MS_MAX) };
    }
}

impl State {
    /// Remembers how a write ended.
    fn note(&mut self, written: usize, outcome: io::Result<()>) {
        match outcome {
            Err(error) if !matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {
                self.failure = Some(error);
            }
            _ if written > 0 => self.failure = None,
            _ => {}
        }
    }

    fn take_written(&mut self, written: usize) {
        self.backlog.drain(..written);
        if self.backlog.is_empty() {
            self.backlog.shrink_to(0);
        }
    }

    /// Takes lines into the backlog as far as there is room; the rest is dropped whole line by whole line. Once
    /// something was dropped nothing is taken until half of the backlog is gone, so that what is missing is missing
    /// in one piece, and is said in one line.
    fn keep(&mut self, lines: &[u8]) {
        self.say_what_was_dropped();
        if self.dropped > 0 {
            return self.drop_lines(lines);
        }
        let mut fitting = lines.len();
        let room = LOG_BACKLOG_BYTES_MAX.saturating_sub(self.backlog.len());
        // The rest of a line whose beginning is written must follow, so an empty backlog takes whatever comes.
        if fitting > room && !self.backlog.is_empty() {
            fitting = lines[..room].iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        }
        self.backlog.extend(&lines[..fitting]);
        self.drop_lines(&lines[fitting..]);
    }

    fn drop_lines(&mut self, lines: &[u8]) {
        if self.dropped == 0 {
            let why = self.failure.as_ref();
            self.dropped_why = why.map(|error| match error.raw_os_error() {
                Some(code) => io::Error::from_raw_os_error(code),
                None => error.kind().into(),
            });
        }
        let count = lines.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.dropped += count;
        self.dropped_total += count;
    }

    /// Once there is room again, puts the line that says how many lines are missing where they are missing.
    fn say_what_was_dropped(&mut self) {
        if self.dropped == 0 || self.backlog.len() > LOG_BACKLOG_BYTES_MAX / 2 {
            return;
        }
        let why = match self.dropped_why.take() {
            Some(error) => format!("standard output failed: {error}"),
            None => "standard output was not read fast enough".into(),
        };
        let line = format!("[WARNING] {} log lines dropped: {why}\n", self.dropped);
        self.backlog.extend(line.as_bytes());
        self.dropped = 0;
    }
}

impl Output {
    /// The best way to write to `descriptor`, which stays the caller's.
    fn to(descriptor: BorrowedFd<'_>) -> io::Result<Self> {
        let shared = File::from(descriptor.try_clone_to_owned()?);
        let kind = shared.metadata()?.file_type();
        if kind.is_socket() {
            return Ok(Self::Socket(shared));
        }
        if !kind.is_fifo() && !kind.is_char_device() {
            // Sharing the description keeps one offset with whatever else writes to the file (`>file 2>&1`).
            return Ok(Self::Direct(shared));
        }
        let own = OpenOptions::new()
            .append(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(format!("/proc/self/fd/{}", shared.as_raw_fd()));
        Ok(own.map_or(Self::Blocking(shared), Self::Direct))
    }
}

/// Like `write`, but never waits and never raises SIGPIPE, whatever the flags of the shared description are.
fn send_without_waiting(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the pointer and length are those of `bytes`, which outlives the call; the kernel only reads from it.
    let sent = unsafe { libc::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

static STANDARD_OUTPUT: LazyLock<Arc<Writer>> =
    LazyLock::new(|| Arc::new(Writer::new(Output::to(io::stdout().as_fd()).unwrap_or(Output::Nowhere))));

const DRAINER_IDLE: Duration = Duration::from_secs(5);
const RETRY_AFTER_FAILURE: Duration = Duration::from_millis(100);
const BLOCKING_WRITE_BYTES_MAX: usize = 64 * 1024;
const POLL_MS_MAX: i32 = 1000;

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// A writer to a pipe, and the pipe's other end.
    pub(in crate::log) fn pipe_writer() -> (io::PipeReader, Arc<Writer>) {
        let (reader, writer) = io::pipe().unwrap();
        let output = Output::to(writer.as_fd()).unwrap();
        assert!(matches!(output, Output::Direct(_)));
        (reader, Arc::new(Writer::new(output)))
    }
}

#[cfg(test)]
mod tests {
    use super::testing::pipe_writer;
    use super::*;
    use std::io::{BufRead, BufReader, Read, Seek};
    use std::os::unix::net::UnixStream;

    fn numbered(number: usize) -> String {
        format!("line {number} {}\n", "x".repeat(number % 200))
    }

    /// Submits more than pipe and backlog hold before anybody reads, then checks what comes out: every line whole and in
    /// order, and the missing ones counted where they are missing.
    fn a_slow_reader_loses_whole_lines_and_is_told(reader: impl Read, writer: &Arc<Writer>) {
        let lines = 30_000;
        for number in 0..lines {
            writer.submit(numbered(number).as_bytes());
        }
        let missing = writer.lock().dropped_total;
        assert!(missing > 0);
        assert!(writer.lock().backlog.len() <= LOG_BACKLOG_BYTES_MAX);
        let mut expected = 0;
        let mut reader = BufReader::new(reader).lines().map(Result::unwrap);
        for line in reader.by_ref() {
            if let Some(rest) = line.strip_prefix("[WARNING] ") {
                let (count, why) = rest.split_once(' ').unwrap();
                assert_eq!(count.parse::<u64>().unwrap(), missing);
                assert_eq!(why, "log lines dropped: standard output was not read fast enough");
                break;
            }
            assert_eq!(format!("{line}\n"), numbered(expected));
            expected += 1;
        }
        assert_eq!(expected as u64 + missing, lines as u64);
        writer.submit(b"after\n");
        assert_eq!(reader.next().as_deref(), Some("after"));
        assert!(writer.flush(Duration::from_secs(60)));
        assert_eq!(writer.lock().dropped_total, missing);
    }

    #[test]
    fn lines_come_out_in_order() {
        let (reader, writer) = pipe_writer();
        let mut reader = BufReader::new(reader).lines();
        for number in 0..100 {
            writer.submit(format!("{number}\n").as_bytes());
            assert_eq!(reader.next().unwrap().unwrap(), number.to_string());
        }
        assert!(!writer.lock().draining, "a reader that keeps up needs no thread");
    }

    #[test]
    fn lines_of_many_threads_stay_whole_and_in_their_thread_s_order() {
        let (reader, writer) = pipe_writer();
        let (threads, lines) = (4, 2000);
        let mut next = vec![0; threads];
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let writer = &writer;
                scope.spawn(move || {
                    for number in 0..lines {
                        writer.submit(format!("{thread} {}", numbered(number)).as_bytes());
                    }
                });
            }
            // Less than the backlog in all, so nothing is dropped however slow this reads.
            for line in BufReader::new(reader).lines().take(threads * lines).map(Result::unwrap) {
                let (thread, rest) = line.split_once(' ').unwrap();
                let number = &mut next[thread.parse::<usize>().unwrap()];
                assert_eq!(format!("{rest}\n"), numbered(*number));
                *number += 1;
            }
        });
        assert_eq!(next, vec![lines; threads]);
    }

    #[test]
    fn a_slow_pipe() {
        let (reader, writer) = pipe_writer();
        a_slow_reader_loses_whole_lines_and_is_told(reader, &writer);
    }

    #[test]
    fn a_slow_pipe_that_may_not_be_opened_again() {
        let (reader, own) = io::pipe().unwrap();
        let writer = Arc::new(Writer::new(Output::Blocking(File::from(std::os::fd::OwnedFd::from(own)))));
        a_slow_reader_loses_whole_lines_and_is_told(reader, &writer);
    }

    #[test]
    fn a_slow_socket() {
        let (reader, own) = UnixStream::pair().unwrap();
        let output = Output::to(own.as_fd()).unwrap();
        assert!(matches!(output, Output::Socket(_)));
        a_slow_reader_loses_whole_lines_and_is_told(reader, &Arc::new(Writer::new(output)));
    }

    #[test]
    fn a_closed_pipe_is_survived_and_counted() {
        let (reader, writer) = pipe_writer();
        drop(reader);
        let lines = "nobody reads this\n".repeat(1000);
        for _ in 0..100 {
            writer.submit(lines.as_bytes());
        }
        assert!(!writer.flush(Duration::from_secs(60)), "flushing a closed pipe ends without success");
        let mut state = writer.lock();
        assert!(state.dropped_total > 0);
        state.backlog.clear();
        state.say_what_was_dropped();
        let (line, _) = state.backlog.as_slices();
        assert!(
            String::from_utf8_lossy(line)
                .ends_with("dropped: standard output failed: Broken pipe (os error 32)\n")
        );
    }

    #[test]
    fn a_full_disk_is_survived_and_counted() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let writer = Arc::new(Writer::new(Output::to(full.as_fd()).unwrap()));
        for _ in 0..100 {
            writer.submit("no room for this\n".repeat(1000).as_bytes());
        }
        assert!(!writer.flush(Duration::from_secs(60)));
        let state = writer.lock();
        assert!(state.dropped_total > 0);
        assert_eq!(state.dropped_why.as_ref().unwrap().raw_os_error(), Some(libc::ENOSPC));
    }

    #[test]
    fn the_description_shared_with_the_shell_keeps_blocking() {
        let (_reader, writer) = io::pipe().unwrap();
        let output = Output::to(writer.as_fd()).unwrap();
        let Output::Direct(own) = &output else { panic!("a pipe can be opened again") };
        assert_eq!(open_flags(&writer) & libc::O_NONBLOCK, 0);
        assert_eq!(open_flags(own) & libc::O_NONBLOCK, libc::O_NONBLOCK);
    }

    #[test]
    fn a_regular_file_keeps_the_offset_it_shares() {
        let path = std::env::temp_dir().join(format!("waypost-log-{}", std::process::id()));
        let mut file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let writer = Arc::new(Writer::new(Output::to(file.as_fd()).unwrap()));
        writer.submit(b"one\n");
        file.write_all(b"two\n").unwrap();
        writer.submit(b"three\n");
        file.rewind().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "one\ntwo\nthree\n");
    }

    /// The flags of an open description, from /proc.
    fn open_flags(descriptor: &impl AsRawFd) -> i32 {
        let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", descriptor.as_raw_fd())).unwrap();
        let flags = text.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
        i32::from_str_radix(flags.trim(), 8).unwrap()
    }
}
