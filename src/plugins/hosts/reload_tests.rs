//! The loop that keeps a file fresh, on a runtime as the control plane has it.

#![allow(clippy::disallowed_methods, reason = "a test says how long a change may take")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::file::HostsFile;
use super::tests::{TestDir, ask, started};
use crate::control::steady::{QUIET, keep_fresh, keep_fresh_by};
use crate::wire::Rtype;

const NEVER: Duration = Duration::from_secs(3600);

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// Waits until `is_so`, and says how long that took.
async fn until(is_so: impl Fn() -> bool) -> Duration {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(20), "nothing happened");
        tokio::task::yield_now().await;
    }
    began.elapsed()
}

fn records(file: &HostsFile) -> usize {
    file.table().records()
}

#[test]
fn the_kernel_s_word_is_enough() {
    let dir = TestDir::new();
    let path = dir.write("hosts", "10.0.0.1 a");
    let file = Arc::new(HostsFile::new(path.clone(), None, true, 0));
    let runtime = runtime();
    runtime.spawn(keep_fresh(Arc::clone(&file), NEVER));
    runtime.block_on(async {
        // The first look comes after the watch was set up: from here on nothing is missed.
        until(|| records(&file) == 2).await;
        dir.write("hosts", "10.0.0.1 a b");
        until(|| records(&file) == 4).await;
        dir.write("new", "10.0.0.1 a b c");
        std::fs::rename(dir.path("new"), &path).unwrap();
        until(|| records(&file) == 6).await;
        std::fs::remove_file(&path).unwrap();
        dir.write("hosts", "");
        until(|| records(&file) == 0).await;
    });
}

#[test]
fn looking_is_enough_too() {
    let dir = TestDir::new();
    let path = dir.path("hosts");
    let file = Arc::new(HostsFile::new(path, None, true, 0));
    let runtime = runtime();
    runtime.spawn(keep_fresh_by(Arc::clone(&file), Duration::from_nanos(1), None));
    runtime.block_on(async {
        dir.write("hosts", "10.0.0.1 a");
        until(|| records(&file) == 2).await;
        dir.write("hosts", "10.0.0.1 a b");
        let waited = until(|| records(&file) == 4).await;
        // It was looked at no more often than allowed, and left alone before it was read.
        assert!(waited >= QUIET, "{waited:?}");
    });
}

#[test]
fn the_plugin_follows_its_file_unless_it_is_told_not_to() {
    let dir = TestDir::new();
    let path = dir.write("hosts", "10.0.0.1 a");
    let directive =
        |reload: &str| format!("hosts {} {{\n reload {reload}\n 10.9.9.9 inline\n}}", path.display());
    let (block, mut setup) = started(&["."], &directive("1h"));
    let (still, still_setup) = started(&["."], &directive("0"));
    assert!(still_setup.background.is_empty());
    let runtime = runtime();
    setup.background.drain(..).for_each(|task| drop(runtime.spawn(task)));
    assert_eq!(ask(&block, "a", Rtype::A), "3600 10.0.0.1");
    dir.write("hosts", "10.0.0.2 a");
    runtime.block_on(until(|| ask(&block, "a", Rtype::A) == "3600 10.0.0.2"));
    std::fs::remove_file(&path).unwrap();
    dir.write("hosts", "10.0.0.3 a");
    runtime.block_on(until(|| ask(&block, "a", Rtype::A) == "3600 10.0.0.3"));
    assert_eq!(ask(&block, "inline", Rtype::A), "3600 10.9.9.9");
    assert_eq!(ask(&still, "a", Rtype::A), "3600 10.0.0.1");
}

#[test]
fn a_file_may_come_later() {
    let dir = TestDir::new();
    let path = dir.path("hosts");
    let (block, mut setup) =
        started(&["."], &format!("hosts {} {{\n reload 1h\n fallthrough\n}}", path.display()));
    let runtime = runtime();
    setup.background.drain(..).for_each(|task| drop(runtime.spawn(task)));
    assert_eq!(ask(&block, "a", Rtype::A), "next");
    dir.write("hosts", "10.0.0.1 a");
    runtime.block_on(until(|| ask(&block, "a", Rtype::A) == "3600 10.0.0.1"));
}
