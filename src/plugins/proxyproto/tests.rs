use std::time::Duration;

use super::*;
use crate::chain::{ProxyPolicy, ProxyTreatment, SessionLimits, testing};

fn policy(text: &str) -> ProxyPolicy {
    let (built, setup) = testing::build(&SPEC, text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert!(built.is_empty());
    (*setup.listeners.proxies.unwrap().value).clone()
}

#[test]
fn who_is_believed() {
    let check = |text: &str, allowed: usize, others| {
        let policy = policy(text);
        assert_eq!((policy.allowed.len(), policy.others), (allowed, others), "{text}");
    };
    check("proxyproto", 0, ProxyTreatment::Use);
    check("proxyproto {\nallow\n}", 0, ProxyTreatment::Use);
    check("proxyproto {\nallow 192.0.2.0/24 ::1/128\n}", 2, ProxyTreatment::Ignore);
    check("proxyproto {\nallow 192.0.2.0/24\nallow ::1/128\n}", 2, ProxyTreatment::Ignore);
    check("proxyproto {\nallow ::1/128\n}\nproxyproto {\ndefault skip\n}", 1, ProxyTreatment::Skip);
    check("proxyproto {\ndefault reject\n}", 0, ProxyTreatment::Reject);
    check("proxyproto {\nallow ::1/128\ndefault USE\n}", 1, ProxyTreatment::Use);
    check("proxyproto {\ndefault use\ndefault ignore\n}", 0, ProxyTreatment::Ignore);
}

#[test]
fn what_is_remembered_over_udp() {
    let check = |tracking: &str, want: Option<(u64, usize)>| {
        let limits = policy(&format!("proxyproto {{\n{tracking}\n}}")).sessions;
        let limit =
            |(seconds, peers_max)| SessionLimits { lifetime: Duration::from_secs(seconds), peers_max };
        assert_eq!(limits, want.map(limit), "{tracking}");
    };
    check("", None);
    check("udp_session_tracking 28s", Some((28, 10_240)));
    check("udp_session_tracking 1m 500", Some((60, 500)));
    check("udp_session_tracking 0", None);
    check("udp_session_tracking -5s 7", None);
    check("udp_session_tracking 1m 500\nudp_session_tracking 2m", Some((120, 500)));
    check("udp_session_tracking 1m\nudp_session_tracking 0s", None);
}

#[test]
fn errors_are_those_of_coredns() {
    let check = |text: &str, want: &str| {
        assert_eq!(testing::build(&SPEC, text).err(), Some(format!("plugin/proxyproto: {want}")), "{text}");
    };
    let place = |line: u32| format!("Corefile:{line} - Error during parsing: ");
    let count = |line: u32, word: &str| {
        format!("{}Wrong argument count or unexpected line ending after '{word}'", place(line))
    };
    check("proxyproto x", &count(1, "x"));
    let option = |option: &str, want: &str| check(&format!("proxyproto {{\n{option}\n}}"), want);
    option("foo", &format!("{}unknown option 'foo'", place(2)));
    option("allow 1.2.3.4", "1.2.3.4: invalid CIDR address: 1.2.3.4");
    option("allow x/8", "x/8: invalid CIDR address: x/8");
    option("allow 1.2.3.0/33", "1.2.3.0/33: invalid CIDR address: 1.2.3.0/33");
    option("default", &count(2, "default"));
    option("default foo", &count(2, "foo"));
    option("default use ignore", &count(2, "ignore"));
    option("udp_session_tracking", &count(2, "udp_session_tracking"));
    option("udp_session_tracking 1s 1 1", &count(2, "1"));
    let tracking = |words: &str, want: &str| {
        option(&format!("udp_session_tracking {words}"), &format!("udp_session_tracking: {want}"));
    };
    tracking("x", "invalid duration \"x\": time: invalid duration \"x\"");
    tracking("5", "invalid duration \"5\": time: missing unit in duration \"5\"");
    for number in ["x", "0", "-1"] {
        let why = format!("invalid max sessions \"{number}\": must be a positive integer");
        tracking(&format!("1s {number}"), &why);
    }
}
