//! Lines from code that is not on a query's way: the macros of `tracing`, printed as CoreDNS's logger prints.

use super::buffer::{hand_over, with_line};
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span;
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

/// Makes `tracing`'s macros print to the process's log. Call once at start; later calls change nothing.
///
/// `info!(target: "plugin/hosts", "…")` prints `[INFO] plugin/hosts: …`, `warn!` `[WARNING] `, `error!` `[ERROR] `,
/// `debug!` `[DEBUG] ` and only after [`set_debug`]. A target that does not begin with `plugin/`, so also the one that
/// is filled in where none is given, prints no name: `[INFO] Reloading`. Fields other than the message follow it as
/// ` name=value`. The line is written at once, after what the thread has buffered. Events of dependencies appear with
/// [`set_debug`] only, with their target as name; `trace!` never does.
///
/// Each event formats and makes a system call: for lines that queries cause, use [`with_line`].
pub fn start() {
    // An error means that a subscriber is set: this one by an earlier call, or a test's own.
    let _ = tracing::subscriber::set_global_default(Printer { keeps: false });
}

/// As [`start`], for the calling thread and as long as the guard lives, and lines stay in the thread's buffer for
/// [`take`](super::take): for tests that read what is logged.
pub fn start_kept() -> tracing::subscriber::DefaultGuard {
    tracing::subscriber::set_default(Printer { keeps: true })
}

/// Switches `[DEBUG]` lines on or off for the whole process (directive `debug`).
pub fn set_debug(on: bool) {
    if DEBUG.swap(on, Ordering::Relaxed) != on {
        tracing::callsite::rebuild_interest_cache();
    }
}

static DEBUG: AtomicBool = AtomicBool::new(false);

struct Printer {
    /// Lines are not handed over.
    keeps: bool,
}

impl Subscriber for Printer {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        // Cached at the call site, so that a debug! that is off costs one load; set_debug() has all of them asked again.
        if is_printed(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_printed(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(if DEBUG.load(Ordering::Relaxed) { LevelFilter::DEBUG } else { LevelFilter::INFO })
    }

    fn event(&self, event: &Event<'_>) {
        with_line(|line| push_event(line, event));
        if !self.keeps {
            hand_over();
        }
    }

    // Spans are not used: what a line needs to say, it says.
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

fn is_printed(metadata: &Metadata<'_>) -> bool {
    if !metadata.is_event() {
        return false;
    }
    let level_max = match (is_ours(metadata), DEBUG.load(Ordering::Relaxed)) {
        (_, true) => Level::DEBUG,
        (true, false) => Level::INFO,
        (false, false) => return false,
    };
    *metadata.level() <= level_max
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    let krate = metadata.module_path().map(|path| path.split("::").next().unwrap_or(path));
    krate == Some(env!("CARGO_CRATE_NAME"))
}

fn push_event(line: &mut Vec<u8>, event: &Event<'_>) {
    let metadata = event.metadata();
    let prefix: &[u8] = match *metadata.level() {
        Level::ERROR => b"[ERROR] ",
        Level::WARN => b"[WARNING] ",
        Level::INFO => b"[INFO] ",
        _ => b"[DEBUG] ",
    };
    line.extend_from_slice(prefix);
    if metadata.target().starts_with("plugin/") || !is_ours(metadata) {
        line.extend_from_slice(metadata.target().as_bytes());
        line.extend_from_slice(b": ");
    }
    let mut fields = Fields { line, others: String::new() };
    event.record(&mut fields);
    let Fields { line, others } = fields;
    line.extend_from_slice(others.as_bytes());
}

/// The message goes into the line, all other fields behind it.
struct Fields<'a> {
    line: &'a mut Vec<u8>,
    others: String,
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing into memory does not fail; a Debug that does leaves its part of the line short.
        let _ = match field.name() {
            "message" => std::io::Write::write_fmt(self.line, format_args!("{value:?}")),
            name => write!(self.others, " {name}={value:?}").map_err(std::io::Error::other),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use tracing::{debug, error, info, info_span, trace, warn};

    const PRINTER: Printer = Printer { keeps: true };

    /// Prints into memory.
    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Subscriber for Memory {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            PRINTER.enabled(metadata)
        }
        fn event(&self, event: &Event<'_>) {
            let mut text = self.0.lock().unwrap();
            push_event(&mut text, event);
            text.push(b'\n');
        }
        fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
            PRINTER.new_span(attributes)
        }
        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
        fn enter(&self, _: &span::Id) {}
        fn exit(&self, _: &span::Id) {}
    }

    fn printed(events: impl FnOnce()) -> String {
        let memory = Memory::default();
        tracing::subscriber::with_default(memory.clone(), events);
        String::from_utf8(memory.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn events_are_lines_of_coredns() {
        // One test, since set_debug() is the whole process's.
        let all = || {
            info!(target: "plugin/hosts", "read {} names", 3);
            warn!(target: "plugin/forward", error = "refused", port = 53, "upstream is away");
            error!("Restart failed: {}", "why");
            debug!(target: "plugin/cache", "seen");
            trace!("never");
            info_span!("a span is no line").in_scope(|| info!("Reloading"));
        };
        let without_debug = "[INFO] plugin/hosts: read 3 names\n\
             [WARNING] plugin/forward: upstream is away error=refused port=53\n\
             [ERROR] Restart failed: why\n\
             [INFO] Reloading\n";
        assert_eq!(printed(all), without_debug);
        set_debug(true);
        let with_debug =
            without_debug.replace("[INFO] Reloading", "[DEBUG] plugin/cache: seen\n[INFO] Reloading");
        assert_eq!(printed(all), with_debug);
        set_debug(false);
        assert_eq!(printed(all), without_debug);
    }
}
