//! The directive, and what the plugin does with queries before and behind the zones.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::*;
use crate::chain::testing::{self, Unreachable};
use crate::chain::{Block, BlockBuilder, BlockSetup, Router, State, driver};
use crate::config::Directive;
use crate::wire::{Record, Section, record};

/// A directory that goes with the test.
struct TestDir(PathBuf);

impl TestDir {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("waypost-file-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// One with these files.
    fn with(files: &[(&str, &str)]) -> Self {
        let dir = Self::new();
        for (name, text) in files {
            std::fs::write(dir.0.join(name), text).unwrap();
        }
        dir
    }

    fn setup(&self) -> BlockSetup {
        let mut setup = BlockSetup::default();
        setup.root.clone_from(&self.0);
        setup
    }

    /// What comes of `text` in a block of `zones` with this directory as its root.
    fn build(&self, zones: &[&str], text: &str) -> Result<(Built, BlockSetup), String> {
        let zones: Vec<Name> = zones.iter().map(|zone| zone.parse().unwrap()).collect();
        testing::build_in(&SPEC, &zones, self.setup(), text)
    }

    /// A block with the plugin of `text`, then `next`.
    fn block(&self, zones: &[&str], text: &str, next: Option<Arc<dyn Plugin>>) -> Arc<Block> {
        let (mut built, setup) = self.build(zones, text).unwrap();
        let warnings: Vec<&str> = setup.warnings.iter().map(|warning| warning.message.as_str()).collect();
        assert!(warnings.is_empty(), "{warnings:?}");
        let mut chain = vec![("file", built.remove(0))];
        chain.extend(next.map(|next| ("next", next)));
        testing::block(chain)
    }
}

impl Drop for TestDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A zone without names of its own in full.
const ZONE: &str = "\
$TTL 60
@      SOA ns host 7 1h 1h 1h 30
@      NS  ns
ns     A   192.0.2.1
www    A   192.0.2.2
a.ent  A   192.0.2.3
*.wild A   192.0.2.4
alias  CNAME other.test.
inner  CNAME nothing
child  CNAME a.child2
";

/// What is answered in short: `next`, the code of a failure, or code, flag and the answer section's addresses and names, then the type of the
/// authority section.
fn shown(response: &Response) -> String {
    match response.state() {
        State::Failed(rcode) => return format!("failed {rcode}"),
        State::Written => {}
        State::Dropped => return "dropped".into(),
        State::Empty => return "empty".into(),
    }
    let wire = response.wire();
    assert_eq!(response.uncompressed_size(), crate::wire::size::uncompressed(wire).unwrap());
    let mut words = vec![response.rcode().unwrap().to_string()];
    for record in record::records(wire).map(Result::unwrap) {
        let record: Record = record;
        words.push(match (record.section, record.rtype) {
            (Section::Answer, Rtype::A) => format!("{:?}", record.rdata(wire)[3]),
            (Section::Answer, Rtype::CNAME) => Name::parse(wire, record.rdata).unwrap().0.to_string(),
            (_, rtype) => rtype.to_string(),
        });
    }
    words.join(" ")
}

fn ask(block: &Arc<Block>, name: &str, qtype: Rtype) -> String {
    shown(&testing::ask(block, &mut testing::query(name, qtype)))
}

fn next() -> Option<Arc<dyn Plugin>> {
    Some(testing::failing(Rcode::NOTIMP, "next"))
}

const NEXT: &str = "failed NOTIMP";

fn read(text: &str) -> Config {
    let (directives, _) = testing::directives(text);
    let directives: Vec<&Directive> = directives.iter().collect();
    let mut block = BlockSetup::default();
    block.root = "/srv".into();
    let zones = ["example.org.".parse().unwrap()];
    let mut setup = Setup { directives: &directives, zones: &zones, addresses: &[], block: &mut block };
    Config::read(&mut setup).unwrap()
}

fn names(names: &[Name]) -> String {
    names.iter().map(Name::to_string).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_directive_says_file_zones_and_how_it_is_kept_fresh() {
    let config = read("file db example.org");
    let [file] = &config.files[..] else { panic!("one file") };
    assert_eq!((file.path.to_str(), names(&file.origins).as_str()), (Some("/srv/db"), "example.org."));
    assert_eq!((file.reload, file.by_mtime, config.fallthrough.len()), (Duration::from_secs(60), false, 0));
    let config = read(
        "file /db Example.NET 10.0.0.0/24 {\n reload 1m30s\n reload_by_mtime\n upstream 192.0.2.1\n fallthrough a b\n}",
    );
    let [file] = &config.files[..] else { panic!("one file") };
    assert_eq!(file.path.to_str(), Some("/db"));
    assert_eq!(names(&file.origins), "example.net. 0.0.10.in-addr.arpa.");
    assert_eq!((file.reload, file.by_mtime), (Duration::from_secs(90), true));
    assert_eq!(names(&config.fallthrough), "a. b.");
    assert_eq!(names(&read("file db {\n fallthrough\n}").fallthrough), ".");
}

#[test]
fn what_one_directive_sets_holds_for_those_behind_it() {
    let config = read(
        "file a\nfile b {\n reload 5s\n reload_by_mtime\n fallthrough x\n}\nfile c {\n fallthrough y\n}\nfile d {\n reload 0\n}",
    );
    let kept: Vec<(u64, bool)> = config.files.iter().map(|f| (f.reload.as_secs(), f.by_mtime)).collect();
    assert_eq!(kept, [(60, false), (5, true), (5, true), (0, true)]);
    assert_eq!(names(&config.fallthrough), "y.");
}

#[test]
fn what_is_wrong_is_said_in_coredns_s_words() {
    let dir = TestDir::with(&[("ok", ZONE), ("bad", "@ 1 SOA a b 1 1 1 1 1\nx Q\n\ny A z\n"), ("none", "")]);
    let at = |line: u32, what: &str| format!("plugin/file: Corefile:{line} - Error during parsing: {what}");
    let of = |file: &str| dir.0.join(file).display().to_string();
    let parse = |file: &str, what: &str| {
        format!("plugin/file: failed to parse file \"{}\" for origin z.test. with error {what}", of(file))
    };
    for (text, want) in [
        ("file", at(1, "Wrong argument count or unexpected line ending after 'file'")),
        ("file ok {\n reload\n}", "plugin/file: reload duration value is expected".into()),
        ("file ok {\n reload x\n}", "plugin/file: plugin/file: time: invalid duration \"x\"".into()),
        ("file ok {\n reload 5\n}", "plugin/file: plugin/file: time: missing unit in duration \"5\"".into()),
        ("file ok {\n reload -1s\n}", at(2, "reload cannot be negative: '-1s'")),
        (
            "file ok {\n\n reload_by_mtime x\n}",
            at(3, "Wrong argument count or unexpected line ending after 'x'"),
        ),
        (
            "file ok {\n foo\n bar\n}",
            format!("{}\n{}", at(2, "unknown property 'foo'"), at(3, "unknown property 'bar'")),
        ),
        ("file ok {\n reload 5s {\n }\n}", at(2, "Unexpected token '{', expecting argument")),
        (
            "file nosuch {\n reload 0\n}",
            format!("plugin/file: plugin/file: open {}: no such file or directory", of("nosuch")),
        ),
        ("file none", format!("plugin/file: file \"{}\" has no SOA record for origin z.test.", of("none"))),
        (
            "file bad",
            format!(
                "{}\n{}",
                parse("bad", &format!("{}:2:3: expected a record type, not 'Q'", of("bad"))),
                parse("bad", &format!("{}:4:5: A: expected an IPv4 address, not 'z'", of("bad"))),
            ),
        ),
        ("file .", parse("", "is a directory").replace("/\"", "\"")),
    ] {
        assert_eq!(dir.build(&["z.test"], text).err(), Some(want), "{text}");
    }
}

#[test]
fn the_line_of_a_mistake_is_shown() {
    let dir = TestDir::with(&[("bad", "@ 1 SOA a b 1 1 1 1 1\nx Q ; why\n")]);
    let (directives, _) = testing::directives("file bad z.test");
    let directives: Vec<&Directive> = directives.iter().collect();
    let (zones, mut block) = (["z.test".parse().unwrap()], dir.setup());
    let mut setup = Setup { directives: &directives, zones: &zones, addresses: &[], block: &mut block };
    let Err(errors) = build(&mut setup) else { panic!("the file has a mistake") };
    assert_eq!(errors[0].help, ["the line is: x Q ; why"]);
}

#[test]
fn a_file_that_is_missing_is_waited_for_and_hurts_no_other() {
    let dir = TestDir::with(&[("ok", ZONE)]);
    let (mut built, setup) = dir.build(&["."], "file nosuch a {\n reload 90s\n}\nfile ok b").unwrap();
    let path = dir.0.join("nosuch").display().to_string();
    let want = format!("Failed to open \"open {path}: no such file or directory\": trying again in 1m30s");
    assert_eq!(setup.warnings.len(), 1);
    assert_eq!(setup.warnings[0].message, want);
    assert_eq!(setup.background.len(), 2);
    let block = testing::block(vec![("file", built.remove(0)), ("next", Arc::new(Unreachable))]);
    assert_eq!(ask(&block, "www.a", Rtype::A), "failed SERVFAIL");
    assert_eq!(ask(&block, "www.b", Rtype::A), "NOERROR 2 NS");
}

#[test]
fn without_reload_nobody_looks_at_the_file_again() {
    let dir = TestDir::with(&[("ok", ZONE)]);
    assert!(dir.build(&["."], "file ok a {\n reload 0\n}").unwrap().1.background.is_empty());
}

#[test]
fn one_file_serves_several_zones_and_the_longest_answers() {
    let dir = TestDir::with(&[("db", ZONE), ("deep", "@ 60 SOA ns host 1 1 1 1 1\nwww 60 A 192.0.2.99\n")]);
    let text = "file db\nfile deep www.b.test sub.a.test";
    let block = dir.block(&["a.test", "b.test"], text, next());
    assert_eq!(ask(&block, "www.a.test", Rtype::A), "NOERROR 2 NS");
    assert_eq!(ask(&block, "WWW.Sub.a.test", Rtype::A), "NOERROR 99");
    assert_eq!(ask(&block, "www.www.b.test", Rtype::A), "NOERROR 99");
    assert_eq!(ask(&block, "www.b.test", Rtype::A), "NOERROR SOA");
    assert_eq!(ask(&block, "c.test", Rtype::A), NEXT);
}

#[test]
fn of_two_files_for_a_zone_the_last_is_served_with_a_warning() {
    let dir = TestDir::with(&[("db", ZONE), ("other", "@ 60 SOA ns host 1 1 1 1 1\nwww 60 A 192.0.2.99\n")]);
    let (mut built, setup) = dir.build(&["a.test"], "file db\nfile other").unwrap();
    assert_eq!(setup.warnings[0].message, "zone a.test. has a file already; this one is served");
    assert_eq!(ask(&testing::block(vec![("file", built.remove(0))]), "www.a.test", Rtype::A), "NOERROR 99");
}

#[test]
fn names_that_are_not_there_are_handed_on_if_the_configuration_says_so() {
    let dir = TestDir::with(&[("db", ZONE)]);
    let block = dir.block(&["a.test"], "file db", Some(Arc::new(Unreachable)));
    assert_eq!(ask(&block, "no.a.test", Rtype::A), "NXDOMAIN SOA");
    assert_eq!(ask(&block, "ent.a.test", Rtype::A), "NOERROR SOA");
    let block = dir.block(&["a.test"], "file db {\n fallthrough\n}", next());
    for (name, qtype, want) in [
        ("no.a.test", Rtype::A, NEXT),
        ("ent.a.test", Rtype::A, NEXT),
        ("www.a.test", Rtype::A, "NOERROR 2 NS"),
        // The name is there, and has no such record.
        ("www.a.test", Rtype::TXT, "NOERROR SOA"),
        ("x.wild.a.test", Rtype::TXT, "NOERROR SOA"),
    ] {
        assert_eq!(ask(&block, name, qtype), want, "{name} {qtype}");
    }
    let some = dir.block(&["a.test"], "file db {\n fallthrough x.a.test\n}", next());
    assert_eq!(ask(&some, "no.a.test", Rtype::A), "NXDOMAIN SOA");
    assert_eq!(ask(&some, "no.x.a.test", Rtype::A), NEXT);
}

#[test]
fn what_is_no_question_for_a_zone_is_refused_dropped_or_handed_on() {
    let dir = TestDir::with(&[("db", ZONE)]);
    let block = dir.block(&["a.test"], "file db {\n fallthrough\n}", next());
    for qtype in [Rtype::AXFR, Rtype::IXFR] {
        assert_eq!(ask(&block, "a.test", qtype), "failed REFUSED");
        assert_eq!(ask(&block, "b.test", qtype), NEXT);
    }
    let mut notify = testing::query_wire("a.test", Rtype::SOA, None);
    notify[2] |= 4 << 3;
    assert_eq!(shown(&testing::ask(&block, &mut testing::query_of(&notify))), "dropped");
    let mut chaos = testing::query_wire("www.a.test", Rtype::A, None);
    let class = chaos.len() - 1;
    chaos[class] = 3;
    assert_eq!(shown(&testing::ask(&block, &mut testing::query_of(&chaos))), NEXT);
}

#[test]
fn without_a_next_plugin_other_names_are_refused() {
    let dir = TestDir::with(&[("db", ZONE)]);
    let block = dir.block(&["a.test"], "file db", None);
    assert_eq!(ask(&block, "b.test", Rtype::A), "failed REFUSED");
}

#[test]
fn metadata_name_the_wildcard_that_was_used() {
    let dir = TestDir::with(&[("db", ZONE)]);
    let mut builder = BlockBuilder::default();
    builder.push("file", dir.build(&["a.test"], "file db").unwrap().0.remove(0));
    builder.collect_metadata(vec![Name::root()], Vec::new());
    let router = testing::router(&Arc::new(builder.build()));
    for (name, want) in [("X.wild.a.test", Some("*.wild.a.test.")), ("www.a.test", None), ("no.a.test", None)]
    {
        let mut query = testing::query(name, Rtype::A);
        let block = Router::route(&router, &mut query).unwrap();
        assert!(driver::run(&router, &block, 0, &mut query, &mut Response::default()).is_none());
        assert_eq!(query.metadata().unwrap().get("zone/wildcard"), want, "{name}");
    }
}

/// Asks for `name` in a server where a neighbour's block answers for `zone`.
async fn ask_beside(dir: &TestDir, zone: &str, neighbour: Arc<dyn Plugin>, name: &str) -> String {
    let block = dir.block(&["a.test"], "file db", None);
    let mut router = Router::new("dns://:53");
    router.add(&"a.test".parse().unwrap(), &block, "", None);
    router.add(&zone.parse().unwrap(), &testing::block(vec![("neighbour", neighbour)]), "", None);
    let (router, mut response) = (Arc::new(router), Response::default());
    let mut query = testing::query(name, Rtype::A);
    let block = Router::route(&router, &mut query).unwrap();
    if let Some(waiting) = driver::run(&router, &block, 0, &mut query, &mut response) {
        driver::resume(&router, block, waiting, &mut query, &mut response).await;
    }
    shown(&response)
}

/// A neighbour that answers with this code and no records.
fn saying(rcode: Rcode) -> Arc<dyn Plugin> {
    Arc::new(testing::Answering(move |query: &mut Query, response: &mut Response| {
        response.start(query, true, rcode);
        Step::Respond
    }))
}

#[tokio::test(flavor = "local")]
async fn an_alias_to_elsewhere_is_followed_through_the_server() {
    let dir = TestDir::with(&[("db", ZONE)]);
    for (neighbour, want) in [
        (testing::address(5), "NOERROR other.test. 1 NS"),
        (saying(Rcode::NXDOMAIN), "NXDOMAIN other.test. SOA"),
        (saying(Rcode::NOERROR), "NOERROR other.test. SOA"),
        (saying(Rcode::SERVFAIL), "SERVFAIL other.test. NS"),
        (testing::failing(Rcode::SERVFAIL, "why"), "SERVFAIL other.test. NS"),
        (testing::failing(Rcode::REFUSED, "why"), "NOERROR other.test. NS"),
    ] {
        assert_eq!(ask_beside(&dir, "other.test", neighbour, "alias.a.test").await, want);
    }
    // Nobody serves it.
    let unreachable = Arc::new(Unreachable);
    assert_eq!(ask_beside(&dir, "b.test", unreachable, "alias.a.test").await, "NOERROR other.test. NS");
}

/// Another block may have what the alias's own zone does not: a child that it does not delegate, say.
#[tokio::test(flavor = "local")]
async fn an_alias_to_a_name_that_the_zone_does_not_have_is_asked_of_the_server_first() {
    let dir = TestDir::with(&[("db", ZONE)]);
    let found = ask_beside(&dir, "child2.a.test", testing::address(5), "child.a.test").await;
    assert_eq!(found, "NOERROR a.child2.a.test. 1 NS");
    let unknown = ask_beside(&dir, "b.test", Arc::new(Unreachable), "inner.a.test").await;
    assert_eq!(unknown, "NXDOMAIN nothing.a.test. SOA");
}
