use super::*;
use crate::chain::testing;

fn health(host: &str, port: u16, lameduck: &str) -> Health {
    Health { address: PageAddress::new(host, port), lameduck: GoDuration::parse(lameduck).unwrap() }
}

#[test]
fn directives_are_read() {
    let check = |text: &str, want: Health| {
        let (directives, _) = testing::directives(text);
        let directives: Vec<&Directive> = directives.iter().collect();
        assert_eq!(read(&directives).unwrap(), want, "{text}");
    };
    check("health", health("", 8080, "0"));
    check("health localhost:8091", health("localhost", 8091, "0"));
    check("health :8091 {\n lameduck 1m30s\n}", health("", 8091, "90s"));
    check("health {\n lameduck -1s\n}", health("", 8080, "-1s"));
    check("health {\n}", health("", 8080, "0"));
    // Each says anew what it says.
    check("health :1 {\n lameduck 5s\n}\nhealth :2", health("", 2, "5s"));
    check("health :1\nhealth {\n lameduck 5s\n lameduck 6s\n}", health("", 1, "6s"));
}

#[test]
fn a_block_asks_for_its_page_its_check_and_its_wait() {
    let check = |text: &str, background: usize, on_end: usize, warnings: usize| {
        let (built, setup) = testing::build(&SPEC, text).unwrap();
        assert!(built.is_empty());
        assert_eq!(setup.pages.len(), 1);
        assert!(!setup.pages[0].ends_at_once);
        let counts = (setup.background.len(), setup.on_end.len(), setup.warnings.len());
        assert_eq!(counts, (background, on_end, warnings), "{text}");
    };
    check("health", 1, 0, 0);
    check("health :0", 0, 0, 0);
    check("health {\n lameduck 5s\n}", 1, 1, 0);
    check("health {\n lameduck 0s\n}", 1, 0, 0);
    check("health {\n lameduck -5s\n}", 1, 0, 0);
    check("health :1\nhealth :2", 1, 0, 1);
}

#[test]
fn errors_are_those_of_coredns() {
    let check = |text: &str, want: &str| {
        assert_eq!(testing::build(&SPEC, text).err(), Some(format!("plugin/health: {want}")), "{text}");
    };
    let count = |line: u32, word: &str| {
        format!(
            "Corefile:{line} - Error during parsing: Wrong argument count or unexpected line ending after '{word}'"
        )
    };
    check("health x", "address x: missing port in address");
    check("health [::1", "address [::1: missing ']' in address");
    check("health a b", &count(1, "b"));
    check("health {\n lameduck\n}", &count(2, "lameduck"));
    check("health {\n lameduck 1s 2s\n}", &count(2, "2s"));
    check(
        "health {\n lameduck 5\n}",
        "unable to parse lameduck duration value: '5' : time: missing unit in duration \"5\"",
    );
    check(
        "health {\n lameduck a\n}",
        "unable to parse lameduck duration value: 'a' : time: invalid duration \"a\"",
    );
    check("health {\n foo\n}", "Corefile:2 - Error during parsing: unknown property 'foo'");
}
