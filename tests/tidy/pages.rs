//! The pages about the code: they name what there is, and only that.

use std::collections::BTreeMap;
use std::fs;

use waypost::plugins::{COREDNS_ORDER, ORDER, find};

use super::source::Kind;
use super::{files, hold, root, rust_files};

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The lines of `text` under the heading `## NAME`.
fn section<'a>(text: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let heading = format!("## {name}");
    text.lines().skip_while(move |line| *line != heading).skip(1).take_while(|line| !line.starts_with("## "))
}

#[test]
fn every_plugin_has_a_folder_a_manual_and_a_row() {
    let mut offences = Vec::new();
    let plugins = root().join("src/plugins");
    let mut folders: Vec<String> = fs::read_dir(plugins)
        .unwrap()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|t| t.is_dir()))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    folders.sort();
    for folder in &folders {
        let here = format!("src/plugins/{folder}");
        // A plugin called like a word of Rust has a folder with an underscore.
        if find(folder.trim_end_matches('_')).is_none() {
            offences.push(format!("{here}: has no row in ORDER"));
        }
        for file in ["README.md", "mod.rs"] {
            if !root().join(&here).join(file).is_file() {
                offences.push(format!("{here}: has no {file}"));
            }
        }
    }
    for spec in ORDER {
        if !folders.iter().any(|folder| folder.trim_end_matches('_') == spec.name) {
            offences.push(format!("{}: has a row in ORDER, and no folder", spec.name));
        }
    }
    hold("a plugin is a folder with its manual, and a row in the table", offences);
}

#[test]
fn the_readme_s_table_is_the_table_of_plugins() {
    let readme = read("README.md");
    let rows: Vec<&str> = section(&readme, "Plugins").filter(|line| line.starts_with("| `")).collect();
    let expected: Vec<String> = COREDNS_ORDER
        .iter()
        .map(|name| match find(name) {
            Some(spec) => format!("| `{name}` | [here](src/plugins/{name}/README.md) | {} |", spec.summary),
            None => format!("| `{name}` | not yet |"),
        })
        .collect();
    let mut offences = Vec::new();
    for (i, expected) in expected.iter().enumerate() {
        match rows.get(i) {
            // What a plugin that is missing would do is said in our own words.
            Some(row) if row.starts_with(expected.as_str()) => {}
            row => offences.push(format!("expected {expected}, found {}", row.unwrap_or(&"nothing"))),
        }
    }
    offences.extend(rows.iter().skip(expected.len()).map(|row| format!("one too many: {row}")));
    hold(
        "README's table says of each directive of CoreDNS whether it is here, and what SPEC says it does",
        offences,
    );
}

#[test]
fn metrics_of_plugins_are_in_the_list_and_claimed_once() {
    let known: Vec<&str> = waypost::metrics::names::all().map(|family| family.name()).collect();
    let mut claimed = BTreeMap::new();
    let mut offences = Vec::new();
    for spec in ORDER {
        for metric in spec.metrics {
            if !known.contains(metric) {
                offences.push(format!("{}: {metric} is not in src/metrics/names.rs", spec.name));
            }
            if let Some(other) = claimed.insert(*metric, spec.name) {
                offences.push(format!("{metric}: is claimed by {other} and by {}", spec.name));
            }
        }
    }
    hold("a metric that a plugin fills is one of src/metrics/names.rs, and that plugin's alone", offences);
}

#[test]
fn links_lead_somewhere() {
    let mut offences = Vec::new();
    for page in files("", &[".md"]) {
        let folder = root().join(&page.path);
        let folder = folder.parent().unwrap_or(root());
        for (i, line) in page.text.lines().enumerate() {
            for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                let target = target.split('#').next().unwrap_or_default();
                let elsewhere = target.is_empty() || target.contains(':') || target.contains(' ');
                if !elsewhere && !folder.join(target).exists() {
                    offences.push(format!("{}:{}: {target}", page.path, i + 1));
                }
            }
        }
    }
    hold("a link of a page leads to a file of the repository", offences);
}

/// A test is named in a page as `file.rs::the_test`, with the file's path from the root.
#[test]
fn tests_that_pages_name_exist() {
    let sources = rust_files();
    let mut named = 0;
    let mut offences = Vec::new();
    for page in ["ARCHITECTURE.md", "README.md", "CONTRIBUTING.md", "SECURITY.md"] {
        let text = read(page);
        for code in text.split('`').skip(1).step_by(2) {
            let Some((path, test)) = code.split_once(".rs::") else { continue };
            named += 1;
            let path = format!("{path}.rs");
            let there = sources.iter().find(|file| file.path == path).is_some_and(|file| {
                let tokens = file.tokens();
                tokens.windows(2).any(|pair| {
                    pair[0].kind == Kind::Word("fn".to_owned()) && pair[1].kind == Kind::Word(test.to_owned())
                })
            });
            if !there {
                offences.push(format!("{page}: {code}"));
            }
        }
    }
    assert!(named > 0, "ARCHITECTURE.md names the tests that hold its invariants");
    hold("a page names tests that there are", offences);
}

#[test]
fn the_page_of_the_rooms_names_each_room() {
    let page = read("ARCHITECTURE.md");
    let rooms = fs::read_dir(root().join("src")).unwrap().filter_map(Result::ok);
    let missing = rooms
        .filter(|entry| entry.file_type().is_ok_and(|t| t.is_dir()))
        .map(|entry| format!("src/{}/", entry.file_name().to_string_lossy()))
        .filter(|room| !page.contains(room.as_str()))
        .collect();
    hold("ARCHITECTURE.md names each room", missing);
}
