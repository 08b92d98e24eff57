//! Zones from files: what is wrong or odd about one is said with its place, and a change is taken or passed over for a reason.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::control::steady::{Follower, Trouble};
use crate::wire::Name;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file that goes with the test.
struct Master(PathBuf);

impl Master {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("waypost-zone-file-{}-{number}", std::process::id())))
    }

    /// Takes the place of the file in one step, so that no two states look alike.
    fn write(&self, text: &str) {
        let new = self.0.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, &self.0).unwrap();
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Keeps what is said.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    fn hear(&self, level: &str, text: &str) {
        self.0.lock().unwrap().push(format!("{level} {text}"));
    }

    /// What was said since this was asked last.
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Tell for Heard {
    fn info(&self, text: &str) {
        self.hear("info", text);
    }
    fn warning(&self, text: &str) {
        self.hear("warning", text);
    }
    fn error(&self, text: &str) {
        self.hear("error", text);
    }
}

/// A zone of this serial with an address of this last byte.
fn text(serial: u32, last: u8) -> String {
    format!("$TTL 1m\n@ SOA ns host {serial} 1h 1h 1h 1h\n@ NS ns\nns A 192.0.2.{last}\n")
}

fn origin() -> Name {
    "example.org.".parse().unwrap()
}

fn messages(text: &str) -> Vec<String> {
    let path = Path::new("db");
    let Err(error) = load(text.as_bytes(), path, &origin()) else { panic!("{text} is no zone") };
    error.messages(path, &origin())
}

fn serial(file: &ZoneFile<Heard>) -> Option<u32> {
    file.zone().as_ref().map(|zone| zone.soa().serial)
}

#[test]
fn each_mistake_of_a_file_is_told_with_its_place() {
    let parse = |what: &str| format!("failed to parse file \"db\" for origin example.org. with error {what}");
    assert_eq!(
        messages("$TTL 1\na B\nc A x\n"),
        [
            parse("db:2:3: expected a record type, not 'B'"),
            parse("db:3:5: A: expected an IPv4 address, not 'x'")
        ]
    );
    let no_soa = ["file \"db\" has no SOA record for origin example.org."];
    assert_eq!(messages(""), no_soa);
    assert_eq!(messages("a 1 A 192.0.2.1\n"), no_soa);
    for odd in [
        format!("{}@ SOA ns host 2 1 1 1 1\n", text(1, 1)),
        "@ 1 SOA ns host 1 1 1 1 1\nother.example. 1 SOA ns host 1 1 1 1 1\n".to_owned(),
        format!("{}$INCLUDE /nowhere/at/all\n", text(1, 1)),
    ] {
        let found = messages(&odd);
        assert!(found.len() == 1 && found[0].starts_with(&parse("")), "{found:?}");
    }
}

#[test]
fn a_serial_of_zero_is_served() {
    assert_eq!(load(text(0, 1).as_bytes(), Path::new("db"), &origin()).map(|l| l.zone.soa().serial), Ok(0));
}

#[test]
fn records_out_of_the_zone_are_left_out_and_named_up_to_a_number() {
    let strays = |count: usize| {
        let lines: String = (0..count).map(|i| format!("a{i}.example.net. A 192.0.2.1\n")).collect();
        load((text(1, 1) + &lines).as_bytes(), Path::new("db"), &origin()).unwrap()
    };
    let none = strays(0);
    assert_eq!((none.zone.len(), none.warnings.len()), (3, 0));
    let one = strays(1);
    assert_eq!(one.zone.len(), 3);
    assert_eq!(one.warnings, ["db:5: a0.example.net. A is not in example.org. and is left out"]);
    let many = strays(9);
    assert_eq!((many.zone.len(), many.warnings.len()), (3, 6));
    assert_eq!(many.warnings[5], "db: 9 records in all are not in example.org. and are left out");
}

#[test]
fn a_file_is_served_anew_with_another_serial_only() {
    let (master, heard) = (Master::new(), Heard::default());
    let path = master.0.display().to_string();
    master.write(&text(5, 1));
    let file = ZoneFile::new(master.0.clone(), origin(), false, heard.clone());
    assert_eq!(file.first_read(), Ok(vec![]));
    assert_eq!(file.look(false, None), Ok(()));
    assert_eq!((serial(&file), heard.take()), (Some(5), vec![]));
    // A lower one is another one, too.
    master.write(&text(4, 2));
    assert_eq!(file.look(false, None), Ok(()));
    let reloaded = |serial: u32| {
        format!("info Successfully reloaded zone \"example.org.\" in \"{path}\" with {serial} SOA serial")
    };
    assert_eq!((serial(&file), heard.take()), (Some(4), vec![reloaded(4)]));
    // The same serial: it is said once that what is new is not served.
    for last in [3, 4] {
        master.write(&text(4, last));
        assert_eq!(file.look(false, None), Ok(()));
    }
    let passed =
        format!("warning Zone \"example.org.\" in \"{path}\" has changed, but not its serial 4: not served");
    assert_eq!(heard.take(), [passed]);
    // Nor is a change that changes nothing worth a word.
    master.write(&(text(4, 2) + "; a comment\n"));
    assert_eq!(file.look(false, None), Ok(()));
    assert_eq!(heard.take(), Vec::<String>::new());
    master.write(&(text(6, 2) + "out. A 192.0.2.1\n"));
    assert_eq!(file.look(false, None), Ok(()));
    let stray = format!("warning {path}:5: out. A is not in example.org. and is left out");
    assert_eq!((serial(&file), heard.take()), (Some(6), vec![stray, reloaded(6)]));
}

#[test]
fn by_mtime_any_change_counts_and_no_change_does_not() {
    let (master, heard) = (Master::new(), Heard::default());
    master.write(&text(5, 1));
    let file = ZoneFile::new(master.0.clone(), origin(), true, heard.clone());
    assert_eq!(file.first_read(), Ok(vec![]));
    let before = file.zone().clone().unwrap();
    assert_eq!(file.look(false, None), Ok(()));
    assert!(Arc::ptr_eq(&before, file.zone().as_ref().unwrap()) && heard.take().is_empty());
    master.write(&text(5, 2));
    assert_eq!(file.look(false, None), Ok(()));
    assert!(!Arc::ptr_eq(&before, file.zone().as_ref().unwrap()));
    assert_eq!(heard.take().len(), 1);
}

#[test]
fn a_file_that_turns_bad_or_goes_leaves_the_zone_as_it_was() {
    let (master, heard) = (Master::new(), Heard::default());
    let path = master.0.display().to_string();
    master.write(&text(1, 1));
    let file = ZoneFile::new(master.0.clone(), origin(), false, heard.clone());
    assert_eq!(file.first_read(), Ok(vec![]));
    master.write("a b\n");
    assert_eq!(file.look(false, None), Ok(()));
    assert_eq!(file.look(false, None), Ok(()));
    let said = heard.take();
    assert_eq!(said.len(), 1);
    let why = format!("error Parsing zone \"example.org.\": failed to parse file \"{path}\" for origin");
    assert!(said[0].starts_with(&why), "{said:?}");
    std::fs::remove_file(&master.0).unwrap();
    for _ in 0..2 {
        assert_eq!(file.look(false, None), Err(Trouble::Missing));
    }
    assert_eq!(
        heard.take(),
        [format!(
            "error Failed to open zone \"example.org.\" in \"{path}\": open {path}: no such file or directory"
        )]
    );
    assert_eq!(serial(&file), Some(1));
    master.write(&text(2, 1));
    assert_eq!(file.look(false, None), Ok(()));
    assert_eq!((serial(&file), heard.take().len()), (Some(2), 1));
}

#[test]
fn a_file_may_come_later() {
    let (master, heard) = (Master::new(), Heard::default());
    let file = ZoneFile::new(master.0.clone(), origin(), false, heard.clone());
    assert_eq!(file.first_read(), Err(Err(Trouble::Missing)));
    assert_eq!(serial(&file), None);
    master.write(&text(0, 1));
    assert_eq!(file.look(false, None), Ok(()));
    assert_eq!((serial(&file), heard.take().len()), (Some(0), 1));
}
