//! Tests of the rules and of whole lines.

use super::*;
use crate::chain::testing::{self, Answering};
use crate::chain::{Failure, Metadata, MetadataSource, Transport, driver};
use crate::config::Directive;
use crate::wire::{Class, Flags, Rcode, Rtype, Section, header};

/// The plugin as these directives make it, and the warnings.
fn log(text: &str) -> (Arc<Log>, Vec<String>) {
    let (directives, sources) = testing::directives(text);
    let directives: Vec<&Directive> = directives.iter().collect();
    let mut block = crate::chain::BlockSetup::default();
    let mut setup =
        crate::chain::Setup { directives: &directives, zones: &[], addresses: &[], block: &mut block };
    let log = config::configure(&mut setup).expect("directives without errors");
    let warnings = block.warnings.iter().map(|warning| warning.headline(&sources));
    (Arc::new(log), warnings.collect())
}

type Neighbour = fn(&mut Query, &mut Response) -> Step;

/// What `text` logs when `neighbour` answers `query`.
fn line_of(text: &str, mut query: Query, neighbour: Neighbour) -> Option<String> {
    let (log, _) = log(text);
    let plugin: Arc<dyn Plugin> = Arc::clone(&log) as _;
    let block = testing::block(vec![("log", plugin), ("neighbour", Arc::new(Answering(neighbour)))]);
    let response = testing::ask(&block, &mut query);
    line_after(&log, &mut query, &response)
}

/// The line of a query that came back up.
fn line_after(log: &Log, query: &mut Query, response: &Response) -> Option<String> {
    let rule = log.rule(query)?;
    assert_ne!(query.mark(log.mark), UNCOVERED);
    rule.takes(query, response).then(|| {
        let mut line = Vec::new();
        log.push(rule, query, response, &mut line);
        String::from_utf8(line).expect("a line is text")
    })
}

fn positive(query: &mut Query, response: &mut Response) -> Step {
    response.start(query, true, Rcode::NOERROR);
    response.push(Section::Answer, None, Rtype::A, Class::IN, 60, &[192, 0, 2, 1]);
    Step::Respond
}

fn nxdomain(query: &mut Query, response: &mut Response) -> Step {
    response.start(query, true, Rcode::NXDOMAIN);
    Step::Respond
}

fn nodata(query: &mut Query, response: &mut Response) -> Step {
    response.start(query, true, Rcode::NOERROR);
    response.push(Section::Authority, None, Rtype::SOA, Class::IN, 60, &[0; 22]);
    Step::Respond
}

fn failure(_: &mut Query, _: &mut Response) -> Step {
    Step::Fail(Rcode::SERVFAIL, Some(Failure::new("on purpose")))
}

fn silence(_: &mut Query, _: &mut Response) -> Step {
    Step::Drop
}

/// A line without the time it took, which ends it.
fn timeless(line: Option<String>) -> String {
    let line = line.expect("a line");
    let (line, duration) = line.rsplit_once(' ').expect("words");
    let seconds: f64 = duration.strip_suffix('s').expect("a unit").parse().expect("a number");
    assert!((0.0..60.0).contains(&seconds), "{duration}");
    line.to_owned()
}

#[test]
fn the_common_format_is_that_of_coredns() {
    let check = |query, neighbour, want: &str| assert_eq!(timeless(line_of("log", query, neighbour)), want);
    check(
        testing::query("A.example.ORG", Rtype::A),
        positive,
        r#"[INFO] 127.0.0.1:40212 - 4660 "A IN a.example.org. udp 31 false 512" NOERROR qr,aa,rd 60"#,
    );
    check(
        testing::query_of(&testing::query_wire("example.org", Rtype(65280), Some((1232, true)))),
        failure,
        r#"[INFO] 127.0.0.1:40212 - 4660 "TYPE65280 IN example.org. udp 40 true 1232" SERVFAIL qr,rd 29"#,
    );
    check(
        testing::query_of(&testing::query_wire(".", Rtype::NS, Some((100, false)))),
        silence,
        r#"[INFO] 127.0.0.1:40212 - 4660 "NS IN . udp 28 false 512" - - 0"#,
    );
    let mut over_tcp = testing::query(r"x", Rtype::AAAA);
    over_tcp.transport = Transport::Tcp;
    over_tcp.peer = "[2001:db8::1]:65535".parse().unwrap();
    check(
        over_tcp,
        nxdomain,
        r#"[INFO] [2001:db8::1]:65535 - 4660 "AAAA IN x. tcp 19 false 65535" NXDOMAIN qr,aa,rd 19"#,
    );
}

#[test]
fn an_answer_that_will_be_cut_is_logged_with_tc_and_its_whole_size() {
    // As sent 12 + 7 + 16 for each record, and 11 of the OPT record: 30 records fit into 512 bytes, 31 do not.
    fn answer(query: &mut Query, response: &mut Response, records: u8) -> Step {
        response.start(query, true, Rcode::NOERROR);
        for i in 0..records {
            response.push(Section::Answer, None, Rtype::A, Class::IN, 60, &[192, 0, 2, i]);
        }
        Step::Respond
    }
    let check = |query, neighbour, want: &str| {
        let line = line_of("log . \"{>bufsize} {>rflags} {rsize}\"", query, neighbour);
        assert_eq!(line.unwrap(), format!("[INFO] {want}"));
    };
    let fits: Neighbour = |query, response| answer(query, response, 30);
    let is_cut: Neighbour = |query, response| answer(query, response, 31);
    let query = |size| testing::query_of(&testing::query_wire("a", Rtype::A, size));
    check(query(None), fits, "512 qr,aa,rd 529");
    check(query(Some((512, false))), fits, "512 qr,aa,rd 529");
    check(query(None), is_cut, "512 qr,aa,tc,rd 546");
    check(query(Some((512, false))), is_cut, "512 qr,aa,tc,rd 546");
    check(query(Some((1232, false))), is_cut, "1232 qr,aa,rd 546");
    let mut over_tcp = query(None);
    over_tcp.transport = Transport::Tcp;
    check(over_tcp, is_cut, "65535 qr,aa,rd 546");
}

#[test]
fn a_class_that_shares_its_name_with_a_type_is_shown_by_number() {
    for (class, want) in
        [(Class::IN, "IN"), (Class::CH, "CH"), (Class::NONE, "NONE"), (Class::ANY, "CLASS255")]
    {
        let mut wire = testing::query_wire("a", Rtype::A, None);
        let at = wire.len() - 2;
        wire[at..].copy_from_slice(&class.0.to_be_bytes());
        let line = line_of("log . \"{class}\"", testing::query_of(&wire), nodata);
        assert_eq!(line.unwrap(), format!("[INFO] {want}"));
    }
}

#[test]
fn every_placeholder_has_its_value() {
    let check = |format: &str, want: &str| {
        let line = line_of(&format!("log . \"{format}\""), testing::query("a", Rtype::MX), nodata);
        assert_eq!(line.as_deref(), Some(format!("[INFO] {want}").as_str()));
    };
    check("{type}|{class}|{name}|{proto}|{size}", "MX|IN|a.|udp|19");
    check("{remote}|{port}|{local}", "127.0.0.1|40212|127.0.0.1");
    check("{>id}|{>opcode}|{>do}|{>bufsize}", "4660|0|false|512");
    check("{rcode}|{>rflags}|{rsize}", "NOERROR|qr,aa,rd|54");
    check("{x}|{Name}|{/no/label}|{", "{x}|{Name}|-|{");
}

#[test]
fn the_size_of_a_query_ends_with_its_last_record() {
    let mut wire = testing::query_wire("example.org", Rtype::A, Some((1232, false)));
    let whole = wire.len();
    wire.extend_from_slice(b"behind the message");
    let check = |wire: &[u8], want: usize| {
        let line = line_of("log . \"{size}{name}\"", testing::query_of(wire), positive);
        assert_eq!(line.unwrap(), format!("[INFO] {want}example.org."));
    };
    check(&wire, whole);
    // A second record in the additional section, whose owner is compressed: names count in full.
    let mut two = testing::query_wire("example.org", Rtype::A, None);
    let question_end = two.len();
    crate::wire::compose::record(&mut two, b"\xC0\x0C", Rtype::A, Class::IN, 0, &[1, 2, 3, 4]);
    header::set_count(&mut two, 3, 1);
    check(&two, question_end + 13 + 14);
}

#[test]
fn names_decide_which_rule_counts() {
    let text = "log example.org \"one {name}\" {\n class error\n}\nlog org b. \"two {name}\"\n";
    let check = |name: &str, want: Option<&str>| {
        assert_eq!(line_of(text, testing::query(name, Rtype::A), positive).as_deref(), want, "{name}");
    };
    check("www.Example.org", None); // the first rule counts, and does not log successes
    check("other.org", Some("[INFO] two other.org."));
    check("x.b", Some("[INFO] two x.b."));
    check("example.com", None);
    check("notexample.org", Some("[INFO] two notexample.org."));
}

#[test]
fn a_single_argument_is_a_name() {
    for text in ["log \"{remote}\"", "log stdout", "log {\n class success error\n}", "log example.org"] {
        let (_, warnings) = log(text);
        let line = line_of(text, testing::query("example.org", Rtype::A), positive);
        let is_name = text == "log \"{remote}\"" || text == "log stdout";
        assert_eq!(line.is_none(), is_name, "{text}");
        assert_eq!(warnings.len(), usize::from(is_name), "{warnings:?}");
    }
    let (_, warnings) = log("log stdout");
    assert_eq!(
        warnings,
        ["Corefile:1 - Warning: a single argument is a name: only queries below 'stdout' are logged"]
    );
    // Without a brace the last argument is a name too.
    assert_eq!(log("log a b").0.rules.len(), 2);
    assert!(line_of("log \"\"", testing::query("example.org", Rtype::A), positive).is_some());
}

#[test]
fn classes_are_those_of_coredns() {
    let check = |classes: &str, neighbour: Neighbour, logged: bool| {
        let text = format!("log . \"{{name}}\" {{\n{classes}\n}}\n");
        let line = line_of(&text, testing::query("a", Rtype::A), neighbour);
        assert_eq!(line.is_some(), logged, "{classes}");
    };
    check("class success", positive, true);
    check("class denial", positive, false);
    check("class error", positive, false);
    check("class denial", nxdomain, true);
    check("class denial", nodata, true);
    check("class success", nodata, false);
    check("class error", failure, true);
    check("class error", silence, true);
    check("class success denial", failure, false);
    check("class success\nclass error", failure, true);
    check("class success error denial", nodata, true);
    check("class denial all", positive, true);
    check("", positive, true);
}

#[test]
fn the_class_of_signed_answers_depends_on_their_time() {
    fn expired(query: &mut Query, response: &mut Response) -> Step {
        response.start(query, true, Rcode::NOERROR);
        response.push(Section::Answer, None, Rtype::RRSIG, Class::IN, 60, &[0; 19]);
        response.push_option(3, b"an OPT record came with it");
        Step::Respond
    }
    let text = "log . \"{name}\" {\n class error\n}";
    let asked = |dnssec_ok| testing::query_of(&testing::query_wire("a", Rtype::A, Some((1232, dnssec_ok))));
    assert!(line_of(text, asked(true), expired).is_some());
    assert!(line_of(text, asked(false), expired).is_none());
}

#[test]
fn notices_and_transfers_are_errors_to_log() {
    let check = |query: Query, neighbour, want: &str| {
        let block_labels = labels_after(query, neighbour);
        assert_eq!(block_labels, want);
    };
    check(testing::query("a", Rtype::AXFR), positive, "META error");
    check(testing::query("a", Rtype::IXFR), failure, "META error");
    let mut notify = testing::query_wire("a", Rtype::SOA, None);
    Flags(0x2000).write(&mut notify);
    check(testing::query_of(&notify), positive, "META error");
    check(testing::query("a", Rtype::A), positive, "NOERROR success");
    check(testing::query("a", Rtype::A), nodata, "NODATA denial");
    check(testing::query("a", Rtype::A), nxdomain, "NXDOMAIN denial");
    check(testing::query("a", Rtype::A), failure, "SERVERERROR error");
    check(testing::query("a", Rtype::A), silence, "OTHERERROR error");
}

/// The labels that `log` sets where labels are collected.
fn labels_after(mut query: Query, neighbour: Neighbour) -> String {
    struct Known;
    impl MetadataSource for Known {
        fn collect(&self, _: &Query, labels: &mut Metadata) {
            labels.set("view/name", "inside".to_owned());
        }
    }
    let (log, _) = log("log . \"{/log/type} {/log/class} {/view/name} {/x}\"");
    let mut builder = crate::chain::BlockBuilder::default();
    builder.collect_metadata(vec![Name::root()], vec![Arc::new(Known)]);
    builder.push("log", Arc::clone(&log) as _);
    builder.push("neighbour", Arc::new(Answering(neighbour)));
    let block = Arc::new(builder.build());
    let router = testing::router(&block);
    let mut response = Response::default();
    assert!(crate::chain::Router::find(&router, &mut query).is_some());
    assert!(driver::run(&router, &block, 0, &mut query, &mut response).is_none());
    let line = line_after(&log, &mut query, &response).expect("a line");
    let labels = line.strip_prefix("[INFO] ").and_then(|l| l.strip_suffix(" inside -"));
    labels.expect("labels of other plugins, and none").to_owned()
}

#[test]
fn time_is_counted_from_log_to_log() {
    let later: Neighbour = |query, response| {
        clock::advance(std::time::Duration::from_secs(1000));
        positive(query, response)
    };
    let line = line_of("log . {duration}", testing::query("a", Rtype::A), later).unwrap();
    assert!(line.starts_with("[INFO] 1000.0") && line.ends_with('s'), "{line}");
}

#[test]
fn names_that_no_rule_covers_cost_no_line() {
    let (log, _) = log("log example.org");
    let block = testing::block(vec![("log", Arc::clone(&log) as _), ("a", testing::address(60))]);
    let mut query = testing::query("example.com", Rtype::A);
    query.set_mark(log.mark, 7);
    testing::ask(&block, &mut query);
    assert_eq!(query.mark(log.mark), UNCOVERED);
}

#[test]
fn errors_are_those_of_coredns() {
    let check = |text: &str, want: &str| assert_eq!(testing::build(&SPEC, text).err().as_deref(), Some(want));
    check("log . {\n class foo\n}", "plugin/log: invalid Class: foo");
    check("log . {\n class Denial\n}", "plugin/log: invalid Class: Denial");
    check(
        "log . {\n class\n}",
        "plugin/log: Corefile:2 - Error during parsing: Wrong argument count or unexpected line ending after 'class'",
    );
    check(
        "log {\n class all\n unknown\n class x\n}",
        "plugin/log: Corefile:3 - Error during parsing: unknown property 'unknown'\nplugin/log: invalid Class: x",
    );
}

#[test]
fn what_is_hardly_meant_is_warned_about() {
    let check = |text: &str, want: &[&str]| assert_eq!(log(text).1, want, "{text}");
    check(
        "log\nerrors",
        &["Corefile:2 - Warning: this rule for '.' is never used: an earlier one covers all its names"],
    );
    check(
        "log . \"{nmae}\"",
        &["Corefile:1 - Warning: '{nmae}' is no placeholder: it is logged as it stands"],
    );
    check(
        "log a..b . {common}",
        &["Corefile:1 - Warning: 'a..b' is no domain name: no query is logged for it"],
    );
    check("log . {combined}", &[]);
}
