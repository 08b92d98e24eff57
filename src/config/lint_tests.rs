//! Tests of the warnings.

use crate::config::testing::corefile;

/// The messages and helps of all warnings about a text.
fn warnings(text: &str) -> Vec<String> {
    let config = corefile(text).unwrap_or_else(|refused| panic!("{text}\n{refused}"));
    config
        .warnings
        .iter()
        .map(|warning| format!("{} | {}", warning.message, warning.help.join(" | ")))
        .collect()
}

/// Checks that there is exactly one warning, and that it says so.
fn check(text: &str, part: &str) {
    let found = warnings(text);
    assert!(found.len() == 1 && found[0].contains(part), "{text}\n{found:?}");
}

fn clean(text: &str) {
    let found = warnings(text);
    assert!(found.is_empty(), "{text}\n{found:?}");
}

fn key(key: &str, part: &str) {
    check(&format!("{key} {{\n whoami\n}}\n"), part);
}

fn line(line: &str, part: &str) {
    check(&format!(". {{\n {line}\n}}\n"), part);
}

#[test]
fn ordinary_files_have_no_warnings() {
    clean(". {\n cache 30\n log\n errors stdout\n forward . /etc/resolv.conf tls://9.9.9.9\n}\n");
    clean("a.b:53 dns://c:54 10.0.0.0/8 2001:db8::/32:53 _tcp.x 1.2.3.0/24:54 {\n chaos\n}\n");
    clean("tls://. {\n tls cert key\n whoami\n}\n");
    clean(". {\n hosts /etc/hosts {\n  1.2.3.4 a\n  fe80::1%eth0 b\n  ttl 5\n  fallthrough\n }\n}\n");
    clean("a {\n cache 30 b\n log . \"{remote}\"\n auto {\n  directory /z\n }\n}\n");
    clean(".:53\n{\n whoami\n}\n");
}

#[test]
fn keys_that_are_something_else_are_warned_about() {
    key("172.16.10.0/24{ ", "put a blank before the '{'");
    key("squic://.", "did you mean 'quic'?");
    key("foo://x", "'foo://' is no scheme");
    key("TLS://x", "did you mean 'tls'?");
    key("unix://x", "nothing serves");
    key("tls://.", "is not encrypted");
    key("10.in-addr-arpa", "did you mean '10.in-addr.arpa'?");
    key("x:dns", "no port number");
    key("127.0.0.1:53", "names a zone, not an address: this is zone '127.0.0.1.' on port 53");
    key("2001:db8::1", "names a zone, not an address");
    key("[::1]:53", "names a zone, not an address");
    key("*.example.org", "no wildcard");
    key("a,b", "put a blank after the comma");
    key("a/b", "no network");
    key("10.0.0.0/33", "no network");
    check("(a) b {\n whoami\n}\n", "defines no snippet");
}

#[test]
fn comments_and_braces_at_the_end_of_a_file_are_warned_about() {
    check(". {\n whoami\n}\n// text\n", "a comment begins with '#'");
    check(". {\n whoami\n}\n}\n", "closes nothing");
    check("{\n whoami\n}\n. {\n whoami\n}\n", "without a key");
    check("# nothing\n", "the default is served");
    check("\u{feff}. {\n whoami\n}\n", "byte order mark");
}

#[test]
fn arguments_that_are_zones_are_warned_about() {
    line("cache 60s", "'cache 60'");
    line("cache 30 5m", "'5m' is a zone");
    line("log stdout", "write 'log' alone");
    line("log /var/log/dns.log", "a zone here");
    line("forward 8.8.8.8 8.8.4.4", "'forward . 8.8.8.8'");
    line("file db 10.in-addr-arpa", "did you mean '10.in-addr.arpa'?");
}

#[test]
fn options_without_effect_are_warned_about() {
    line("auto", "add 'directory DIR'");
    line("etcd {\n  path /x\n  upstream 8.8.8.8\n }", "'upstream' has no effect in 'etcd'");
    line("etcd {\n  stubzones\n }", "'stubzones' has no effect");
    line("file db {\n  upstream\n }", "has no effect in 'file'");
    line("hosts {\n  falltrough\n }", "did you mean 'fallthrough'?");
    line("hosts {\n  1.2.3 a\n }", "neither an option nor an address");
    line("hosts {\n  1.2.3.4\n }", "has no names");
    line("tls cert key", "no key of this block");
}
