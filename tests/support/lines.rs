//! What a process prints, as it prints it.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The lines of one stream, gathered by a thread.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<String>,
    /// The line after the one that was waited for last.
    next: usize,
    ended: bool,
}

impl Lines {
    /// Reads `stream` to its end.
    pub(crate) fn gather(stream: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        let shared = Arc::clone(&lines.0);
        std::thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut bytes = Vec::new();
            while matches!(reader.read_until(b'\n', &mut bytes), Ok(n) if n > 0) {
                let line = String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned();
                bytes.clear();
                lock(&shared).lines.push(line);
                shared.changed.notify_all();
            }
            lock(&shared).ended = true;
            shared.changed.notify_all();
        });
        lines
    }

    /// Nothing, to its end.
    pub(crate) fn none() -> Self {
        Self::gather(std::io::empty())
    }

    /// True if no more lines will come.
    pub(crate) fn has_ended(&self) -> bool {
        lock(&self.0).ended
    }

    /// The next line that contains `part`, behind the one that was waited for last; waits for it up to `limit`.
    pub(crate) fn wait_for_within(&self, part: &str, limit: Duration) -> Option<String> {
        let deadline = Instant::now() + limit;
        let mut state = lock(&self.0);
        let mut at = state.next;
        loop {
            while let Some(line) = state.lines.get(at) {
                at += 1;
                if line.contains(part) {
                    let line = line.clone();
                    state.next = at;
                    return Some(line);
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if state.ended || left.is_zero() {
                return None;
            }
            state = self.0.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for a line that contains `part`, wherever it stands, up to `limit`; says whether it came.
    pub(crate) fn has_within(&self, part: &str, limit: Duration) -> bool {
        let state = lock(&self.0);
        let is_missing =
            |state: &mut State| !state.ended && !state.lines.iter().any(|line| line.contains(part));
        let (state, _) = self
            .0
            .changed
            .wait_timeout_while(state, limit, is_missing)
            .unwrap_or_else(PoisonError::into_inner);
        state.lines.iter().any(|line| line.contains(part))
    }

    /// Waits up to `limit` for the end of the stream; says whether it came.
    pub(crate) fn wait_for_end(&self, limit: Duration) -> bool {
        let state = lock(&self.0);
        let (state, _) = self
            .0
            .changed
            .wait_timeout_while(state, limit, |state| !state.ended)
            .unwrap_or_else(PoisonError::into_inner);
        state.ended
    }

    /// All lines so far.
    pub(crate) fn all(&self) -> Vec<String> {
        lock(&self.0).lines.clone()
    }

    /// All lines so far, as one text.
    pub(crate) fn text(&self) -> String {
        self.all().join("\n")
    }
}

fn lock(shared: &Shared) -> MutexGuard<'_, State> {
    shared.state.lock().unwrap_or_else(PoisonError::into_inner)
}
