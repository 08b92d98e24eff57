//! The fuzz targets on the stable compiler: every seed of `fuzz/seeds/`, then inputs made from the seeds by changes that are the same in each run.
//! `fuzz/README.md` says how to look further.

mod mutation;

#[cfg(feature = "tls")]
#[path = "../../fuzz/properties/certificate.rs"]
mod certificate;
#[path = "../../fuzz/properties/corefile.rs"]
mod corefile;
#[path = "../../fuzz/properties/hosts_file.rs"]
mod hosts_file;
#[path = "../../fuzz/properties/message.rs"]
mod message;
#[path = "../../fuzz/properties/name.rs"]
mod name;
#[path = "../../fuzz/properties/patch.rs"]
mod patch;
#[path = "../../fuzz/properties/proxy_header.rs"]
mod proxy_header;
#[path = "../../fuzz/properties/resolv_conf.rs"]
mod resolv_conf;
#[path = "../../fuzz/properties/toml.rs"]
mod toml;
#[path = "../../fuzz/properties/upstream_response.rs"]
mod upstream_response;

use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::time::{Duration, Instant};

use mutation::Mutator;

/// Inputs made for each target at most, and time taken at most: what a slow machine does not reach, another one does.
const INPUTS_MAX: u64 = 20_000;
const TIME_MAX: Duration = Duration::from_secs(2);

/// If set, each target is looked at for so many seconds, however many inputs that are.
const SECONDS: &str = "WAYPOST_FUZZ_SECONDS";

/// If set, the changes are other ones.
const SEED: &str = "WAYPOST_FUZZ_SEED";

/// Words that open doors in texts, and bytes that do so in messages.
const TEXT: &[&[u8]] = &[
    b"{",
    b"}",
    b"\"",
    b"#",
    b"\n",
    b" ",
    b"import ",
    b"{$A}",
    b"{%A%}",
    b"(a)",
    b"/",
    b":",
    b"::",
    b",",
    b"\r\n",
    b"[[server]]",
    b"=",
    b"[",
    b"]",
    b"'",
    b"true",
    b"*",
];
const WIRE: &[&[u8]] = &[
    b"\xC0\x0C",
    b"\x00\x00\x29\x04\xD0\x00\x00\x80\x00\x00\x00",
    b"\x00\x01\x00\x01",
    b"\x00\x00\xFA\x00\xFF",
    b"\x00\x06\x00\x01",
    b"\x3F",
    b"\x00\x00",
];

#[cfg(feature = "tls")]
const DER: &[&[u8]] = &[
    b"\x06\x03\x55\x1d\x11",
    b"\xa3",
    b"\x30\x82",
    b"\x30\x80",
    b"\x04",
    b"\x84\xff\xff\xff\xff",
    b"\x87\x10",
];

const PROXY: &[&[u8]] = &[
    b"PROXY ",
    b"TCP4 ",
    b"TCP6 ",
    b"UNKNOWN",
    b"\r\n",
    b"192.0.2.7 ",
    b"::1 ",
    b"65535",
    b"\r\n\r\n\0\r\nQUIT\n",
    b"\x21\x12\x00\x0c",
    b"\x20\x00\x00\x00",
    b"\x10\x00",
];

/// Holds `property` to every seed of `target`, and to what becomes of them.
fn replay(target: &str, words: &'static [&'static [u8]], property: fn(&[u8])) {
    let seeds = seeds(target);
    for seed in &seeds {
        hold(target, property, seed);
    }
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let (inputs, time) = match number(SECONDS) {
        Some(seconds) => (u64::MAX, Duration::from_secs(seconds)),
        None => (INPUTS_MAX, TIME_MAX),
    };
    let mut mutator = Mutator::new(number(SEED).unwrap_or(1), words);
    let begin = Instant::now();
    for _ in 0..inputs {
        if begin.elapsed() > time {
            break;
        }
        hold(target, property, &mutator.next(&seeds));
    }
}

#[allow(clippy::print_stdout, reason = "shown with the failure of the test")]
fn hold(target: &str, property: fn(&[u8]), input: &[u8]) {
    if let Err(panic) = panic::catch_unwind(AssertUnwindSafe(|| property(input))) {
        let begin = String::from_utf8_lossy(&input[..input.len().min(2000)]).into_owned();
        let bytes: String = input.iter().map(|byte| format!("\\x{byte:02x}")).collect();
        println!("{target}: not held by b\"{bytes}\", which reads\n{begin}");
        panic::resume_unwind(panic);
    }
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut files: Vec<_> =
        fs::read_dir(folder).expect("seeds").map(|entry| entry.expect("a seed").path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{target} has seeds");
    files.iter().map(|file| fs::read(file).expect("a seed")).collect()
}

#[test]
fn messages_of_clients() {
    replay("message", WIRE, message::hold);
}

#[test]
fn names() {
    replay("name", WIRE, name::hold);
}

#[test]
fn changes_to_messages() {
    replay("patch", WIRE, patch::hold);
}

#[test]
fn corefiles() {
    replay("corefile", TEXT, corefile::hold);
}

#[test]
fn hosts_files() {
    replay("hosts_file", TEXT, hosts_file::hold);
}

#[test]
fn responses_of_upstreams() {
    replay("upstream_response", WIRE, upstream_response::hold);
}

#[test]
fn resolv_conf_files() {
    replay("resolv_conf", TEXT, resolv_conf::hold);
}

#[test]
fn configurations_in_toml() {
    replay("toml", TEXT, toml::hold);
}

#[test]
fn proxy_headers() {
    replay("proxy_header", PROXY, proxy_header::hold);
}

#[cfg(feature = "tls")]
#[test]
fn certificates() {
    replay("certificate", DER, certificate::hold);
}

#[test]
fn every_target_is_replayed_and_has_its_seeds() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("fuzz/Cargo.toml")).unwrap();
    let names = |folder: &str| {
        let mut names: Vec<String> = fs::read_dir(root.join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().trim_end_matches(".rs").to_owned())
            .collect();
        names.sort();
        names
    };
    let replayed: Vec<String> = include_str!("mod.rs")
        .lines()
        .filter_map(|line| line.trim().strip_prefix("replay(\"")?.split('"').next().map(str::to_owned))
        .collect();
    let targets = names("fuzz/fuzz_targets");
    assert_eq!(targets, names("fuzz/properties"));
    assert_eq!(targets, names("fuzz/seeds"));
    for target in targets {
        assert!(manifest.contains(&format!("name = \"{target}\"")), "{target} is in fuzz/Cargo.toml");
        assert!(replayed.contains(&target), "{target} is replayed");
    }
}
