//! The lines that a thread has written and not yet handed over.

use super::writer::{Writer, standard_output};
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

/// A thread's buffer at or over this many bytes wants to be handed over.
pub const HAND_OVER_BYTES: usize = 16 * 1024;

/// A thread's buffer wants to be handed over once its first line may be this old, in nanoseconds. At full speed this
/// puts hundreds of lines into one system call; to somebody who reads along it is at once.
pub const HAND_OVER_AGE_NS_MAX: u64 = 2_000_000;

/// Appends one line to the thread's buffer. `fill` writes the text without its newline, which is added here; it must
/// not write newlines of its own. Takes no lock, makes no system call and, once the buffer has grown to its size,
/// allocates nothing, so it may be called for every query. The line comes out with the next [`hand_over`].
pub fn with_line(fill: impl FnOnce(&mut Vec<u8>)) {
    let mut fill = Some(fill);
    let _ = BUFFER.try_with(|buffer| {
        let Ok(mut buffer) = buffer.try_borrow_mut() else { return };
        if let Some(fill) = fill.take() {
            buffer.append(fill);
        }
    });
    // Still here only when `fill` of an outer line logs, or while the thread ends and its buffer is gone.
    if let Some(fill) = fill {
        let mut line = Vec::new();
        fill(&mut line);
        line.push(b'\n');
        standard_output().submit(&line);
    }
}

/// Gives the thread's lines to the process's writer: at most one system call, which does not wait for a reader; next to
/// nothing where no line is buffered.
pub fn hand_over() {
    // While an outer line is being written there is nothing whole to hand over; the owner of that line will.
    let _ = BUFFER.try_with(|buffer| buffer.try_borrow_mut().map(|mut buffer| buffer.hand_over()));
}

/// Whether the thread should call [`hand_over`] now: its buffer reached [`HAND_OVER_BYTES`] or is older than
/// [`HAND_OVER_AGE_NS_MAX`]. `now_ns` is any clock that only goes forward, in nanoseconds, the same at each call of the
/// thread. A buffer's age counts from the first call that saw lines in it, so ask once after each batch.
pub fn wants_hand_over(now_ns: u64) -> bool {
    BUFFER
        .try_with(|buffer| buffer.try_borrow_mut().is_ok_and(|mut buffer| buffer.wants_hand_over(now_ns)))
        .unwrap_or(false)
}

/// When the thread's buffer becomes too old, on the clock given to [`wants_hand_over`]; `None` while nothing is
/// buffered. A worker that goes to sleep sets its timer by it.
pub fn hand_over_due_ns() -> Option<u64> {
    BUFFER.try_with(|buffer| buffer.try_borrow().ok().and_then(|buffer| buffer.due_ns())).ok().flatten()
}

/// Throws the thread's lines away, for benches that measure how lines are made.
pub fn discard() {
    let _ = BUFFER.try_with(|buffer| buffer.try_borrow_mut().map(|mut buffer| buffer.lines.clear()));
}

/// Takes the thread's lines away, for tests that read what is logged.
pub fn take() -> Vec<u8> {
    BUFFER
        .try_with(|buffer| buffer.try_borrow_mut().map(|mut buffer| std::mem::take(&mut buffer.lines)))
        .ok()
        .and_then(Result::ok)
        .unwrap_or_default()
}

/// Writes `text` and a newline without any prefix (the lines of the start-up banner), at once and after what the thread
/// has written before.
pub fn plain(text: &str) {
    with_line(|line| line.extend_from_slice(text.as_bytes()));
    hand_over();
}

/// Hands over the thread's lines and waits, up to `limit`, until everything that was handed over is written; for the
/// end of the process. Says whether nothing is left.
pub fn flush(limit: Duration) -> bool {
    hand_over();
    standard_output().flush(limit)
}

/// Writes `[FATAL] ` and `text` as a line, waits up to a second until it is written, and ends the process with code 1. For what makes
/// serving on a harm, and for nothing else: queries that wait get no answer, and nothing is closed or removed.
#[allow(
    clippy::exit,
    clippy::disallowed_methods,
    reason = "ending the process is what it is for, after the last lines"
)]
pub fn fatal(text: &str) -> ! {
    plain(&format!("[FATAL] {text}"));
    flush(FATAL_FLUSH_LIMIT);
    std::process::exit(1)
}

/// How long the reader of a last line is waited for.
const FATAL_FLUSH_LIMIT: Duration = Duration::from_secs(1);

thread_local! {
    static BUFFER: RefCell<LineBuffer> = const { RefCell::new(LineBuffer::new(None)) };
}

/// Whole lines of one thread, each with its newline.
struct LineBuffer {
    lines: Vec<u8>,
    /// When lines were first seen here, once somebody asked.
    since_ns: Option<u64>,
    /// Where lines go; `None` is the process's standard output.
    writer: Option<Arc<Writer>>,
}

impl LineBuffer {
    const fn new(writer: Option<Arc<Writer>>) -> Self {
        Self { lines: Vec::new(), since_ns: None, writer }
    }

    fn append(&mut self, fill: impl FnOnce(&mut Vec<u8>)) {
        let mut unfinished = Unfinished { whole: self.lines.len(), lines: &mut self.lines };
        fill(unfinished.lines);
        unfinished.lines.push(b'\n');
        unfinished.whole = unfinished.lines.len();
        drop(unfinished);
        // A thread that never asks wants_hand_over() must not collect lines without end.
        if self.lines.len() >= BUFFER_BYTES_MAX {
            self.hand_over();
        }
    }

    fn hand_over(&mut self) {
        if self.lines.is_empty() {
            return;
        }
        self.writer.as_ref().unwrap_or_else(|| standard_output()).submit(&self.lines);
        self.lines.clear();
        self.lines.shrink_to(BUFFER_BYTES_MAX);
        self.since_ns = None;
    }

    fn wants_hand_over(&mut self, now_ns: u64) -> bool {
        if self.lines.is_empty() {
            return false;
        }
        let since_ns = *self.since_ns.get_or_insert(now_ns);
        self.lines.len() >= HAND_OVER_BYTES || now_ns.saturating_sub(since_ns) >= HAND_OVER_AGE_NS_MAX
    }

    fn due_ns(&self) -> Option<u64> {
        if self.lines.is_empty() {
            return None;
        }
        // Lines that nobody has asked about yet have no known age: they are due at once.
        Some(self.since_ns.map_or(0, |since_ns| since_ns.saturating_add(HAND_OVER_AGE_NS_MAX)))
    }
}

impl Drop for LineBuffer {
    fn drop(&mut self) {
        self.hand_over();
    }
}

/// Takes the beginning of a line back if whoever writes it panics.
struct Unfinished<'a> {
    lines: &'a mut Vec<u8>,
    whole: usize,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        self.lines.truncate(self.whole);
    }
}

/// A thread's buffer at or over this many bytes is handed over without being asked, and gives memory above it back.
const BUFFER_BYTES_MAX: usize = 4 * HAND_OVER_BYTES;

#[cfg(test)]
mod tests {
    use super::super::writer::testing::pipe_writer;
    use super::*;
    use std::io::{BufRead, BufReader, Read};

    fn push(buffer: &mut LineBuffer, text: &str) {
        buffer.append(|line| line.extend_from_slice(text.as_bytes()));
    }

    #[test]
    fn lines_wait_for_the_hand_over() {
        let (reader, writer) = pipe_writer();
        let mut buffer = LineBuffer::new(Some(writer));
        push(&mut buffer, "one");
        push(&mut buffer, "two");
        assert_eq!(buffer.lines, b"one\ntwo\n");
        buffer.hand_over();
        assert!(buffer.lines.is_empty());
        let mut lines = BufReader::new(reader).lines().map(Result::unwrap);
        assert_eq!((lines.next(), lines.next()), (Some("one".into()), Some("two".into())));
    }

    #[test]
    fn a_buffer_wants_to_go_when_it_is_old_or_full() {
        let (_reader, writer) = pipe_writer();
        let mut buffer = LineBuffer::new(Some(writer));
        assert!(!buffer.wants_hand_over(0));
        assert_eq!(buffer.due_ns(), None);
        push(&mut buffer, "one");
        assert_eq!(buffer.due_ns(), Some(0), "lines of unknown age are due");
        assert!(!buffer.wants_hand_over(5_000_000));
        assert_eq!(buffer.due_ns(), Some(7_000_000));
        assert!(!buffer.wants_hand_over(6_999_999));
        assert!(buffer.wants_hand_over(7_000_000));
        buffer.hand_over();
        assert!(!buffer.wants_hand_over(8_000_000));
        push(&mut buffer, &"x".repeat(HAND_OVER_BYTES));
        assert!(buffer.wants_hand_over(8_000_000));
    }

    #[test]
    fn a_thread_that_never_hands_over_is_bounded_and_loses_nothing() {
        let (mut reader, writer) = pipe_writer();
        let mut buffer = LineBuffer::new(Some(writer));
        for _ in 0..BUFFER_BYTES_MAX {
            push(&mut buffer, "x");
            assert!(buffer.lines.len() < BUFFER_BYTES_MAX);
        }
        let filler = std::thread::spawn(move || drop(buffer));
        let mut text = vec![0; 2 * BUFFER_BYTES_MAX];
        reader.read_exact(&mut text).unwrap();
        assert_eq!(text, b"x\n".repeat(BUFFER_BYTES_MAX));
        filler.join().unwrap();
    }

    #[test]
    fn a_panic_in_the_middle_of_a_line_takes_the_line_back() {
        let (_reader, writer) = pipe_writer();
        let mut buffer = LineBuffer::new(Some(writer));
        push(&mut buffer, "whole");
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            buffer.append(|line| {
                line.extend_from_slice(b"half");
                panic!("on purpose");
            });
        }));
        assert!(panicked.is_err());
        push(&mut buffer, "next");
        assert_eq!(buffer.lines, b"whole\nnext\n");
    }
}
