//! The examples of the manuals: each is a configuration that could be served.

use std::fs;
use std::path::Path;

use waypost::config::{self, Config, DNS_PORT, Input, Refused};
use waypost::instance::{LoadError, Source, plan};
use waypost::plugins::ORDER;

use crate::support::TestDir;

/// An example of a page: where it begins, the name its file gets, and its text.
struct Example {
    place: String,
    file: &'static str,
    text: String,
}

/// The fenced examples of a page that are whole configurations.
fn examples(page: &str, text: &str) -> Vec<Example> {
    let mut found: Vec<Example> = Vec::new();
    let mut inside = false;
    for (i, line) in text.lines().enumerate() {
        let file = match line.trim_start() {
            "```corefile" => Some("Corefile"),
            "```toml" => Some("waypost.toml"),
            _ => None,
        };
        if let Some(file) = file {
            found.push(Example { place: format!("{page}:{}", i + 2), file, text: String::new() });
            inside = true;
        } else if line.trim_start().starts_with("```") {
            inside = false;
        } else if let (true, Some(example)) = (inside, found.last_mut()) {
            example.text.push_str(line);
            example.text.push('\n');
        }
    }
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn pages() -> Vec<(String, String)> {
    let readme = fs::read_to_string(root().join("README.md")).expect("a page");
    let manuals = ORDER.iter().map(|spec| (spec.name.to_owned(), spec.manual.to_owned()));
    std::iter::once(("README.md".to_owned(), readme)).chain(manuals).collect()
}

/// Everything but the sockets is built, as by `waypost check`. Files that an example names may be absent.
#[test]
fn every_example_is_a_configuration() {
    let dir = TestDir::new();
    let mut offences = Vec::new();
    for (page, text) in pages() {
        let examples = examples(&page, &text);
        assert!(!examples.is_empty(), "{page} has examples");
        for example in examples {
            dir.write(example.file, &example.text);
            match plan(&Source::File(dir.path().join(example.file)), DNS_PORT) {
                Ok(_) => {}
                Err(LoadError::Refused(refused)) => offences.push(format!("{}\n{refused}", example.place)),
                Err(LoadError::Unreadable(path, error)) => {
                    offences.push(format!("{}: {error}", path.display()))
                }
            }
        }
    }
    assert!(offences.is_empty(), "examples that cannot be served:\n\n{}", offences.join("\n\n"));
}

/// The Corefile that README explains is the one that lies beside it.
#[test]
fn the_readme_explains_corefile_example() {
    let file = fs::read_to_string(root().join("Corefile.example")).expect("a file");
    let (comment, block) = file.split_once("\n\n").expect("a comment, then the block");
    assert!(comment.lines().all(|line| line.starts_with('#')));
    let readme = fs::read_to_string(root().join("README.md")).expect("a page");
    assert_eq!(examples("README.md", &readme)[0].text, block);
}

/// The Corefile of the zones that are shipped is the one that README shows, and all of them are read without a word.
#[test]
fn the_readme_shows_the_corefile_of_the_zones() {
    let path = root().join("zones/Corefile");
    let file = fs::read_to_string(&path).expect("a file");
    let (comment, blocks) = file.split_once("\n\n").expect("a comment, then the blocks");
    assert!(comment.lines().all(|line| line.starts_with('#')));
    let readme = fs::read_to_string(root().join("README.md")).expect("a page");
    assert!(examples("README.md", &readme).iter().any(|example| example.text == blocks));
    assert!(plan(&Source::File(path), DNS_PORT).is_ok());
}

/// Both forms of it in README say the same.
#[test]
fn the_toml_in_the_readme_says_the_same() {
    let readme = fs::read_to_string(root().join("README.md")).expect("a page");
    let examples = examples("README.md", &readme);
    let read = |file: &str, parse: fn(&Input<'_>) -> Result<Config, Refused>| {
        let example = examples.iter().find(|e| e.file == file).expect("both forms");
        let input = Input {
            name: file,
            text: example.text.as_bytes(),
            loader: &config::Filesystem,
            environment: &config::process_environment,
            vocabulary: None,
        };
        parse(&input).expect("a configuration").blocks.remove(0)
    };
    let corefile = read("Corefile", config::parse_corefile);
    let toml = read("waypost.toml", config::parse_toml);
    assert_eq!(corefile.keys[0].text, toml.keys[0].text);
    assert_eq!(corefile.directives.len(), toml.directives.len());
    for directive in &corefile.directives {
        assert!(toml.directives.iter().any(|d| d.same_as(directive)), "{} is the same", directive.name.text);
    }
}
