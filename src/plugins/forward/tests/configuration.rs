//! What directives mean, and what is wrong with them.

use super::*;

/// The first lines of all errors of `text`, one directive; host names are not looked up.
fn errors(text: &str) -> String {
    let (directives, sources) = directives(text);
    let mut warnings = Vec::new();
    let look_up = |name: &str| {
        Err(crate::upstream::lookup::LookupError::NoSuchHost { name: name.to_owned(), server: None })
    };
    match Config::read_with(&directives[0], &look_up, &mut warnings) {
        Ok(_) => String::new(),
        Err(errors) => errors.iter().map(|e| e.headline(&sources)).collect::<Vec<_>>().join("\n"),
    }
}

fn option_error(option: &str) -> String {
    errors(&format!("forward . 127.0.0.1 {{\n {option}\n}}"))
}

fn targets(text: &str) -> Vec<String> {
    let (directives, _) = directives(text);
    let look_up = |_: &str| Ok(vec!["192.0.2.8".parse().unwrap(), "2001:db8::8".parse().unwrap()]);
    let config = Config::read_with(&directives[0], &look_up, &mut Vec::new()).expect("good targets");
    config.targets.iter().map(|target| target.address.to_string()).collect()
}

fn file(text: &str) -> PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("waypost-forward-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn defaults_are_those_of_coredns() {
    let (directives, _) = directives("forward . 127.0.0.1");
    let config = Config::read(&directives[0], &mut Vec::new()).unwrap();
    assert_eq!((config.expire, config.read_timeout), (Duration::from_secs(10), Duration::from_secs(2)));
    assert_eq!((config.max_fails, config.max_connect_attempts, config.max_concurrent), (2, None, 0));
    assert!(matches!(config.policy, Policy::Random));
    assert_eq!(config.probe.interval, Duration::from_millis(500));
    assert!(config.probe.recursion && config.probe.domain.is_root());
}

#[test]
fn every_option_is_read() {
    let (directives, _) = directives(
        "forward Example.org 127.0.0.1 {\n except a.example.org 10.0.0.0/8\n except b.example.org\n force_tcp\n prefer_udp\n\
         expire 20s\n max_age 1m\n max_idle_conns 3\n max_fails 0\n max_connect_attempts 7\n read_timeout 500ms\n\
         policy sequential\n health_check 5s no_rec domain Example.net\n max_concurrent 1000\n next NXDOMAIN servfail\n\
         next_on_nodata\n failfast_all_unhealthy_upstreams\n failover REFUSED\n source_address ::ffff:127.0.0.1\n\
         resolver 192.0.2.53 [::1]:5353\n}",
    );
    let config = Config::read(&directives[0], &mut Vec::new()).unwrap();
    assert_eq!(config.from.to_string(), "example.org.");
    let except: Vec<String> = config.except.iter().map(Name::to_string).collect();
    assert_eq!(except, ["a.example.org.", "10.in-addr.arpa.", "b.example.org."]);
    assert!(config.force_tcp && config.prefer_udp && config.next_on_nodata && config.failfast);
    assert_eq!((config.expire.as_secs(), config.max_age.as_secs(), config.max_idle_conns), (20, 60, 3));
    assert_eq!((config.max_fails, config.max_connect_attempts, config.max_concurrent), (0, Some(7), 1000));
    assert_eq!(config.read_timeout.as_millis(), 500);
    assert!(matches!(config.policy, Policy::Sequential));
    assert_eq!((config.probe.interval.as_secs(), config.probe.recursion), (5, false));
    assert_eq!(
        (config.probe.domain.to_string(), config.probe.transport),
        ("example.net.".into(), Transport::Tcp)
    );
    assert_eq!(config.next, [Rcode::NXDOMAIN, Rcode::SERVFAIL]);
    assert_eq!(config.failover, [Rcode::REFUSED]);
    assert_eq!(config.source_address, Some("127.0.0.1".parse::<IpAddr>().unwrap()));
}

#[test]
fn errors_have_coredns_words() {
    let count = |after: &str| {
        format!("Error during parsing: Wrong argument count or unexpected line ending after '{after}'")
    };
    let first = |what: &str| format!("Corefile:1 - {what}");
    let second = |what: &str| format!("Corefile:2 - {what}");
    assert_eq!(errors("forward"), first(&count("forward")));
    assert_eq!(errors("forward ."), first(&count(".")));
    let long = "x".repeat(64);
    assert_eq!(errors(&format!("forward {long} 127.0.0.1")), format!("unable to normalize '{long}'"));
    for (option, want) in [
        ("foo", second("Error during parsing: unknown property 'foo'")),
        ("except", second(&count("except"))),
        ("force_tcp x", second(&count("x"))),
        ("prefer_udp x", second(&count("x"))),
        ("next_on_nodata x", second(&count("x"))),
        ("failfast_all_unhealthy_upstreams x", second(&count("x"))),
        ("expire", second(&count("expire"))),
        ("expire 10", "time: missing unit in duration \"10\"".into()),
        ("expire -1s", "expire can't be negative: -1s".into()),
        ("expire 10s 20s", second("Error during parsing: unknown property '20s'")),
        ("max_age -1s", "max_age can't be negative: -1s".into()),
        ("max_age 5s", "max_age (5s) must not be less than expire (10s)".into()),
        ("max_idle_conns -1", "max_idle_conns can't be negative: -1".into()),
        ("max_idle_conns x", "strconv.Atoi: parsing \"x\": invalid syntax".into()),
        ("max_fails -1", "strconv.ParseUint: parsing \"-1\": invalid syntax".into()),
        ("max_fails 4294967296", "strconv.ParseUint: parsing \"4294967296\": value out of range".into()),
        ("max_connect_attempts x", "strconv.ParseUint: parsing \"x\": invalid syntax".into()),
        ("read_timeout 0", "read_timeout must be positive: 0s".into()),
        ("read_timeout -2s", "read_timeout must be positive: -2s".into()),
        ("policy x", second("Error during parsing: unknown policy 'x'")),
        ("policy", second(&count("policy"))),
        ("health_check", second(&count("health_check"))),
        ("health_check -1s", "health_check can't be negative: -1000000000".into()),
        ("health_check 1s foo", "health_check: unknown option foo".into()),
        ("health_check 1s domain", second(&count("domain"))),
        ("health_check 1s domain a..b", "health_check: invalid domain name a..b".into()),
        ("max_concurrent -1", "max_concurrent can't be negative: -1".into()),
        ("max_concurrent many", "strconv.Atoi: parsing \"many\": invalid syntax".into()),
        ("next", second(&count("next"))),
        ("next FOO", "FOO is not a valid rcode".into()),
        ("failover NOERROR", "NoError cannot be used in failover".into()),
        ("failover", second(&count("failover"))),
        ("source_address x", second("Error during parsing: invalid IP address: x")),
        ("source_address", second(&count("source_address"))),
        ("resolver", second(&count("resolver"))),
        ("resolver dns.example", "resolver must be an IP address or IP:port: \"dns.example\"".into()),
    ] {
        assert_eq!(option_error(option), want, "{option}");
    }
    let tls = option_error("tls_servername dns.example");
    assert!(tls.contains("'tls_servername' is not supported in forward yet"), "{tls}");
}

#[test]
fn all_errors_of_a_directive_are_told_at_once() {
    let all = errors("forward . grpc://127.0.0.1 127.0.0.1:x {\n policy x\n expire 10\n}");
    assert_eq!(all.lines().count(), 4, "{all}");
}

#[test]
fn targets_are_addresses_files_or_names() {
    assert_eq!(
        targets("forward . 127.0.0.1 127.0.0.1:53 [::1]:5353 ::1 [::2] dns://127.0.0.2:54 dns://127.0.0.3"),
        ["127.0.0.1:53", "[::1]:5353", "[::1]:53", "[::2]:53", "127.0.0.2:54", "127.0.0.3:53"]
    );
    assert_eq!(targets("forward . fe80::1%lo"), ["[fe80::1%1]:53"]);
    assert_eq!(
        targets("forward . app:5000 127.0.0.1 dns.example"),
        ["192.0.2.8:5000", "[2001:db8::8]:5000", "127.0.0.1:53", "192.0.2.8:53", "[2001:db8::8]:53"]
    );
    let conf = file("search x\nnameserver 127.0.0.9\nnameserver ::9%eth0\nnameserver bad.example\n");
    let empty = file("# nothing\n");
    assert_eq!(
        targets(&format!("forward . {} {} 127.0.0.1", empty.display(), conf.display())),
        ["127.0.0.9:53", "[::9]:53", "127.0.0.1:53"]
    );
    assert_eq!(errors(&format!("forward . {}", empty.display())), "no valid upstream addresses found");
    assert_eq!(errors("forward . /"), "no valid upstream addresses found");
    std::fs::remove_file(conf).unwrap();
    std::fs::remove_file(empty).unwrap();
}

#[test]
fn bad_targets_have_coredns_words() {
    for (target, want) in [
        ("/nonexist", "failed to resolve \"/nonexist\": lookup /nonexist: no such host"),
        ("a27.0.0.1", "failed to resolve \"a27.0.0.1\": lookup a27.0.0.1: no such host"),
        ("dns://", "invalid address: \"dns://\""),
        ("a..b", "not an IP address, file, or valid domain: \"a..b\""),
        ("grpc://", "invalid address: \"grpc://\""),
        ("grpc://dns.example", "not an IP address, file, or valid domain: \"grpc://dns.example\""),
        (
            "https://1.1.1.1/x",
            "paths are not allowed in HTTPS upstream addresses (the /dns-query path is used by default): https://1.1.1.1/x",
        ),
        ("127.0.0.1:0", "invalid port in \"127.0.0.1:0\""),
        ("127.0.0.1:99999", "invalid port in \"127.0.0.1:99999\""),
        ("fe80::1%nosuch0", "no such network interface: nosuch0 in \"fe80::1%nosuch0\""),
    ] {
        assert_eq!(errors(&format!("forward . {target}")), want);
    }
}

#[test]
fn upstreams_of_other_schemes_are_shown_as_coredns_shows_them() {
    let check = |target: &str, scheme: &str, shown: &str| {
        let want = format!("'{scheme}' is not supported as a destination protocol in forward{shown}");
        assert_eq!(errors(&format!("forward . {target}")), want);
    };
    check("grpc://127.0.0.1", "grpc", ": grpc://127.0.0.1:443");
    check("grpc://127.0.0.1:5", "grpc", ": grpc://127.0.0.1:5");
    check("quic://127.0.0.1", "quic", ": quic://127.0.0.1:853");
    check("quic://::1", "quic", ": quic://[::1]:853");
    check("quic://[::1]:5", "quic", ": quic://[::1]:5");
    check("grpc://fe80::1%lo", "grpc", ": grpc://[fe80::1]:443");
    check("https3://1.1.1.1:443", "https3", ": https3://1.1.1.1:443");
    check("unix:///run/dns", "unix", ": unix:///run/dns");
    check("tls://1.1.1.1", "tls", " yet: tls://1.1.1.1:853");
    check("tls://9.9.9.9%dns.quad9.net", "tls", " yet: tls://9.9.9.9:853");
    check("tls://dns.example", "tls", " yet: tls://dns.example");
    check("https://1.1.1.1", "https", " yet: https://1.1.1.1:443");
}

#[test]
fn tos_are_counted_as_they_stand_there() {
    let many: Vec<String> = (1..=16).map(|n| format!("127.0.0.{n}")).collect();
    assert_eq!(errors(&format!("forward . {}", many.join(" "))), "more than 15 TOs configured: 16");
    assert_eq!(errors(&format!("forward . {}", many[..15].join(" "))), "");
    let same = "127.0.0.1 ".repeat(16);
    assert_eq!(errors(&format!("forward . {same}")), "more than 15 TOs configured: 16");
    // A file is one, or none.
    let lines = |n: usize| (1..=n).map(|i| format!("nameserver 127.0.1.{i}\n")).collect::<String>();
    let (full, large, empty) = (file(&lines(20)), file(&lines(65)), file(""));
    let path = |file: &PathBuf| file.display().to_string();
    assert_eq!(targets(&format!("forward . {}", path(&full))).len(), 20);
    let listed = many[..15].join(" ");
    assert_eq!(errors(&format!("forward . {listed} {}", path(&empty))), "");
    assert_eq!(errors(&format!("forward . {listed} {}", path(&full))), "more than 15 TOs configured: 16");
    assert_eq!(errors(&format!("forward . {}", path(&large))), "more than 64 upstreams: 65");
    [full, large, empty].iter().for_each(|file| std::fs::remove_file(file).unwrap());
}

#[test]
fn errors_of_several_directives_are_all_told() {
    let error = build(&SPEC, "forward . 127.0.0.1:0\nforward a 127.0.0.1 {\n foo\n}").err().unwrap();
    assert_eq!(
        error,
        "plugin/forward: invalid port in \"127.0.0.1:0\"\nplugin/forward: Corefile:3 - Error during parsing: unknown property 'foo'"
    );
}

#[test]
fn an_upstream_that_is_ourselves_is_left_out_with_a_warning() {
    let ours = listening(&[]);
    let (_, setup) =
        build_in(&SPEC, &[Name::root()], ours, "forward . 127.0.0.1 192.0.2.1 127.0.0.1:54").unwrap();
    let [warning] = &setup.warnings[..] else { panic!("{:?}", setup.warnings) };
    assert!(warning.message.starts_with("127.0.0.1:53 is waypost itself"), "{}", warning.message);
    let elsewhere = listening(&["192.0.2.9"]);
    let (_, setup) = build_in(&SPEC, &[Name::root()], elsewhere, "forward . 127.0.0.1").unwrap();
    assert!(setup.warnings.is_empty());
}

#[test]
fn a_network_of_several_zones_is_warned_of() {
    let (_, setup) = build(&SPEC, "forward 10.9.3.0/18 127.0.0.1").unwrap();
    let want = "Unsupported CIDR notation: '10.9.3.0/18' expands to multiple zones. Using only '0.9.10.in-addr.arpa.'.";
    assert_eq!(setup.warnings[0].message, want);
    assert!(setup.other_classes);
}
