//! Tests of the lines, the counting and the configuration.

use std::sync::Mutex;
use std::time::Duration;

use super::*;
use crate::chain::{BlockSetup, testing};
use crate::wire::Rtype;
use tracing::field::{Field, Visit};
use tracing::span;

/// Keeps the events of a thread as `LEVEL target: message`.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>, Arc<tokio::sync::Notify>);

impl Heard {
    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl tracing::Subscriber for Heard {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "plugin/errors"
    }
    fn event(&self, event: &tracing::Event<'_>) {
        struct Message(String);
        impl Visit for Message {
            fn record_debug(&mut self, _: &Field, value: &dyn std::fmt::Debug) {
                self.0 = format!("{value:?}");
            }
        }
        let mut message = Message(String::new());
        event.record(&mut message);
        self.0.lock().unwrap().push(format!("{} {}", event.metadata().level(), message.0));
        self.1.notify_one();
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

fn errors(text: &str) -> (Errors, BlockSetup) {
    let (directives, _) = testing::directives(text);
    let config = config::configure(&directives[0]).expect("a directive without errors");
    let patterns = config.patterns.into_iter().map(Arc::new).collect();
    let block = testing::build(&SPEC, text).expect("the same directive").1;
    (Errors { patterns }, block)
}

/// What is heard while so many queries fail with that text.
fn heard(errors: &Errors, failures: &[&str]) -> Vec<String> {
    let heard = Heard::default();
    tracing::subscriber::with_default(heard.clone(), || {
        for failure in failures {
            errors.log(&testing::query("Example.org", Rtype::A), Rcode::SERVFAIL, failure);
        }
    });
    heard.all()
}

#[test]
fn a_line_names_code_name_type_and_reason() {
    let check = |name: &str, qtype: u16, rcode, failure: &str, want: &str| {
        let mut line = Vec::new();
        push(&mut line, &testing::query(name, Rtype(qtype)), rcode, failure);
        assert_eq!(String::from_utf8(line).unwrap(), want);
    };
    check(
        "Example.org",
        1,
        Rcode::SERVFAIL,
        "plugin/log: no next plugin found",
        "2 example.org. A: plugin/log: no next plugin found",
    );
    check(
        ".",
        65280,
        Rcode::REFUSED,
        "concurrent queries exceeded maximum 1",
        "5 . TYPE65280: concurrent queries exceeded maximum 1",
    );
    check("a", 28, Rcode::SERVFAIL, "two\nlines\u{1b}[0m", "2 a. AAAA: two lines [0m");
}

#[test]
fn the_chain_goes_on_and_the_response_stays_as_it_is() {
    let (built, _) = testing::build(&SPEC, "errors").unwrap();
    let failing = testing::failing(Rcode::REFUSED, "on purpose");
    let block = testing::block(vec![("errors", Arc::clone(&built[0])), ("failing", failing)]);
    let response = testing::ask(&block, &mut testing::query("x", Rtype::A));
    assert_eq!(response.rcode(), Some(Rcode::REFUSED));
    assert_eq!(response.failure().unwrap().0, "on purpose");
    let block = testing::block(vec![("errors", Arc::clone(&built[0])), ("a", testing::address(5))]);
    assert!(testing::ask(&block, &mut testing::query("x", Rtype::A)).is_written());
}

#[test]
fn errors_that_match_are_counted_and_summed_up() {
    let (errors, _) =
        errors("errors {\n consolidate 1m \"^read .* timeout$\" warning\n consolidate 5s refused\n}");
    assert!(
        heard(&errors, &["read udp: i/o timeout", "read tcp: i/o timeout", "connection refused."]).is_empty()
    );
    assert_eq!(
        errors.patterns[0].summary().as_deref(),
        Some("2 errors like '^read .* timeout$' occurred in last 1m0s")
    );
    assert_eq!(errors.patterns[1].summary().as_deref(), Some("1 errors like 'refused' occurred in last 5s"));
    assert_eq!(errors.patterns[0].summary(), None);
}

#[test]
fn the_first_may_be_shown_at_once() {
    let (errors, _) = errors("errors {\n consolidate 2s ^error.*!$ warning show_first\n}");
    assert_eq!(heard(&errors, &["error 1!"]), ["WARN 2 example.org. A: error 1!"]);
    assert_eq!(errors.patterns[0].summary(), None, "it was said");
    assert_eq!(heard(&errors, &["error 1!", "error 2!", "error 3!"]), ["WARN 2 example.org. A: error 1!"]);
    let want = "3 errors like '^error.*!$' occurred in last 2s";
    assert_eq!(errors.patterns[0].summary().as_deref(), Some(want));
}

#[test]
fn when_an_instance_ends_what_was_counted_is_said() {
    let (errors, mut block) = errors("errors {\n consolidate 1h x info\n}");
    assert_eq!((block.on_stop.len(), block.background.len()), (1, 1));
    assert!(heard(&errors, &["x", "x"]).is_empty());
    let told = Heard::default();
    tracing::subscriber::with_default(told.clone(), || errors.patterns[0].stop());
    assert_eq!(told.all(), ["INFO 2 errors like 'x' occurred in last 1h0m0s"]);
    assert_eq!(heard(&errors, &["x"]), ["INFO 2 example.org. A: x"], "nobody would sum it up");
    block.on_stop.drain(..).for_each(|stop| stop());
}

#[test]
fn a_summary_comes_when_the_period_is_over() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (errors, _) = errors("errors {\n consolidate 1ms x debug\n}");
    let told = Heard::default();
    let _guard = tracing::subscriber::set_default(told.clone());
    runtime.block_on(async {
        let task = tokio::spawn(Arc::clone(&errors.patterns[0]).summarise());
        for round in 1..=2 {
            assert!(errors.patterns[0].count());
            tokio::time::timeout(Duration::from_secs(60), told.1.notified()).await.expect("a summary");
            assert_eq!(told.all().len(), round);
        }
        task.abort();
    });
    assert_eq!(told.all()[0], "DEBUG 1 errors like 'x' occurred in last 1ms");
}

#[test]
fn options_are_read() {
    let check = |text: &str, patterns: usize, stacktrace: bool| {
        let (errors, block) = errors(text);
        assert_eq!((errors.patterns.len(), block.stacktrace), (patterns, stacktrace), "{text}");
    };
    check("errors", 0, false);
    check("errors stdout", 0, false);
    check("errors {\n}", 0, false);
    check("errors {\n stacktrace\n}", 0, true);
    check("errors {\n stacktrace\n consolidate 1m ^exact$\n consolidate 0 \"format error\"\n}", 2, true);
    let levels = errors("errors {\n consolidate 1m a\n consolidate 1m b info show_first\n}").0;
    assert_eq!(levels.patterns[0].level(), Level::Error);
    assert_eq!(levels.patterns[1].level(), Level::Info);
}

#[test]
fn mistakes_are_named_as_coredns_names_them() {
    let check = |text: &str, message: &str| {
        assert_eq!(testing::build(&SPEC, text).err(), Some(format!("plugin/errors: {message}")), "{text}");
    };
    let count = "Wrong argument count or unexpected line ending after";
    check("errors stderr", "Corefile:1 - Error during parsing: invalid log file: stderr");
    check("errors a b", &format!("Corefile:1 - Error during parsing: {count} 'b'"));
    check("errors\nerrors", "this plugin can only be used once per Server Block");
    check(
        "errors {\n foo\n}",
        "Corefile:2 - Syntax error: Unexpected token 'foo', expecting 'Unknown field foo'",
    );
    check(
        "errors {\n stacktrace on\n}",
        "Corefile:2 - Syntax error: Unexpected token 'on', expecting 'Unknown field on'",
    );
    let check = |line: &str, message: &str| {
        check(&format!("errors {{\n {line}\n}}"), &format!("Corefile:2 - Error during parsing: {message}"));
    };
    check("consolidate", &format!("{count} 'consolidate'"));
    check("consolidate 1m", &format!("{count} '1m'"));
    check("consolidate 1m a info show_first b", &format!("{count} 'b'"));
    check("consolidate abc .*", "time: invalid duration \"abc\"");
    check("consolidate 1 .*", "time: missing unit in duration \"1\"");
    check("consolidate 1m [", "error parsing regexp: missing closing ]: `[`");
    check("consolidate 1m a foo", "unknown option in consolidate: foo");
    check("consolidate 1m a info debug", "multiple log levels specified in consolidate");
    check("consolidate 1m a show_first info", "log level must come before show_first in consolidate");
    let long = "a".repeat(10_001);
    check(&format!("consolidate 1m {long}"), "regex pattern too long: 10001 > 10000");
}
