use super::*;
use crate::chain::testing;
use crate::control::http::{Reply, Request};

fn pages(text: &str) -> Vec<Page> {
    testing::build(&SPEC, text).unwrap().1.pages
}

/// Asks the page, which answers at once or on another thread.
async fn get(pages: &[Page], path: &str, query: &str) -> Reply {
    let takes = |page: &&Page| page.path == path || page.path.ends_with('/') && path.starts_with(page.path);
    let page = pages.iter().find(takes).unwrap();
    (page.handler)(Request { path: path.to_owned(), query: query.to_owned() }).await
}

fn header<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
    reply.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
}

#[test]
fn directives_are_read() {
    let check = |text: &str, host: &str, port: &str, warnings: &[&str]| {
        let (built, setup) = testing::build(&SPEC, text).unwrap();
        assert!(built.is_empty());
        let paths: Vec<_> = setup.pages.iter().map(|page| page.path).collect();
        assert_eq!(paths, ["/debug/pprof", "/debug/pprof/"]);
        for page in &setup.pages {
            let address = &page.address;
            assert_eq!((address.host.as_str(), address.port.as_str()), (host, port), "{text}");
        }
        let said: Vec<_> = setup.warnings.iter().map(|warning| warning.message.as_str()).collect();
        assert_eq!(said, warnings, "{text}");
        assert_eq!((setup.on_stop.len(), setup.on_shutdown.len()), (1, 1));
    };
    let no_effect = "'block' has no effect: waypost does not record what waits for whom";
    check("pprof", "localhost", "6053", &[]);
    check("pprof 192.0.2.3:1234", "192.0.2.3", "1234", &[]);
    check("pprof :1234", "", "1234", &[]);
    check("pprof [::1]:", "::1", "", &[]);
    check("pprof {\n}", "localhost", "6053", &[]);
    check("pprof {\n block\n}", "localhost", "6053", &[no_effect]);
    check("pprof :1234 {\n block 20\n block -1\n}", "", "1234", &[no_effect, no_effect]);
}

#[test]
fn errors_are_those_of_coredns() {
    let check = |text: &str, want: &str| {
        assert_eq!(testing::build(&SPEC, text).err(), Some(format!("plugin/pprof: {want}")), "{text}");
    };
    let at = |line: u32, text: &str| format!("Corefile:{line} - Error during parsing: {text}");
    let count = |line: u32, word: &str| {
        at(line, &format!("Wrong argument count or unexpected line ending after '{word}'"))
    };
    check("pprof foo", &at(1, "address foo: missing port in address"));
    check("pprof [::1", &at(1, "address [::1: missing ']' in address"));
    check("pprof ::1", &at(1, "address ::1: too many colons in address"));
    check("pprof :1234 -1", &count(1, "-1"));
    check("pprof {\n block 20 30\n}", &count(2, "30"));
    check("pprof {\n block x\n}", &at(2, "property 'block' invalid integer value 'x'"));
    check("pprof {\n block 1.5\n}", &at(2, "property 'block' invalid integer value '1.5'"));
    check("pprof {\n foo\n}", &at(2, "unknown property 'foo'"));
    check("pprof\npprof", "this plugin can only be used once per Server Block");
}

#[tokio::test]
async fn pages_are_there_or_say_why_not() {
    let pages = pages("pprof");
    let moved = get(&pages, "/debug/pprof", "").await;
    assert_eq!((moved.status, header(&moved, "location")), (302, Some("/debug/pprof/")));
    let index = get(&pages, "/debug/pprof/", "").await;
    let text = String::from_utf8(index.body).unwrap();
    for name in ["profile", "threadcreate", "cmdline", "symbol"] {
        assert!(text.contains(&format!("<a href=\"{name}?debug=1\">")), "{name}");
    }
    for name in ["allocs", "block", "goroutine", "heap", "mutex", "trace"] {
        let reply = get(&pages, &format!("/debug/pprof/{name}"), "debug=1").await;
        assert_eq!((reply.status, header(&reply, "x-go-pprof")), (501, Some("1")), "{name}");
        let said = String::from_utf8(reply.body).unwrap();
        let why = said.trim_end().strip_prefix(&format!("{name}: ")).unwrap();
        assert!(text.contains(&format!("<td>{name}</td><td>{why}</td>")), "the index says the same: {said}");
    }
    for name in ["nosuch", "cmdline/", "profile/x"] {
        let reply = get(&pages, &format!("/debug/pprof/{name}"), "").await;
        assert_eq!((reply.status, reply.body.as_slice()), (404, &b"Unknown profile\n"[..]), "{name}");
        assert_eq!(header(&reply, "x-content-type-options"), Some("nosniff"));
    }
    let threads = String::from_utf8(get(&pages, "/debug/pprof/threadcreate", "").await.body).unwrap();
    assert!(threads.starts_with("threadcreate profile: total ") && threads.lines().count() > 3, "{threads}");
    let arguments = get(&pages, "/debug/pprof/cmdline", "").await.body;
    let first = std::env::args().next().unwrap();
    assert_eq!(arguments.split(|byte| *byte == 0).next(), Some(first.as_bytes()));
}

#[tokio::test]
async fn symbols_are_told_of_addresses() {
    let pages = pages("pprof");
    let here = symbols_are_told_of_addresses as fn() as usize;
    let reply = get(&pages, "/debug/pprof/symbol", &format!("{here:#x}+0x1+x+{}", here + 1)).await;
    let text = String::from_utf8(reply.body).unwrap();
    let name = format!("{}::symbols_are_told_of_addresses", module_path!());
    assert_eq!(text, format!("num_symbols: 1\n{here:#x} {name}\n{:#x} {name}\n", here + 1));
    assert_eq!(get(&pages, "/debug/pprof/symbol", "").await.body, b"num_symbols: 1\n");
}

#[tokio::test]
async fn a_profile_of_more_seconds_than_there_may_be_is_refused() {
    let pages = pages("pprof");
    let reply = get(&pages, "/debug/pprof/profile", "seconds=301").await;
    assert_eq!(reply.status, 400);
    assert_eq!(reply.body, b"profile duration exceeds the limit of 300 seconds\n");
}
