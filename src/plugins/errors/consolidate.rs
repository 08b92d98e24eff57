//! One `consolidate` line: errors that are counted, and said once at the end of a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use regex::Regex;
use tokio::sync::Notify;

use crate::config::GoDuration;

/// How loud the summary is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Warning,
    Error,
    Info,
    Debug,
}

impl Level {
    /// Logs `text`.
    pub(super) fn say(self, text: &str) {
        match self {
            Self::Warning => tracing::warn!(target: "plugin/errors", "{text}"),
            Self::Error => tracing::error!(target: "plugin/errors", "{text}"),
            Self::Info => tracing::info!(target: "plugin/errors", "{text}"),
            Self::Debug => tracing::debug!(target: "plugin/errors", "{text}"),
        }
    }
}

/// A pattern and how many errors it has seen since its last summary.
#[derive(Debug)]
pub(super) struct Consolidation {
    period: GoDuration,
    regex: Regex,
    /// The pattern as configured, which the summary quotes.
    source: Box<str>,
    level: Level,
    show_first: bool,
    count: AtomicU32,
    /// An error was counted when none was.
    first: Notify,
    stopped: AtomicBool,
}

impl Consolidation {
    pub(super) fn new(
        period: GoDuration,
        regex: Regex,
        source: &str,
        level: Level,
        show_first: bool,
    ) -> Self {
        Self {
            period,
            regex,
            source: source.into(),
            level,
            show_first,
            count: AtomicU32::new(0),
            first: Notify::new(),
            stopped: AtomicBool::new(false),
        }
    }

    /// Whether the error is of this kind. The pattern may match anywhere in it.
    pub(super) fn matches(&self, failure: &str) -> bool {
        self.regex.is_match(failure)
    }

    pub(super) const fn level(&self) -> Level {
        self.level
    }

    /// Counts an error that matched. True if a summary will say so; else it is to be logged by itself, at [`Self::level`].
    pub(super) fn count(&self) -> bool {
        if self.stopped.load(Ordering::Acquire) {
            return false;
        }
        let is_first = self.count.fetch_add(1, Ordering::AcqRel) == 0;
        if is_first {
            self.first.notify_one();
            if self.stopped.load(Ordering::Acquire) {
                // Nobody waits any more for the end of the period.
                self.report();
            }
        }
        !(is_first && self.show_first)
    }

    /// Waits for a first error, lets the period pass, says how many there were, and so on without end.
    pub(super) async fn summarise(self: Arc<Self>) {
        loop {
            self.first.notified().await;
            tokio::time::sleep(self.period.positive().unwrap_or_default()).await;
            self.report();
        }
    }

    /// Ends counting: what was counted is said, what comes now is logged by itself.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.report();
    }

    fn report(&self) {
        if let Some(text) = self.summary() {
            self.level.say(&text);
        }
    }

    /// What there is to say of the errors counted so far, which are forgotten with it.
    pub(super) fn summary(&self) -> Option<String> {
        let count = self.count.swap(0, Ordering::AcqRel);
        let said_already = u32::from(self.show_first);
        (count > said_already)
            .then(|| format!("{count} errors like '{}' occurred in last {}", self.source, self.period))
    }
}
