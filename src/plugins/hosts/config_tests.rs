//! What is accepted, what is refused, and in which words.

use super::super::SPEC;
use super::super::tests::TestDir;
use super::*;
use crate::chain::{BlockSetup, testing};
use crate::config::Severity;

/// The configuration and the warnings' messages.
fn read(text: &str) -> Result<(Config, Vec<String>), Vec<Diagnostic>> {
    let (directives, _) = testing::directives(text);
    let directives: Vec<&Directive> = directives.iter().collect();
    let mut block = BlockSetup::default();
    block.root = "/srv".into();
    let zones = ["example.org.".parse().unwrap()];
    let config = Config::read(&mut Setup {
        directives: &directives,
        zones: &zones,
        addresses: &[],
        block: &mut block,
    })?;
    assert!(block.warnings.iter().all(|warning| warning.severity == Severity::Warning));
    Ok((config, block.warnings.into_iter().map(|warning| warning.message).collect()))
}

fn accepted(text: &str) -> Config {
    let (config, warnings) = read(text).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    config
}

fn shown(names: &[Name]) -> String {
    names.iter().map(Name::to_string).collect::<Vec<_>>().join(" ")
}

#[test]
fn nothing_said_means_coredns_s_defaults() {
    let config = accepted("hosts");
    assert_eq!(config.path, Path::new("/etc/hosts"));
    assert_eq!(shown(&config.zones.unwrap()), "example.org.");
    assert_eq!((config.ttl, config.reload), (3600, Duration::from_secs(5)));
    assert!(config.reverse && !config.fallthrough_unsupported && config.fallthrough.is_empty());
    assert!(config.file.is_none() && config.inline.is_empty());
}

#[test]
fn everything_can_be_said() {
    let config = accepted(
        "hosts ./some/file example.org a.example.com 10.0.0.0/23 {\n 10.0.0.1 example.org # c\n ttl +60\n reload 1m30s\n \
         no_reverse\n fallthrough_unsupported\n ::1%lo example.org \"a.example.com\"\n fallthrough Example.NET tls://x:53\n ttl 65535\n}",
    );
    assert_eq!(config.path, Path::new("/srv/some/file"));
    assert_eq!(
        shown(&config.zones.unwrap()),
        "example.org. a.example.com. 0.0.10.in-addr.arpa. 1.0.10.in-addr.arpa."
    );
    assert_eq!((config.ttl, config.reload), (65_535, Duration::from_secs(90)));
    assert!(!config.reverse && config.fallthrough_unsupported);
    assert_eq!(shown(&config.fallthrough), "example.net. x.");
    assert_eq!(config.inline, "10.0.0.1 example.org\n::1%lo example.org a.example.com\n");
    assert_eq!(accepted("hosts {\n fallthrough\n fallthrough a\n}").fallthrough.len(), 1);
    assert_eq!(shown(&accepted("hosts {\n fallthrough\n}").fallthrough), ".");
    assert!(accepted("hosts /f a .").zones.is_none());
    assert_eq!(accepted("hosts /f").path, Path::new("/f"));
    assert!(accepted("hosts {\n reload 0\n}").reload.is_zero());
    assert_eq!(accepted("hosts {\n no_reverse 10.0.0.1 a.example.org\n}").inline, "10.0.0.1 a.example.org\n");
}

#[test]
fn what_is_wrong_is_said_in_coredns_s_words() {
    let at =
        |line: u32, message: &str| format!("plugin/hosts: Corefile:{line} - Error during parsing: {message}");
    for (options, want) in [
        ("ttl", at(2, "ttl needs a time in second")),
        ("ttl x", at(2, "ttl needs a number of second")),
        ("ttl 60s", at(2, "ttl needs a number of second")),
        ("ttl 99999999999999999999", at(2, "ttl needs a number of second")),
        ("ttl 0", at(2, "ttl provided is invalid")),
        ("ttl -1", at(2, "ttl provided is invalid")),
        ("ttl 65536", at(2, "ttl provided is invalid")),
        ("ttl 4294967297", at(2, "ttl provided is invalid")),
        ("reload", at(2, "reload needs a duration (zero seconds to disable)")),
        ("reload 5s 6s", at(2, "reload needs a duration (zero seconds to disable)")),
        ("reload 5", at(2, "invalid duration for reload '5'")),
        ("reload -5s", at(2, "invalid negative duration for reload '-5s'")),
        ("fallthrough\n10.0.0.1 a", at(3, "unknown property '10.0.0.1'")),
        ("fallthrough\nfoo", at(3, "unknown property 'foo'")),
        ("fallthrough\nno_reverse foo", at(3, "unknown property 'foo'")),
        ("fallthrough_unsupported", at(3, "fallthrough_unsupported requires fallthrough")),
        (
            "fallthrough\nfallthrough_unsupported a",
            at(3, "Wrong argument count or unexpected line ending after 'a'"),
        ),
        (
            "ttl 0\nreload 5",
            format!("{}\n{}", at(2, "ttl provided is invalid"), at(3, "invalid duration for reload '5'")),
        ),
    ] {
        let found = testing::build(&SPEC, &format!("hosts {{\n{options}\n}}"));
        assert_eq!(found.err(), Some(want), "{options}");
    }
    let twice = testing::build(&SPEC, "hosts\nhosts");
    assert_eq!(twice.err(), Some("plugin/hosts: this plugin can only be used once per Server Block".into()));
    assert!(read("hosts {\n 10.0.0.1 a {\n }\n}").is_err());
}

#[test]
fn what_is_accepted_but_not_meant_is_warned_of() {
    for (text, want) in [
        (
            "hosts {\n 10.0.0.1 other.net\n}",
            "'other.net' is outside the zones of this directive and is ignored",
        ),
        ("hosts {\n ttl 60 70\n}", "ttl takes one number; what follows is ignored"),
    ] {
        let (_, warnings) = read(text).unwrap();
        assert_eq!(warnings.first().map(String::as_str), Some(want), "{text}");
    }
    let (config, warnings) = read("hosts /f a..b c {\n fallthrough a..b\n}").unwrap();
    assert_eq!((shown(&config.zones.unwrap()), config.fallthrough.len()), ("c.".into(), 0));
    assert_eq!(warnings.len(), 2);
    let (config, _) = read("hosts /f a..b").unwrap();
    assert_eq!(config.zones, Some(vec![]));
}

#[test]
fn only_a_path_that_leads_nowhere_is_an_error() {
    let dir = TestDir::new();
    let file = dir.write("file", "");
    let build = |path: &Path| testing::build(&SPEC, &format!("hosts {}", path.display())).map(|_| ()).err();
    assert_eq!(build(&file), None);
    assert_eq!(build(&dir.path("missing")), None);
    assert_eq!(build(&dir.path(".")), None);
    let through_file = file.join("below");
    let want = format!(
        "plugin/hosts: Corefile:1 - Error during parsing: unable to access hosts file '{0}': stat {0}: not a directory",
        through_file.display()
    );
    assert_eq!(build(&through_file), Some(want));
}
