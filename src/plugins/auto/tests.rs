//! Directories in which files come, change and go.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::chain::testing::{self, build_in};
use crate::chain::{Block, BlockSetup, State};
use crate::wire::record;

/// A directory that goes with the test.
struct TestDir(PathBuf);

impl TestDir {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("waypost-auto-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Writes a zone with that serial whose `www` has that address, as a new file in the place of an old one.
    fn zone(&self, name: &str, serial: u32, address: &str) {
        let text = format!("$TTL 60\n@ SOA ns host {serial} 1 1 1 1\nwww A {address}\n");
        self.write(name, &text);
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let new = self.0.join("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, path).unwrap();
    }
}

impl Drop for TestDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// `auto` in a block for everything below `test`, looking at that directory.
fn started(dir: &Path) -> (Arc<Block>, Arc<Directory>) {
    let directory = Arc::new(Directory::new(dir.to_owned(), names::FileNames::default()));
    directory.look();
    let auto = Auto { origins: vec!["test".parse().unwrap()], directory: Arc::clone(&directory) };
    let next = testing::failing(Rcode::NOTIMP, "next");
    (testing::block(vec![("auto", Arc::new(auto)), ("next", next)]), directory)
}

/// The address of `www.ZONE`, or the code of the answer.
fn ask(block: &Arc<Block>, zone: &str) -> String {
    let mut query = testing::query(&format!("www.{zone}"), Rtype::A);
    let response = testing::ask(block, &mut query);
    if response.state() != State::Written {
        return response.rcode().map_or_else(|| "nothing".to_owned(), |rcode| rcode.to_string());
    }
    let wire = response.wire();
    let answer = record::records(wire).map(Result::unwrap).find(|record| record.rtype == Rtype::A);
    answer.map_or_else(
        || response.rcode().unwrap().to_string(),
        |answer| {
            <[u8; 4]>::try_from(answer.rdata(wire)).map(|a| std::net::Ipv4Addr::from(a).to_string()).unwrap()
        },
    )
}

#[test]
fn zones_come_change_and_go_with_their_files() {
    let dir = TestDir::new();
    dir.zone("db.one.test", 1, "192.0.2.1");
    dir.zone("below/db.Two.TEST", 1, "192.0.2.2");
    dir.zone("three.test", 1, "192.0.2.3");
    dir.zone("..data/db.four.test", 1, "192.0.2.4");
    let (block, directory) = started(&dir.0);
    for (zone, want) in [
        ("one.test", "192.0.2.1"),
        ("two.test", "192.0.2.2"),
        ("three.test", "NOTIMP"),
        ("four.test", "NOTIMP"),
    ] {
        assert_eq!(ask(&block, zone), want, "{zone}");
    }
    dir.zone("db.one.test", 1, "192.0.2.9");
    directory.look();
    assert_eq!(ask(&block, "one.test"), "192.0.2.1", "the serial is the same");
    dir.zone("db.one.test", 2, "192.0.2.9");
    dir.zone("db.five.test", 1, "192.0.2.5");
    std::fs::remove_file(dir.0.join("below/db.Two.TEST")).unwrap();
    directory.look();
    for (zone, want) in [("one.test", "192.0.2.9"), ("two.test", "NOTIMP"), ("five.test", "192.0.2.5")] {
        assert_eq!(ask(&block, zone), want, "{zone}");
    }
    // One with mistakes is served as it was, and does not keep others from being read.
    dir.write("db.one.test", "@ SOA ns\n");
    dir.write("db.bad.test", "rubbish\n");
    dir.zone("db.six.test", 1, "192.0.2.6");
    directory.look();
    for (zone, want) in [("one.test", "192.0.2.9"), ("bad.test", "NOTIMP"), ("six.test", "192.0.2.6")] {
        assert_eq!(ask(&block, zone), want, "{zone}");
    }
}

#[test]
fn a_zone_that_moves_to_another_file_is_served_on() {
    let dir = TestDir::new();
    dir.zone("a/db.one.test", 1, "192.0.2.1");
    dir.zone("b/db.one.test", 1, "192.0.2.2");
    let (block, directory) = started(&dir.0);
    assert_eq!(ask(&block, "one.test"), "192.0.2.1", "the first in the order of the names");
    std::fs::remove_file(dir.0.join("a/db.one.test")).unwrap();
    directory.look();
    assert_eq!(ask(&block, "one.test"), "192.0.2.2");
}

#[test]
fn a_directory_may_come_later() {
    let dir = TestDir::new();
    let path = dir.0.join("later");
    let (block, directory) = started(&path);
    assert_eq!(ask(&block, "one.test"), "NOTIMP");
    dir.zone("later/db.one.test", 1, "192.0.2.1");
    directory.look();
    assert_eq!(ask(&block, "one.test"), "192.0.2.1");
}

#[test]
fn mistakes_are_named() {
    let zones = ["test".parse().unwrap()];
    for (directive, want) in [
        ("auto {\ndirectory\n}", "Wrong argument count or unexpected line ending after 'directory'"),
        ("auto {\ndirectory /tmp (\n}", "Wrong argument count or unexpected line ending after '('"),
        ("auto {\ndirectory /tmp ( {1}\n}", "error parsing regexp: missing closing ): `(`"),
        ("auto {\ndirectory /tmp a {1}\n}", "Need at least one sub expression"),
        ("auto {\ndirectory /tmp (a) {1} b\n}", "Wrong argument count or unexpected line ending after 'b'"),
        ("auto {\ndirectory /tmp\nreload\n}", "reload duration value is expected"),
        ("auto {\ndirectory /tmp\nreload -1s\n}", "invalid duration"),
        ("auto {\ndirectory /tmp\nfoo\n}", "unknown property 'foo'"),
        ("auto", "auto needs a directory"),
    ] {
        let errors = build_in(&SPEC, &zones, BlockSetup::default(), directive).err().unwrap();
        assert!(errors.contains(want), "{directive}: {errors}");
    }
    let large = format!("auto {{\ndirectory /tmp {} {{1}}\n}}", "a".repeat(10_001));
    let errors = build_in(&SPEC, &zones, BlockSetup::default(), &large).err().unwrap();
    assert!(errors.contains("regexp too large"), "{errors}");
}
