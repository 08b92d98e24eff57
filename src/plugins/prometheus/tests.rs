use super::*;
use crate::chain::{BlockSetup, Labels, intern, intern_labels, testing};
use crate::control::http::Request;
use crate::wire::{Name, Rcode, Rtype};

fn page(setup: &BlockSetup) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let request = Request { path: PATH.to_owned(), query: String::new() };
    let reply = runtime.block_on((setup.pages[0].handler)(request));
    assert_eq!(reply.status, 200);
    assert!(reply.headers.contains(&("content-type", metrics::CONTENT_TYPE.to_owned())));
    String::from_utf8(reply.body).unwrap()
}

#[test]
fn the_queries_of_the_block_are_counted_and_shown() {
    let (built, mut setup) =
        testing::build_in(&SPEC, &[Name::root()], BlockSetup::default(), "prometheus").unwrap();
    assert!(setup.counts_queries);
    let [plugin] = &built[..] else { panic!("one plugin") };
    let block = testing::block(vec![("prometheus", Arc::clone(plugin)), ("whoami", testing::address(1))]);
    let zone = intern("prometheus.test.");
    let labels = [Labels { server: intern("dns://:5301"), zone, view: "" }];
    let hooks = std::mem::take(&mut setup.when_placed);
    let places =
        Places { labels: &labels, plugins: &["prometheus", "whoami"], capabilities: &setup.capabilities };
    hooks.into_iter().for_each(|hook| hook(&places));
    let router = testing::router(&block);
    for qtype in [Rtype::A, Rtype::A, Rtype::TXT] {
        let mut query = testing::query("a.prometheus.test.", qtype);
        query.labels = intern_labels(labels[0]);
        let mut response = Response::default();
        assert!(crate::chain::driver::run(&router, &block, 0, &mut query, &mut response).is_none());
        assert_eq!(response.rcode(), Some(Rcode::NOERROR));
    }
    let shown = page(&setup);
    let labels = "server=\"dns://:5301\",zone=\"prometheus.test.\",view=\"\"";
    for line in [
        format!("coredns_dns_requests_total{{{labels},proto=\"udp\",family=\"1\",type=\"A\"}} 2\n"),
        format!("coredns_dns_requests_total{{{labels},proto=\"udp\",family=\"1\",type=\"TXT\"}} 1\n"),
        format!("coredns_dns_responses_total{{{labels},rcode=\"NOERROR\",plugin=\"whoami\"}} 3\n"),
        format!("coredns_dns_request_duration_seconds_count{{{labels}}} 3\n"),
        format!("coredns_plugin_enabled{{{labels},name=\"whoami\"}} 1\n"),
    ] {
        assert!(shown.contains(&line), "{line}");
    }
    assert!(shown.contains("coredns_build_info{version=\""));
    drop((built, block, router));
    let gone = format!("coredns_plugin_enabled{{{labels}");
    assert!(!page(&setup).contains(&gone), "it goes with its configuration");
}

#[test]
fn directives_are_read() {
    let check = |text: &str, host: &str, port: u16| {
        let (directives, _) = testing::directives(text);
        assert_eq!(read(&directives[0]).unwrap().0, PageAddress::new(host, port), "{text}");
    };
    check("prometheus", "localhost", 9153);
    check("prometheus :9153", "", 9153);
    check("prometheus [::1]:1 {\n runtime_metrics\n runtime_metrics\n}", "::1", 1);
}

#[test]
fn errors_are_those_of_coredns() {
    let check = |text: &str, want: &str| {
        assert_eq!(testing::build(&SPEC, text).err(), Some(format!("plugin/prometheus: {want}")), "{text}");
    };
    let count = |line: u32, word: &str| {
        format!(
            "Corefile:{line} - Error during parsing: Wrong argument count or unexpected line ending after '{word}'"
        )
    };
    check("prometheus x", "address x: missing port in address");
    check("prometheus a b", &count(1, "b"));
    check("prometheus {\n foo\n}", "Corefile:2 - Error during parsing: unknown option: foo");
    check("prometheus {\n runtime_metrics x\n}", &count(2, "x"));
    check("prometheus {\n tls\n}", &count(2, "tls"));
    check("prometheus {\n tls a b\n}", &count(2, "b"));
    check("prometheus\nprometheus", "this plugin can only be used once per Server Block");
    if cfg!(not(feature = "tls")) {
        let without = "Corefile:2 - Error during parsing: this waypost was built without TLS";
        check("prometheus {\n tls web.yml\n}", without);
    }
    let twice = "Corefile:3 - Error during parsing: tls block already specified";
    check("prometheus {\n tls a\n tls b\n}", twice);
}
