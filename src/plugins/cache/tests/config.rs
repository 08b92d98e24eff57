//! The directive: what it may say, what it means, and CoreDNS's words for what is wrong.

use super::super::config::{Prefetch, ServeStale, StoreConfig};
use super::*;

fn read(text: &str) -> CacheConfig {
    let (directives, _) = testing::directives(text);
    CacheConfig::read(&directives[0], |words| zones(words, &["example.org", "example.com"])).unwrap()
}

fn read_option(option: &str) -> CacheConfig {
    read(&format!("cache {{\n{option}\n}}"))
}

#[track_caller]
fn check_error(text: &str, expected: &str) {
    let error = testing::build(&SPEC, text).map(|_| ()).unwrap_err();
    assert_eq!(error, expected, "{text}");
}

/// The error of a directive with these options in its block, the first of them in line 2.
#[track_caller]
fn check_option_error(options: &str, expected: &str) {
    check_error(&format!("cache {{\n{options}\n}}"), &format!("plugin/cache: {expected}"));
}

fn names(texts: &[&str]) -> Vec<Name> {
    texts.iter().map(|text| Name::from_text(text).unwrap()).collect()
}

#[test]
fn without_arguments_the_limits_are_coredns_s() {
    let config = read("cache");
    let store = |ttl_max| StoreConfig { capacity: 9984, ttl_min: 5, ttl_max, disabled: Vec::new() };
    assert_eq!((config.success, config.denial), (store(3600), store(1800)));
    assert_eq!((config.servfail, config.prefetch, config.stale, config.keep_ttl), (5, None, None, false));
    assert_eq!(config.zones, Some(names(&["example.org", "example.com"])));
    assert_eq!(config.zones_label, "example.org.,example.com.");
}

#[test]
fn the_first_argument_is_a_ttl_if_it_is_a_number() {
    let config = read("cache 30");
    assert_eq!((config.success.ttl_max, config.denial.ttl_max), (30, 30));
    let config = read("cache 25 Example.NL 10.0.0.0/8");
    assert_eq!((config.success.ttl_max, config.zones_label.as_str()), (25, "example.nl.,10.in-addr.arpa."));
    assert_eq!(read("cache aaa example.nl").zones, Some(names(&["aaa", "example.nl"])));
    assert_eq!(read("cache example.nl .").zones, None);
    check_error("cache 0", "plugin/cache: cache TTL can not be zero or negative: 0");
    check_error("cache -1 example.nl", "plugin/cache: cache TTL can not be zero or negative: -1");
}

#[test]
fn what_is_no_zone_is_skipped_with_a_warning() {
    let (_, setup) = testing::build(&SPEC, "cache a..b example.nl").unwrap();
    assert_eq!(setup.warnings.len(), 1);
    assert!(setup.warnings[0].message.starts_with("'a..b' is ignored"), "{:?}", setup.warnings);
}

#[test]
fn each_store_has_its_limits() {
    for (option, capacity, ttl_max, ttl_min) in [
        ("success 10", 1024, 3600, 5),
        ("success -7", 1024, 3600, 5),
        ("success 5000", 4864, 3600, 5),
        ("success 10000 1800 30", 9984, 1800, 30),
        ("success 10000 1800 0 surplus", 9984, 1800, 0),
    ] {
        let store = read_option(option).success;
        assert_eq!((store.capacity, store.ttl_max, store.ttl_min), (capacity, ttl_max, ttl_min), "{option}");
        let store = read_option(&option.replace("success", "denial")).denial;
        let ttl_max = if ttl_max == 3600 { 1800 } else { ttl_max };
        assert_eq!((store.capacity, store.ttl_max, store.ttl_min), (capacity, ttl_max, ttl_min), "{option}");
    }
    let config = read("cache 25 {\nsuccess 10\ndenial 10 15\n}");
    assert_eq!((config.success.ttl_max, config.denial.ttl_max), (25, 15));
    const COUNT: &str =
        "Corefile:2 - Error during parsing: Wrong argument count or unexpected line ending after";
    for kind in ["success", "denial"] {
        check_option_error(kind, &format!("{COUNT} '{kind}'"));
        check_option_error(&format!("{kind} aaa"), r#"strconv.Atoi: parsing "aaa": invalid syntax"#);
        check_option_error(&format!("{kind} 1 x"), r#"strconv.Atoi: parsing "x": invalid syntax"#);
        check_option_error(&format!("{kind} 1 0"), "cache TTL can not be zero or negative: 0");
        check_option_error(&format!("{kind} 1 1 -1"), "cache min TTL can not be negative: -1");
    }
}

#[test]
fn prefetch_has_an_amount_a_gap_and_a_percentage() {
    let check = |option, amount, gap, percent| {
        let expected = Some(Prefetch { amount, gap: seconds(gap), percent });
        assert_eq!(read_option(option).prefetch, expected, "{option}");
    };
    check("prefetch 10", 10, 60, 10);
    check("prefetch 1 2m", 1, 120, 10);
    check("prefetch 1 -2m 90%", 1, 0, 90);
    assert_eq!(read_option("prefetch 0 1m 20%").prefetch, None);
    check_option_error(
        "prefetch",
        "Corefile:2 - Error during parsing: Wrong argument count or unexpected line ending after 'prefetch'",
    );
    check_option_error(
        "prefetch 1 1m 10% x",
        "Corefile:2 - Error during parsing: Wrong argument count or unexpected line ending after 'x'",
    );
    check_option_error("prefetch -1", "prefetch amount should be positive: -1");
    check_option_error("prefetch x", r#"strconv.Atoi: parsing "x": invalid syntax"#);
    check_option_error("prefetch 0 blurp", r#"time: invalid duration "blurp""#);
    check_option_error("prefetch 1 1m 10", "last character of percentage should be `%`, but is: '0'");
    check_option_error("prefetch 1 1m 5%", "percentage should fall in range [10, 90]: 5");
    check_option_error("prefetch 1 1m 91%", "percentage should fall in range [10, 90]: 91");
    check_option_error("prefetch 1 1m x%", r#"strconv.Atoi: parsing "x": invalid syntax"#);
    check_option_error("prefetch 1 1m \"\"", "last character of percentage should be `%`, but is: ''");
}

#[test]
fn serve_stale_has_a_duration_a_mode_and_what_belongs_to_it() {
    let immediate = StaleMode::Immediate;
    let verify = |ms: u64| StaleMode::Verify { timeout: (ms > 0).then(|| Duration::from_millis(ms)) };
    for (option, up_to, mode, ttl, recheck_ms) in [
        ("serve_stale", 3600, immediate, 0, 0),
        ("serve_stale 20m", 1200, immediate, 0, 0),
        ("serve_stale 1h20m", 4800, immediate, 0, 0),
        ("serve_stale 1h IMMEDIATE 30s", 3600, immediate, 30, 0),
        ("serve_stale 1h immediate 4294967295s", 3600, immediate, u32::MAX, 0),
        ("serve_stale 1h immediate 30s 30s", 3600, immediate, 30, 30_000),
        ("serve_stale 1h verify", 3600, verify(0), 0, 0),
        ("serve_stale 1h VERIFY 250ms", 3600, verify(250), 0, 0),
        ("serve_stale 1h verify 0 1m", 3600, verify(0), 60, 0),
        ("serve_stale 1h verify 100ms 30s 250ms", 3600, verify(100), 30, 250),
        ("serve_stale 1h verify 0 0 5m", 3600, verify(0), 0, 300_000),
    ] {
        let recheck = Duration::from_millis(recheck_ms);
        let expected = ServeStale { up_to, mode, ttl, recheck, prefer_positive: false };
        assert_eq!(read_option(option).stale, Some(expected), "{option}");
    }
    for off in ["serve_stale 0", "serve_stale 0m", "serve_stale 0 VERIFY", "serve_stale 900ms"] {
        assert_eq!(read_option(off).stale, None, "{off}");
    }
}

#[test]
fn what_serve_stale_refuses() {
    const MISSING_UNIT: &str = r#"time: missing unit in duration "20""#;
    const COUNT: &str =
        "Corefile:2 - Error during parsing: Wrong argument count or unexpected line ending after";
    for (option, expected) in [
        ("20", MISSING_UNIT),
        ("-20m", "invalid negative duration for serve_stale"),
        ("1h foo", "invalid value for serve_stale refresh mode: foo"),
        ("0 after nono", "invalid value for serve_stale refresh mode: after"),
        ("1h immediate 100ms", "serve_stale response TTL must be a whole number of seconds"),
        ("1h immediate 4294967296s", "serve_stale response TTL exceeds the DNS TTL range"),
        ("1h immediate -1s", "invalid negative response TTL for serve_stale"),
        ("1h immediate x", r#"invalid serve_stale response TTL: time: invalid duration "x""#),
        ("1h immediate 1s -1s", "invalid negative failure recheck for serve_stale"),
        ("1h immediate 1s 5m1s", "serve_stale failure recheck cannot exceed 5 minutes"),
        ("1h immediate 1s x", r#"invalid serve_stale failure recheck: time: invalid duration "x""#),
        ("1h immediate 1s 1s x", &format!("{COUNT} 'x'")),
        ("1h verify -1ms", "invalid negative timeout for serve_stale verify"),
        ("1h verify x", r#"invalid serve_stale verify timeout: time: invalid duration "x""#),
        ("1h verify 1s 500ms", "serve_stale response TTL must be a whole number of seconds"),
        ("1h verify 1s 1s 1s x", &format!("{COUNT} 'x'")),
    ] {
        check_option_error(&format!("serve_stale {option}"), expected);
    }
}

#[test]
fn the_policy_for_stale_answers_needs_stale_answers() {
    for options in
        ["serve_stale\nserve_stale_policy prefer_positive", "serve_stale_policy PREFER_POSITIVE\nserve_stale"]
    {
        assert!(read_option(options).stale.unwrap().prefer_positive);
    }
    check_option_error("serve_stale_policy prefer_positive", "serve_stale_policy requires serve_stale");
    check_option_error(
        "serve_stale\nserve_stale_policy",
        "Corefile:3 - Error during parsing: Wrong argument count or unexpected line ending after 'serve_stale_policy'",
    );
    check_option_error("serve_stale\nserve_stale_policy x", "invalid serve_stale_policy: x");
    check_option_error(
        "serve_stale\nserve_stale_policy prefer_positive\nserve_stale_policy prefer_positive",
        "serve_stale_policy can only be specified once",
    );
}

#[test]
fn servfail_disable_and_keepttl() {
    assert_eq!(read_option("servfail 5m").servfail, 300);
    assert_eq!(read_option("servfail 0").servfail, 0);
    check_option_error("servfail 6m", "caching SERVFAIL responses over 5 minutes is not permitted");
    check_option_error("servfail -1s", "invalid negative ttl for servfail");
    check_option_error("servfail 20", r#"time: missing unit in duration "20""#);
    let config = read_option("disable denial Example.com example.org\ndisable success");
    assert_eq!(config.denial.disabled, names(&["example.com", "example.org"]));
    assert_eq!(config.success.disabled, [Name::root()]);
    check_option_error("disable foo", r#"cache type for disable must be "success" or "denial""#);
    check_option_error("disable denial a..b", "invalid disabled zone: a..b");
    assert!(read_option("keepttl").keep_ttl);
    check_option_error(
        "keepttl x",
        "Corefile:2 - Error during parsing: Wrong argument count or unexpected line ending after 'x'",
    );
}

#[test]
fn unknown_options_and_a_second_cache_are_refused_and_all_errors_are_told() {
    check_option_error(
        "bogus 1",
        "Corefile:2 - Error during parsing: Wrong argument count or unexpected line ending after 'bogus'",
    );
    check_error("cache\ncache", "plugin/cache: this plugin can only be used once per Server Block");
    check_error(
        "cache 0 {\nservfail 6m\ndisable x\n}",
        "plugin/cache: cache TTL can not be zero or negative: 0\n\
         plugin/cache: caching SERVFAIL responses over 5 minutes is not permitted\n\
         plugin/cache: cache type for disable must be \"success\" or \"denial\"",
    );
}
