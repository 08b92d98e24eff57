//! Which room may use which: imports go down only.

use std::collections::BTreeSet;

use super::source::{self, Path};
use super::{hold, server_files};

/// The rooms from top to bottom. A room may use those in rows below its own, never one in its own row or above.
const ROWS: &[&[&str]] = &[
    &["main"],
    &["cli"],
    &["instance"],
    &["server", "plugins"],
    &["chain"],
    &["zone", "upstream", "config", "control"],
    &["memory"],
    &["wire", "net", "tls", "metrics", "log"],
];

fn row(room: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&room))
}

/// What is wrong with `path` standing in `module`, if anything is.
fn offence(module: &[String], path: &Path) -> Option<&'static str> {
    let here = module.first().map_or("main", String::as_str);
    let there = path.segments.first().map(String::as_str)?;
    let (Some(from), Some(to)) = (row(here), row(there)) else { return None };
    if here != there && to <= from {
        return Some("goes up or sideways");
    }
    let inside = |segments: &[String]| (segments.first()? == "plugins").then(|| segments.get(1).cloned())?;
    match (inside(module), inside(&path.segments)) {
        (Some(mine), Some(other)) if mine != other => Some("goes from a plugin to another or to their table"),
        _ => None,
    }
}

#[test]
fn imports_go_down_only() {
    let mut offences = Vec::new();
    for file in server_files() {
        for path in source::paths(&file.tokens(), &file.module) {
            if let Some(what) = offence(&file.module, &path) {
                offences.push(format!("{}:{}: `{path}` {what}", file.path, path.line));
            }
        }
    }
    hold("rooms use only rooms below them, and no plugin uses another", offences);
}

#[test]
fn every_room_has_its_row() {
    let rooms: BTreeSet<String> =
        server_files().iter().filter_map(|file| file.module.first().cloned()).collect();
    let named: BTreeSet<String> = ROWS
        .iter()
        .flat_map(|row| row.iter())
        .filter(|room| **room != "main")
        .map(|r| (*r).to_owned())
        .collect();
    assert_eq!(rooms, named, "the folders of src/ and the rows of rooms");
}

#[test]
fn a_wrong_import_is_found() {
    let check = |module: &[&str], path: &[&str], expected: Option<&str>| {
        let owned = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        let path = Path { segments: owned(path), line: 1 };
        assert_eq!(
            offence(&owned(module), &path).and_then(|o| o.split(' ').nth(1)),
            expected,
            "{module:?} {path}"
        );
    };
    check(&["wire", "name"], &["chain", "Query"], Some("up"));
    check(&["wire", "name"], &["wire", "Rcode"], None);
    check(&["server"], &["plugins", "ORDER"], Some("up"));
    check(&["chain"], &["wire"], None);
    check(&[], &["cli", "run"], None);
    check(&["plugins", "cache", "key"], &["plugins", "cache", "entry"], None);
    check(&["plugins", "cache", "key"], &["plugins", "hosts"], Some("from"));
    check(&["plugins", "cache", "key"], &["plugins", "ORDER"], Some("from"));
    check(&["plugins"], &["plugins", "hosts", "SPEC"], None);
}

/// What a room must not do, by the crates and modules it may not name: `wire` has no I/O and no clock, the rooms below
/// `server` that queries pass have no runtime of their own.
const FORBIDDEN: &[(&str, &[&[&str]], &str)] = &[
    (
        "wire",
        &[&["std", "io"], &["std", "fs"], &["std", "time"], &["std", "thread"], &["tokio"], &["libc"]],
        "wire is bytes in, bytes out: no I/O, no clock, no threads",
    ),
    (
        "zone",
        &[&["std", "io"], &["std", "fs"], &["std", "time"], &["std", "thread"], &["tokio"], &["libc"]],
        "zone is records in, answers out: no I/O, no clock, no threads",
    ),
    ("config", &[&["tokio"], &["std", "net", "UdpSocket"]], "config reads files; it serves nothing"),
];

#[test]
fn rooms_keep_to_what_they_are_for() {
    let mut offences = Vec::new();
    for file in server_files() {
        for (room, forbidden, reason) in FORBIDDEN {
            if file.module.first().is_none_or(|m| m != room) || file.is_test() {
                continue;
            }
            for (path, line) in source::foreign_paths(&file.tokens()) {
                if forbidden.iter().any(|f| path.len() >= f.len() && path.iter().zip(*f).all(|(a, b)| a == b))
                {
                    offences.push(format!("{}:{line}: `{}`: {reason}", file.path, path.join("::")));
                }
            }
        }
    }
    hold("a room does what its name says", offences);
}
