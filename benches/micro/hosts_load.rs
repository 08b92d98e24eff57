//! How long a hosts file of a million lines takes until it is served, and what memory it takes: `cargo bench --bench hosts_load`.
//!
//! Prints a line for each kind of file: seconds, and the resident memory of the process afterwards, at its highest, and after five
//! times of reading it anew.

#![allow(clippy::disallowed_methods, reason = "time is what is measured")]
#![allow(clippy::print_stdout, reason = "the table is what it is for")]

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use waypost::chain::{BlockSetup, Plugin, Setup};
use waypost::config::{Directive, Span, Word};
use waypost::plugins;
use waypost::wire::Name;

const LINES: u32 = 1_000_000;

/// A kind of file: its name, and line `n` of it.
type Kind = (&'static str, fn(u32, &mut String));

const KINDS: [Kind; 4] = [
    ("an address and a name each", |n, text| {
        let [_, a, b, c] = n.to_be_bytes();
        let _ = writeln!(text, "10.{a}.{b}.{c} host{n}.example.org");
    }),
    ("an address and two names each", |n, text| {
        let [_, a, b, c] = n.to_be_bytes();
        let _ = writeln!(text, "10.{a}.{b}.{c} host{n}.example.org host{n}");
    }),
    ("a block list: one address", |n, text| {
        let _ = writeln!(text, "0.0.0.0 tracker{n}.advertising.example.com");
    }),
    ("IPv6", |n, text| {
        let _ = writeln!(text, "2001:db8::{:x}:{:x} host{n}.example.org", n >> 16, n & 0xFFFF);
    }),
];

fn main() {
    let which = std::env::args().nth(1).and_then(|arg| arg.parse::<usize>().ok());
    if let Some((what, line)) = which.and_then(|which| KINDS.get(which)) {
        return measure(what, *line);
    }
    // Each in a process of its own: memory that one gave back must not be there for the next.
    for kind in 0..KINDS.len() {
        let this = std::env::current_exe().expect("the running program");
        let done = std::process::Command::new(this).arg(kind.to_string()).status().expect("it runs again");
        assert!(done.success());
    }
}

fn measure(what: &str, line: fn(u32, &mut String)) {
    let path = std::env::temp_dir().join(format!("waypost-load-{}", std::process::id()));
    write_file(&path, line);
    let began = Instant::now();
    let plugin = hosts(&path.to_string_lossy());
    let seconds = began.elapsed().as_secs_f64();
    let (resident, highest) = (memory("VmRSS:"), memory("VmHWM:"));
    // The old plugin serves while the new one reads, as in a reload.
    let mut serving = plugin;
    for _ in 0..5 {
        serving = hosts(&path.to_string_lossy());
    }
    println!(
        "{what:32} {seconds:.2} s   {resident:4} MiB   {highest:4} MiB at its highest   five reloads: {:4} MiB, {:4} MiB",
        memory("VmRSS:"),
        memory("VmHWM:")
    );
    drop(serving);
    let _ = std::fs::remove_file(&path);
}

/// Line by line, so that this process has not had the file in memory.
fn write_file(path: &std::path::Path, line: fn(u32, &mut String)) {
    use std::io::Write as _;
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).expect("a temporary file"));
    let mut text = String::new();
    for n in 0..LINES {
        text.clear();
        line(n, &mut text);
        file.write_all(text.as_bytes()).expect("room for the file");
    }
    file.flush().expect("room for the file");
}

fn hosts(path: &str) -> Vec<Arc<dyn Plugin>> {
    let word = |text: &str| Word::new(text, Span::default());
    let directive = Directive {
        name: word("hosts"),
        args: vec![word(path)],
        block: None,
        span: Span::default(),
        end: Span::default(),
    };
    let spec = plugins::find("hosts").expect("hosts is a plugin");
    let mut block = BlockSetup::default();
    let mut setup =
        Setup { directives: &[&directive], zones: &[Name::root()], addresses: &[], block: &mut block };
    let built = (spec.build)(&mut setup).expect("the directive is right");
    for start in block.on_start {
        start().expect("the file is read");
    }
    built
}

/// A line of the process's status, MiB.
fn memory(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
}
