//! Tests of the readers of arguments.

use super::*;
use crate::config::testing::{directive as line, headline};

fn word(text: &str) -> Word {
    Word::new(text, Span::default())
}

fn message<T: std::fmt::Debug>(result: Result<T>) -> String {
    headline(&result.unwrap_err())
}

const WRONG_COUNT: &str =
    "Corefile:2 - Error during parsing: Wrong argument count or unexpected line ending after";

#[test]
fn a_wrong_number_of_arguments_is_said_of_the_last_word() {
    assert_eq!(message(line("whoami x").no_args()), format!("{WRONG_COUNT} 'x'"));
    assert_eq!(message(line("a").one_arg()), format!("{WRONG_COUNT} 'a'"));
    assert_eq!(message(line("a b c").one_arg()), format!("{WRONG_COUNT} 'c'"));
    assert_eq!(message(line("forward .").at_least(2)), format!("{WRONG_COUNT} '.'"));
    assert_eq!(message(line("a b c d").between(1, 2)), format!("{WRONG_COUNT} 'd'"));
    assert_eq!(message(line("a").first_arg()), format!("{WRONG_COUNT} 'a'"));
    assert_eq!(message(line("a b").exactly::<2>()), format!("{WRONG_COUNT} 'b'"));
    assert_eq!(line("a b c").exactly::<2>().unwrap()[1].text, "c");
    assert!(line("a b c").first_arg().is_ok());
    assert!(line("a").optional_arg().unwrap().is_none());
}

#[test]
fn a_brace_on_the_line_of_an_option_is_explained() {
    let error = line("health { lameduck 5s }").options()[0].one_arg().unwrap_err();
    assert_eq!(error.message, "Wrong argument count or unexpected line ending after '}'");
    assert!(error.help.iter().any(|help| help.contains("line of its own")), "{:?}", error.help);
}

#[test]
fn a_block_where_none_may_be_is_refused() {
    let expected = "Corefile:2 - Error during parsing: Unexpected token '{', expecting argument";
    assert_eq!(message(line("whoami {\n}").alone()), expected);
    assert!(line("whoami").alone().is_ok());
}

#[test]
fn integers_have_a_range() {
    assert_eq!(word("5").integer(1..=65535_u16).unwrap(), 5);
    assert_eq!(word("-3").integer(..0_i32).unwrap(), -3);
    assert_eq!(message(word("x").integer(0_u8..)), "strconv.Atoi: parsing \"x\": invalid syntax");
    let error = word("70000").integer(1..=65535_u16).unwrap_err();
    assert_eq!(error.message, "number out of range: 70000");
    assert_eq!(error.help, ["allowed: a whole number from 1 up to 65535"]);
    assert!(word("-1").integer(0_u64..).is_err());
    assert!(word("0").integer(1_u64..).is_err());
}

#[test]
fn durations_are_not_negative_unless_asked_for() {
    assert_eq!(word("1m30s").duration().unwrap(), Duration::from_secs(90));
    assert_eq!(message(word("10").duration()), "time: missing unit in duration \"10\"");
    assert_eq!(message(word("-5s").duration()), "duration can't be negative: -5s");
    assert_eq!(word("-5s").signed_duration().unwrap().to_string(), "-5s");
}

#[test]
fn zones_are_normal_names_and_networks_become_reverse_zones() {
    assert_eq!(word("Example.org").zone().unwrap(), "example.org.");
    assert_eq!(word("tls://a:53").zones().unwrap(), ["a."]);
    assert_eq!(word("10.0.0.0/23").zones().unwrap(), ["0.0.10.in-addr.arpa.", "1.0.10.in-addr.arpa."]);
    assert_eq!(message(word("a..b").zone()), "zone is not a valid domain name: a..b");
    assert_eq!(word("A.b").domain_name().unwrap(), "a.b.");
    assert!(word("a..b").domain_name().is_err());
}

#[test]
fn origins_are_the_words_or_else_the_block() {
    let address = Address { scheme: Scheme::Dns, zone: "b.".into(), port: 53, span: Span::default() };
    let mut warnings = Vec::new();
    assert_eq!(origins(&[], std::slice::from_ref(&address), &mut warnings), ["b."]);
    assert_eq!(origins(&[word("A"), word("x..y")], &[address], &mut warnings), ["a."]);
    assert_eq!(warnings.len(), 1);
    assert!(!warnings[0].is_error());
}

#[test]
fn addresses_and_ports_are_read() {
    assert_eq!(word("::1").ip().unwrap(), "::1".parse::<IpAddr>().unwrap());
    assert_eq!(message(word("foo").ip()), "must specify an IP address: `foo'");
    assert_eq!(message(word("1.2.3.4/99").cidr()), "illegal CIDR notation \"1.2.3.4/99\"");
    assert_eq!(word("1.2.3.4/24").cidr().unwrap().to_string(), "1.2.3.0/24");
    let ip_port = |text: &str| word(text).ip_port(53).map(|address| address.to_string());
    assert_eq!(ip_port("1.2.3.4").unwrap(), "1.2.3.4:53");
    assert_eq!(ip_port("1.2.3.4:54").unwrap(), "1.2.3.4:54");
    assert_eq!(ip_port("::1").unwrap(), "[::1]:53");
    assert_eq!(ip_port("[::1]:54").unwrap(), "[::1]:54");
    assert_eq!(message(ip_port("a:54")), "must specify an IP address: `a'");
    assert!(ip_port("1.2.3.4:99999").is_err());
    assert_eq!(word(":8080").host_port().unwrap(), ("", 8080));
    assert_eq!(message(word("foo").host_port()), "address foo: missing port in address");
    assert!(word("foo:x").host_port().is_err());
    assert_eq!(word("0").port().unwrap(), 0);
    assert!(word("65536").port().is_err());
}

#[test]
fn rcodes_are_names() {
    assert_eq!(word("NXDOMAIN").rcode().unwrap(), 3);
    assert_eq!(word("servfail").rcode().unwrap(), 2);
    assert_eq!(message(word("FOO").rcode()), "FOO is not a valid rcode");
    assert_eq!(word("NXDOMIAN").rcode().unwrap_err().help, ["did you mean 'NXDOMAIN'?"]);
}

#[test]
fn one_of_several_words() {
    let choices = [("random", 1), ("sequential", 2)];
    assert_eq!(word("random").one_of(&choices, "").unwrap(), 1);
    let error = word("x").one_of(&choices, "unknown policy 'x'").unwrap_err();
    assert_eq!(error.message, "unknown policy 'x'");
    assert_eq!(error.help, ["allowed: random, sequential"]);
}

#[test]
fn an_unknown_property_comes_with_what_is_allowed() {
    let error = line("relod 5s").unknown_property(&["reload", "ttl"]);
    assert_eq!(error.message, "unknown property 'relod'");
    assert_eq!(error.help, ["did you mean 'reload'?"]);
}
