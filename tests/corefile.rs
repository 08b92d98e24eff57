//! Configurations that cannot be served: what is said of them, where, and with which exit code.

use serde_json::Value;

use crate::support::client::ask;
use crate::support::message::{addresses, query};
use crate::support::{Ended, Server};

/// Runs the server on `corefile`, and `waypost check` too, and returns what each said after looking at the exit codes.
fn refused(corefile: &str) -> [Ended; 2] {
    let run = Server::with(corefile).port(53_535).run();
    let check = checked(corefile, &[]);
    for ended in [&run, &check] {
        assert_eq!(ended.code(), 1, "{corefile}\n{ended:#?}");
    }
    [run, check]
}

fn checked(corefile: &str, flags: &[&str]) -> Ended {
    let setup = Server::with(corefile).without_port_flag().argument("check").argument("Corefile");
    flags.iter().fold(setup, |setup, flag| setup.argument(flag)).run()
}

/// What is said of `corefile`: each of `lines` is a line of its own, in this order, followed by the place, the line of the file and a caret.
fn check(corefile: &str, lines: &[(&str, &str)]) {
    for ended in refused(corefile) {
        let mut rest = ended.stderr.as_str();
        for (headline, place) in lines {
            let (line, column) = place.split_once(':').unwrap();
            let found = rest
                .find(&format!("{headline}\n  --> Corefile:{place}\n"))
                .unwrap_or_else(|| panic!("no {headline:?} at {place} in\n{}", ended.stderr));
            rest = &rest[found + headline.len()..];
            let source = corefile.lines().nth(line.parse::<usize>().unwrap() - 1).unwrap();
            let mut shown = rest.lines().skip(3);
            let (text, caret) = (shown.next().unwrap(), shown.next().unwrap());
            assert_eq!(text, format!(" {line} | {source}"));
            let before = caret.find('^').expect("a caret") - caret.find('|').unwrap() - 2;
            assert_eq!(before + 1, column.parse::<usize>().unwrap(), "{text}\n{caret}");
        }
        let count = ended.stderr.matches("\n  --> ").count() - ended.stderr.matches("   = note: ").count();
        assert_eq!(count, lines.len(), "more is said than expected:\n{}", ended.stderr);
    }
}

#[test]
fn a_directive_that_does_not_exist() {
    check(
        ". {\n    nosuch\n}\n",
        &[("Corefile:2 - Error during parsing: Unknown directive 'nosuch'", "2:5")],
    );
    // A slip is taken for one.
    let [run, _] = refused(". {\n    forwrd . 192.0.2.1\n}\n");
    assert!(run.stderr.contains("did you mean 'forward'?"), "{run:#?}");
}

#[test]
fn a_plugin_of_coredns_that_is_not_there_yet_is_refused_by_its_name() {
    check(
        ". {\n    nomad\n}\n",
        &[("Corefile:2 - Error during parsing: Directive 'nomad' is not part of waypost yet", "2:5")],
    );
}

#[test]
fn wrong_counts_of_arguments() {
    let count = |after: &str| {
        format!("Error during parsing: Wrong argument count or unexpected line ending after '{after}'")
    };
    check(". {\n forward .\n}\n", &[(&format!("plugin/forward: Corefile:2 - {}", count(".")), "2:10")]);
    check(". {\n whoami x\n}\n", &[(&format!("plugin/whoami: Corefile:2 - {}", count("x")), "2:9")]);
    check(
        ". {\n forward . 192.0.2.1 {\n  max_fails\n }\n}\n",
        &[(&format!("plugin/forward: Corefile:3 - {}", count("max_fails")), "3:3")],
    );
}

#[test]
fn bad_numbers_and_durations() {
    check(". {\n cache 0\n}\n", &[("plugin/cache: cache TTL can not be zero or negative: 0", "2:8")]);
    check(
        ". {\n hosts {\n  ttl 0\n }\n}\n",
        &[("plugin/hosts: Corefile:3 - Error during parsing: ttl provided is invalid", "3:7")],
    );
    check(
        ". {\n hosts {\n  reload 5\n }\n}\n",
        &[("plugin/hosts: Corefile:3 - Error during parsing: invalid duration for reload '5'", "3:10")],
    );
    check(
        ". {\n forward . 192.0.2.1 {\n  max_concurrent -1\n  expire 10\n }\n}\n",
        &[
            ("plugin/forward: max_concurrent can't be negative: -1", "3:18"),
            ("plugin/forward: time: missing unit in duration \"10\"", "4:10"),
        ],
    );
    check("x:99999 {\n}\n", &[("address 99999: invalid port", "1:1")]);
}

#[test]
fn braces() {
    check(
        ". {\n whoami\n",
        &[("Corefile:2 - Syntax error: Unexpected token 'whoami', expecting '}'", "2:2")],
    );
    check(
        ". {\n whoami }\n",
        &[("Corefile:2 - Error during parsing: Unexpected '}' because no matching opening brace", "2:9")],
    );
}

#[test]
fn imports_that_lead_nowhere_or_in_a_circle() {
    check(
        "import nosuch\n",
        &[("Corefile:1 - Error during parsing: File to import not found: nosuch", "1:8")],
    );
    check(
        "(a) {\n import a\n}\n. {\n import a\n}\n",
        &[("Corefile:3 - Error during parsing: maximum snippet import depth (10000) exceeded", "3:1")],
    );
    // By the path under which it would be imported, as CoreDNS names it.
    let line = "/Corefile:2 - Error during parsing: maximum file import depth (10000) exceeded";
    for ended in refused(". {\n import Corefile\n}\n") {
        let first = ended.stderr.lines().next().unwrap_or_default();
        assert!(first.starts_with('/') && first.ends_with(line), "{ended:#?}");
    }
}

#[test]
fn bytes_that_are_no_text() {
    let dir = std::sync::Arc::new(crate::support::TestDir::new());
    for (garbage, what) in [
        (&b"\0\0\0\0"[..], "character 1 is the control character U+0000: is the file damaged?"),
        (b". {\n whoami\n}\n\0\0\0\0", "character 1 is the control character U+0000"),
        (b"ex\xffample.org {\n}\n", "character 3 is no UTF-8: is the file damaged?"),
        (b"a\x1b[31m {\n}\n", "character 2 is the control character U+001B"),
    ] {
        dir.write("garbage", garbage);
        let setup = Server::without_corefile().without_port_flag().dir(&dir);
        let ended = setup.argument("check").argument("garbage").run();
        assert_eq!(ended.code(), 1, "{ended:#?}");
        assert!(
            ended.stderr.contains("zone is not a valid domain name: ") && ended.stderr.contains(what),
            "{ended:#?}"
        );
        assert!(ended.stderr.contains("--> garbage:"), "{ended:#?}");
        assert!(!ended.stderr.contains(['\0', '\u{1b}']), "a terminal is shown them: {ended:#?}");
    }
    // Where it is no zone it is served, as by CoreDNS.
    dir.write("odd", b". {\n hosts absent {\n  192.0.2.1 a\x01.test\n }\n}\n");
    let setup = Server::without_corefile().without_port_flag().dir(&dir);
    let ended = setup.argument("check").argument("odd").run();
    assert_eq!(ended.code(), 0, "{ended:#?}");
    assert!(ended.stderr.contains("odd:3 - Warning: the word has control characters"), "{ended:#?}");
}

#[test]
fn zones_that_are_none_and_zones_that_are_there_twice() {
    check("a..b {\n}\n", &[("error inspecting server blocks: zone is not a valid domain name: a..b", "1:1")]);
    let [run, _] = refused("a.test:1053 {\n}\nA.test:1053 {\n}\n");
    assert!(run.stderr.contains("cannot serve dns://a.test.:1053 - it is already defined"), "{run:#?}");
    assert!(run.stderr.contains("--> Corefile:3:1"), "{run:#?}");
    assert!(run.stderr.contains("--> Corefile:1:1"), "where it was defined first: {run:#?}");
}

#[test]
fn a_plugin_twice() {
    let [run, _] = refused(". {\n hosts\n hosts\n}\n");
    assert!(
        run.stderr.contains("plugin/hosts: this plugin can only be used once per Server Block"),
        "{run:#?}"
    );
    assert!(run.stderr.contains("--> Corefile:3:2") && run.stderr.contains("--> Corefile:2:2"), "{run:#?}");
}

#[test]
fn upstreams_and_keys_that_are_not_served_yet_are_refused() {
    check(
        ". {\n forward . tls://192.0.2.1 https://192.0.2.1\n}\n",
        &[
            (
                "plugin/forward: 'tls' is not supported as a destination protocol in forward yet: tls://192.0.2.1:853",
                "2:12",
            ),
            (
                "plugin/forward: 'https' is not supported as a destination protocol in forward yet: \
                 https://192.0.2.1:443",
                "2:28",
            ),
        ],
    );
    for scheme in ["https", "https3", "quic", "grpc"] {
        let [run, _] = refused(&format!("{scheme}://. {{\n whoami\n}}\n"));
        assert!(run.stderr.contains(&format!("waypost does not serve {scheme}:// yet")), "{run:#?}");
    }
}

#[test]
fn all_errors_of_a_file_are_told_at_once() {
    let corefile = "\
. {
    nosuch
    kubernetes
    hosts {
        ttl 0
    }
    errors {
        foo
    }
    forward . 192.0.2.1 {
        policy x
        foo
    }
}
";
    for ended in refused(corefile) {
        for part in [
            "Corefile:2 - Error during parsing: Unknown directive 'nosuch'",
            "Corefile:3 - Error during parsing: Directive 'kubernetes' is not part of waypost yet",
            "plugin/hosts: Corefile:5 - Error during parsing: ttl provided is invalid",
            "plugin/errors: Corefile:8 - Syntax error: Unexpected token 'foo', expecting 'Unknown field foo'",
            "plugin/forward: Corefile:11 - Error during parsing: unknown policy 'x'",
            "allowed: random, round_robin, sequential",
            "plugin/forward: Corefile:12 - Error during parsing: unknown property 'foo'",
        ] {
            assert!(ended.stderr.contains(part), "no {part:?} in\n{}", ended.stderr);
        }
    }
}

#[test]
fn a_configuration_that_is_no_file_or_cannot_be_read_is_an_error() {
    let run = Server::without_corefile().argument("-conf").argument(".").run();
    assert_eq!(run.code(), 1, "{run:#?}");
    assert!(run.stderr.contains("is a directory"), "{run:#?}");
    let check = Server::without_corefile().without_port_flag().argument("check").argument("nosuch").run();
    assert_eq!(check.code(), 1);
    assert!(check.stderr.contains("open nosuch: no such file or directory"), "{check:#?}");
}

#[test]
fn check_says_good_or_not_and_nothing_is_served() {
    let good = checked(". {\n whoami\n}\n", &[]);
    assert_eq!((good.code(), good.stdout.as_str(), good.stderr.as_str()), (0, "Corefile: good", ""));
    let warned = checked(". {\n whoami\n}\n}\n", &[]);
    assert_eq!((warned.code(), warned.stdout.as_str()), (0, "Corefile: good, with 1 warning"));
    assert!(warned.stderr.contains("Corefile:4 - Warning: "), "{warned:#?}");
    let bad = checked(". {\n nosuch\n}\n", &[]);
    assert_eq!((bad.code(), bad.stdout.as_str()), (1, "Corefile: not usable: 1 error"));
    // Another server may have the port; it is not opened.
    let server = Server::start(". {\n}\n");
    let setup = Server::with(&format!(".:{} {{\n}}\n", server.port)).without_port_flag();
    assert_eq!(setup.argument("check").run().code(), 0);
}

#[test]
fn errors_and_warnings_stand_in_the_order_of_the_file() {
    // The order of plugins is another one.
    let corefile = "\
. {
    whoami x
    log stdout
    forward . 192.0.2.1 {
        policy x
    }
    hosts absent {
        ttl 0
    }
    errors x
}
";
    for ended in refused(corefile) {
        let places = ended.stderr.lines().filter_map(|line| line.strip_prefix("  --> Corefile:"));
        let lines: Vec<u32> = places.map(|place| place.split(':').next().unwrap().parse().unwrap()).collect();
        assert!(lines.is_sorted() && lines.len() >= 4, "{lines:?}\n{}", ended.stderr);
    }
}

#[test]
fn what_is_warned_of_has_a_place_in_check_and_coredns_s_words_in_the_log() {
    let corefile = "\
. {
    root nowhere
    hosts absent
    forward 10.9.3.0/18 192.0.2.1
    log stdout
}
import none/*.conf
";
    let ended = checked(corefile, &[]);
    assert_eq!(ended.code(), 0, "{ended:#?}");
    for (headline, place) in [
        ("plugin/root: Corefile:2 - Warning: Root path does not exist: nowhere", "2:10"),
        ("plugin/hosts: Corefile:3 - Warning: File does not exist: nowhere/absent", "3:11"),
        ("plugin/forward: Corefile:4 - Warning: Unsupported CIDR notation: '10.9.3.0/18' expands", "4:13"),
        ("Corefile:7 - Warning: No files matching import glob pattern: none/*.conf", "7:8"),
    ] {
        let from =
            ended.stderr.find(headline).unwrap_or_else(|| panic!("no {headline:?} in {}", ended.stderr));
        let place = format!("  --> Corefile:{place}");
        assert_eq!(ended.stderr[from..].lines().nth(1), Some(place.as_str()), "{headline}");
    }
    let served = Server::start(corefile).stop();
    let (of_coredns, ours): (Vec<&str>, Vec<&str>) = served
        .stdout
        .lines()
        .filter(|line| line.starts_with("[WARNING] "))
        .partition(|line| !line.contains("plugin/log") && !line.contains("]   "));
    assert_eq!(
        of_coredns,
        [
            "[WARNING] plugin/root: Root path does not exist: nowhere",
            "[WARNING] plugin/hosts: File does not exist: nowhere/absent",
            "[WARNING] plugin/forward: Unsupported CIDR notation: '10.9.3.0/18' expands to multiple zones. \
             Using only '0.9.10.in-addr.arpa.'.",
            "[WARNING] No files matching import glob pattern: none/*.conf",
        ]
    );
    assert!(ours.iter().any(|line| line.ends_with("(Corefile:5)")), "{ours:?}");
    // What is warned of is logged before what is wrong is told.
    let refused = Server::with(". {\n hosts absent\n whoami x\n}\n").run();
    assert_eq!(refused.code(), 1);
    assert!(refused.stdout.contains("[WARNING] plugin/hosts: File does not exist: absent"), "{refused:#?}");
}

#[test]
fn check_of_several_files_fails_if_one_does() {
    let check = Server::without_corefile()
        .without_port_flag()
        .file("good", ". {\n}\n")
        .file("bad", "a..b {\n}\n")
        .argument("check")
        .argument("good")
        .argument("bad")
        .run();
    assert_eq!((check.code(), check.stdout.as_str()), (1, "good: good\nbad: not usable: 1 error"));
}

#[test]
fn findings_come_as_json_too() {
    let ended = checked(". {\n    nosuch\n    hosts {\n        ttl 0\n    }\n}\n", &["--json"]);
    assert_eq!(ended.code(), 1);
    let reports: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!((&reports[0]["file"], &reports[0]["ok"]), (&"Corefile".into(), &false.into()));
    let findings = reports[0]["findings"].as_array().expect("a list");
    assert_eq!(findings.len(), 2, "{reports:#}");
    let first = &findings[0];
    assert_eq!(first["severity"], "error");
    assert_eq!(first["headline"], "Corefile:2 - Error during parsing: Unknown directive 'nosuch'");
    assert_eq!((&first["line"], &first["column"], &first["length"]), (&2.into(), &5.into(), &6.into()));
    let good = checked(". {\n    hosts absent\n}\n", &["--json"]);
    let reports: Value = serde_json::from_str(&good.stdout).expect("JSON");
    assert_eq!((good.code(), &reports[0]["ok"]), (0, &true.into()));
}

#[test]
fn variables_snippets_and_imported_files_make_one_configuration() {
    let server = Server::with(
        "(common) {\n    errors\n    {$EXTRA} # a comment\n}\n\
         import zones/*.conf\n\
         {$ZONE}:{$PORT} \"quoted.test\" {\n    import common\n    hosts absent {\n        {%ADDRESS%} a.b.test q.quoted.test\n    }\n}\n",
    )
    .environment("EXTRA", "log")
    .environment("ZONE", "b.test")
    .environment("ADDRESS", "192.0.2.3")
    .file("zones.conf", "");
    std::fs::create_dir(server.path("zones")).unwrap();
    let server =
        server.file("zones/c.conf", "c.test {\n hosts absent {\n 192.0.2.4 a.c.test\n }\n}\n").start();
    for (name, last) in [("a.b.test.", 3), ("q.quoted.test.", 3), ("a.c.test.", 4)] {
        let answer = ask(server.address(), &query(name, hickory_proto::rr::RecordType::A));
        assert_eq!(addresses(&answer), [std::net::IpAddr::from([192, 0, 2, last])], "{name}");
    }
    server.wait_for_line("\"A IN a.b.test. udp");
}

/// TOML, the other way to write the same.
mod toml {
    use super::*;

    #[test]
    fn the_same_is_served() {
        let server = Server::without_corefile()
            .file(
                "waypost.toml",
                "[[server]]\nkeys = \".\"\nlog = true\n\n[server.hosts]\nargs = [\"hosts\"]\nttl = 77\n",
            )
            .file("hosts", "192.0.2.5 name.test\n")
            .argument("-conf")
            .argument("waypost.toml")
            .start();
        let answer = ask(server.address(), &query("name.test.", hickory_proto::rr::RecordType::A));
        assert_eq!(addresses(&answer).len(), 1);
        assert_eq!(answer.answers[0].ttl, 77);
        server.wait_for_line("\"A IN name.test. udp");
        server.dir.write("waypost.toml", "[[server]]\nkeys = \".\"\nwhoami = true\n");
        server.reload();
    }

    #[test]
    fn errors_have_their_place() {
        for (text, place) in [
            ("[[server]]\nkeys = \".\"\nnosuch = true\n", "waypost.toml:3"),
            ("[[server]]\nkeys = \".\"\ncache = 0\n", "waypost.toml:3"),
            ("[[server]]\nkeys = \n", "waypost.toml:2"),
            ("[[server]\n", "waypost.toml:1"),
        ] {
            let setup = Server::without_corefile().without_port_flag().file("waypost.toml", text);
            let ended = setup.argument("check").argument("waypost.toml").run();
            assert_eq!(ended.code(), 1, "{text}");
            assert!(ended.stderr.contains(place) && ended.stderr.contains('^'), "{text}\n{}", ended.stderr);
        }
    }
}
