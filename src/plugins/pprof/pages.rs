//! The pages below `/debug/pprof/`.

use std::fmt::Write;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::Duration;

use super::mappings;
use super::profile::Profile;
use super::symbols;
use crate::control::http::{Handler, Reply, Request, at_once};
use crate::control::shutdown::Stop;
use crate::net::sampler::StartError;

/// Where people begin.
pub(super) const ROOT: &str = "/debug/pprof";
/// What all pages are below.
pub(super) const FOLDER: &str = "/debug/pprof/";

/// Seconds of a profile that does not say how many: as Go has them.
const SECONDS: u64 = 30;
/// Seconds of a profile at most.
const SECONDS_MAX: u64 = 300;

/// A page, what is said of it, and why it is not there, if it is not.
struct Shown {
    name: &'static str,
    about: &'static str,
    absent: Option<&'static str>,
}

const fn there(name: &'static str, about: &'static str) -> Shown {
    Shown { name, about, absent: None }
}

const fn absent(name: &'static str, why: &'static str) -> Shown {
    Shown { name, about: why, absent: Some(why) }
}

const NO_HEAP: &str = "not recorded: the C library's allocator keeps no profile";
const NO_GOROUTINES: &str = "there is no Go runtime; the threads are at threadcreate";
const NO_WAITS: &str = "not recorded: waypost does not note what waits for whom";
const NO_TRACE: &str = "there is no Go runtime that could be traced";

/// All pages, in the order of the index.
const PAGES: &[Shown] = &[
    absent("allocs", NO_HEAP),
    absent("block", NO_WAITS),
    there("cmdline", "The arguments that the process was started with."),
    absent("goroutine", NO_GOROUTINES),
    absent("heap", NO_HEAP),
    absent("mutex", NO_WAITS),
    there(
        "profile",
        "Where processor time is spent, for 30 seconds or as many as ?seconds=N says, in the form of pprof.",
    ),
    there("symbol", "The functions of the addresses that stand behind the question mark, as ?0x1234+0x5678."),
    there("threadcreate", "The threads of the process, with the processor time that each has used."),
    absent("trace", NO_TRACE),
];

/// Sends people on to [`FOLDER`].
pub(super) fn redirect() -> Handler {
    at_once(|_| {
        let body = format!("<a href=\"{FOLDER}\">Found</a>.\n\n");
        Reply::new(302, HTML, body).header("location", FOLDER)
    })
}

/// Answers all below [`FOLDER`]; `stop` ends a profile that is being made.
pub(super) fn handler(stop: Stop) -> Handler {
    Arc::new(move |request| Box::pin(answer(request, stop.clone())))
}

async fn answer(request: Request, stop: Stop) -> Reply {
    let name = request.path.strip_prefix(FOLDER).unwrap_or_default();
    let reply = match name {
        "" => Reply::new(200, HTML, index()),
        "cmdline" => Reply::text(200, command_line()),
        "threadcreate" => Reply::text(200, threads()),
        "profile" => profile(seconds(&request.query), stop).await,
        "symbol" => apart(move || Reply::text(200, symbol(&request.query))).await,
        name => match PAGES.iter().find(|page| page.name == name).and_then(|page| page.absent) {
            Some(why) => failure(501, &format!("{name}: {why}")),
            None => failure(404, "Unknown profile"),
        },
    };
    reply.header("x-content-type-options", "nosniff")
}

/// A failure in the form of Go's.
fn failure(status: u16, text: &str) -> Reply {
    Reply::text(status, format!("{text}\n")).header("x-go-pprof", "1")
}

/// Computes on a thread that may block.
async fn apart(reply: impl FnOnce() -> Reply + Send + 'static) -> Reply {
    let made = tokio::task::spawn_blocking(reply).await;
    made.unwrap_or_else(|_| failure(500, "Could not make the page"))
}

/// The `seconds` of a query, or else the default, as in Go also for what is no number above zero.
fn seconds(query: &str) -> u64 {
    let values = query.split('&').filter_map(|part| part.strip_prefix("seconds="));
    values.take(1).find_map(|value| value.parse().ok().filter(|n| *n > 0)).unwrap_or(SECONDS)
}

async fn profile(seconds: u64, stop: Stop) -> Reply {
    if seconds > SECONDS_MAX {
        return failure(400, &format!("profile duration exceeds the limit of {SECONDS_MAX} seconds"));
    }
    let mappings = mappings::of_process();
    match Profile::record(&mappings, Duration::from_secs(seconds), stop).await {
        Ok(profile) => {
            let made = move || Reply::new(200, "application/octet-stream", profile.to_gzip(&mappings));
            apart(made).await.header("content-disposition", "attachment; filename=\"profile\"")
        }
        Err(error) => {
            let why = match error {
                StartError::Taken => "cpu profiling already in use".to_owned(),
                StartError::Kernel(error) => error.to_string(),
            };
            failure(500, &format!("Could not enable CPU profiling: {why}"))
        }
    }
}

/// The arguments, with a zero byte between them.
fn command_line() -> Vec<u8> {
    let arguments: Vec<_> = std::env::args_os().collect();
    let arguments: Vec<&[u8]> = arguments.iter().map(|argument| argument.as_bytes()).collect();
    arguments.join(&0)
}

/// The functions of addresses, in the form of `pprof`'s other programs: a line that says whether there are names at all, then one for each
/// address that has one.
fn symbol(query: &str) -> String {
    let mappings = mappings::of_process();
    let has_symbols =
        mappings.iter().any(|mapping| mapping.is_program && symbols::source(mapping).has_symbols);
    let mut text = format!("num_symbols: {}\n", u8::from(has_symbols));
    let number = |word: &str| match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    };
    let addresses: Vec<u64> = query.split('+').filter_map(number).collect();
    let names = symbols::names(&mappings, addresses.iter().copied());
    for address in addresses {
        if let Some(name) = names.get(&address) {
            let _ = writeln!(text, "{address:#x} {}", name.readable);
        }
    }
    text
}

/// A thread as the kernel shows it.
struct Thread {
    id: u32,
    name: String,
    nanoseconds: Option<u64>,
}

fn threads_of_process() -> Vec<Thread> {
    let mut threads: Vec<Thread> = fs::read_dir(TASKS)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let id = path.file_name()?.to_str()?.parse().ok()?;
            let name = fs::read_to_string(path.join("comm")).ok()?.trim_end().to_owned();
            let times = fs::read_to_string(path.join("schedstat")).unwrap_or_default();
            let nanoseconds = times.split(' ').next().and_then(|time| time.parse().ok());
            Some(Thread { id, name, nanoseconds })
        })
        .collect();
    threads.sort_unstable_by_key(|thread| thread.id);
    threads
}

fn threads() -> String {
    let threads = threads_of_process();
    let mut text = format!("threadcreate profile: total {}\n\nid\tcpu seconds\tname\n", threads.len());
    for Thread { id, name, nanoseconds } in threads {
        let time = nanoseconds.map_or_else(|| "-".to_owned(), |n| format!("{:.3}", n as f64 / 1e9));
        let _ = writeln!(text, "{id}\t{time}\t{name}");
    }
    text
}

fn index() -> String {
    let threads = threads_of_process().len();
    let mut rows = String::new();
    for Shown { name, about, absent } in PAGES {
        let count = if *name == "threadcreate" { threads } else { 0 };
        let name = match absent {
            None => format!("<a href=\"{name}?debug=1\">{name}</a>"),
            Some(_) => (*name).to_owned(),
        };
        let _ = writeln!(rows, "<tr><td>{count}</td><td>{name}</td><td>{about}</td></tr>");
    }
    format!(
        "<html>\n<head>\n<title>{FOLDER}</title>\n</head>\n<body>\n<p>{FOLDER}</p>\n<table>\n\
         <tr><th>Count</th><th>Profile</th><th></th></tr>\n{rows}</table>\n</body>\n</html>\n"
    )
}

const HTML: &str = "text/html; charset=utf-8";
/// Where the kernel shows the threads of this process.
const TASKS: &str = "/proc/self/task";
