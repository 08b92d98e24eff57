//! Queries through the plugin, with upstreams that do as a test says.

use super::*;

#[tokio::test(flavor = "local")]
async fn a_query_is_passed_on_and_its_response_back() {
    let upstream = Scripted::udp(answering).await;
    let mut asked = query_of(&query_wire("wWw.Example.org", Rtype::A, Some((1232, true))));
    let chain = chain_of(&format!("forward . {}", upstream.address));
    let response = ask_later(&chain, &mut asked).await;
    assert_eq!(response.rcode(), Some(Rcode::NOERROR));
    assert_eq!(response.by(), "forward");
    assert_eq!(response.wire()[..2], asked.wire()[..2]);
    assert_eq!(response.wire()[12..asked.question_end()], asked.wire()[12..asked.question_end()]);
    assert!(response.flags().has(Flags::RA));
    let (_, sent) = upstream.received().remove(0);
    assert_eq!(sent[2..], asked.wire()[2..], "as it came, EDNS and spelling included");
}

#[tokio::test(flavor = "local")]
async fn other_names_go_to_the_next_plugin() {
    let upstream = Scripted::udp(answering).await;
    let text = format!("forward example.org {} {{\n except a.example.org example.org\n}}", upstream.address);
    let (built, _) = build(&SPEC, &text).unwrap();
    let chain =
        block(vec![("forward", Arc::clone(&built[0])), ("neighbour", failing(Rcode::REFUSED, "next"))]);
    for (name, ours) in [
        ("example.org", true),
        ("b.example.org", false),
        ("a.example.org", false),
        ("x.A.example.org", false),
        ("example.net", false),
        ("badexample.org", false),
    ] {
        let response = ask_later(&chain, &mut query(name, Rtype::A)).await;
        assert_eq!(response.is_written(), ours, "{name}");
    }
}

#[tokio::test(flavor = "local")]
async fn the_clients_transport_is_kept_unless_told_otherwise() {
    let upstream = Scripted::both(answering).await;
    let other = upstream.address;
    for (option, client, want_udp) in [
        ("", chain::Transport::Udp, 1),
        ("", chain::Transport::Tcp, 0),
        ("force_tcp", chain::Transport::Udp, 0),
        ("prefer_udp", chain::Transport::Tcp, 1),
        ("prefer_udp\n force_tcp", chain::Transport::Udp, 0),
    ] {
        let before = upstream.received().len();
        let chain = chain_of(&format!("forward . {other} {{\n {option}\n}}"));
        let mut asked = query("example.org", Rtype::A);
        asked.transport = client;
        let response = ask_later(&chain, &mut asked).await;
        assert!(response.is_written(), "{option} {client:?}");
        assert_eq!(upstream.received().len() - before, want_udp, "{option} {client:?}");
    }
}

#[tokio::test(flavor = "local")]
async fn with_prefer_udp_a_truncated_response_is_asked_for_over_tcp() {
    let truncated = |query: &[u8]| {
        let mut wire = answer(query)[..query.len()].to_vec();
        header::set_count(&mut wire, 1, 0);
        Flags::of(&wire).with(Flags::TC, true).write(&mut wire);
        vec![wire]
    };
    let upstream = Scripted::both(truncated).await;
    let response = ask(&format!("forward . {} {{\n prefer_udp\n}}", upstream.address), "a.example").await;
    assert!(!response.flags().has(Flags::TC));
    assert_eq!(header::counts(response.wire())[1], 1);
    let response = ask(&format!("forward . {}", upstream.address), "a.example").await;
    assert!(response.flags().has(Flags::TC), "without it, TC is for the client");
}

#[tokio::test(flavor = "local")]
async fn the_next_upstream_is_asked_when_one_is_dead() {
    let upstream = Scripted::udp(answering).await;
    let text = format!("forward . {} {} {{\n policy sequential\n}}", dead().await, upstream.address);
    assert!(ask(&text, "a.example").await.is_written());
}

#[tokio::test(flavor = "local")]
async fn a_dead_upstream_is_tried_twice_and_its_error_told() {
    let address = dead().await;
    let response = ask(&format!("forward . {address}"), "a.example").await;
    let (rcode, text) = failure(&response);
    assert_eq!(rcode, Rcode::SERVFAIL);
    assert!(text.starts_with("read udp 127.0.0.1:"), "{text}");
    assert!(text.ends_with(&format!("->{address}: read: connection refused")), "{text}");
}

#[tokio::test(flavor = "local")]
async fn attempts_are_counted_and_each_has_its_time() {
    let upstream = Scripted::udp(silent).await;
    let ask_with = async |option: &str| {
        let before = upstream.received().len();
        let begun = std::time::Instant::now();
        let text =
            format!("forward . {} {{\n read_timeout 50ms\n max_fails 0\n {option}\n}}", upstream.address);
        let (_, text) = failure(&ask(&text, "a.example").await);
        assert!(text.ends_with("i/o timeout"), "{text}");
        (upstream.received().len() - before, begun.elapsed())
    };
    let (sent, took) = ask_with("").await;
    assert_eq!(sent, 2);
    assert!((100..400).contains(&took.as_millis()), "{took:?}");
    assert_eq!(ask_with("max_connect_attempts 3").await.0, 3);
}

#[tokio::test(flavor = "local")]
async fn one_too_many_is_refused_at_once() {
    let upstream = Scripted::udp(silent).await;
    let text = format!("forward . {} {{\n max_concurrent 2\n read_timeout 100ms\n}}", upstream.address);
    let chain = chain_of(&text);
    let rejects = FORWARD_MAX_CONCURRENT_REJECTS.with([]);
    let before = rejects.get();
    let waiting: Vec<_> = ["a.example", "b.example"]
        .map(|name| {
            let chain = Arc::clone(&chain);
            tokio::task::spawn_local(async move {
                ask_later(&chain, &mut query(name, Rtype::A)).await;
            })
        })
        .into();
    upstream.wait_for(2).await;
    let (rcode, text) = failure(&ask_later(&chain, &mut query("c.example", Rtype::A)).await);
    assert_eq!((rcode, text.as_str()), (Rcode::REFUSED, "concurrent queries exceeded maximum 2"));
    assert!(rejects.get() > before);
    for task in waiting {
        task.await.unwrap();
    }
    let (rcode, _) = failure(&ask_later(&chain, &mut query("d.example", Rtype::A)).await);
    assert_eq!(rcode, Rcode::SERVFAIL, "those that are over count no longer");
}

#[tokio::test(flavor = "local")]
async fn upstreams_that_are_down_are_passed_over_until_they_answer() {
    let address = dead().await;
    let alive = Scripted::udp(answering).await;
    let text = format!(
        "forward . {address} {} {{\n policy sequential\n health_check 10ms\n max_fails 1\n}}",
        alive.address
    );
    let (directives, _) = directives(&text);
    let config = Config::read(&directives[0], &mut Vec::new()).unwrap();
    let inner = Arc::new(Inner::new(config, false, &[], &mut Vec::new()));
    let chain = block(vec![("forward", Arc::new(Forward(Arc::clone(&inner))))]);
    assert!(ask_later(&chain, &mut query("a.example", Rtype::A)).await.is_written());
    let health = inner.upstreams[0].health();
    while !health.is_down(1) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let misses =
        crate::metrics::names::PROXY_CONN_CACHE_MISSES.with(["forward", &address.to_string(), "udp"]);
    let hits = crate::metrics::names::PROXY_CONN_CACHE_HITS.with(["forward", &address.to_string(), "udp"]);
    let before = misses.get() + hits.get();
    assert!(ask_later(&chain, &mut query("b.example", Rtype::A)).await.is_written());
    assert_eq!(misses.get() + hits.get(), before, "it was not asked");
    let revived = Scripted::udp_on(UdpSocket::bind(address).await.unwrap(), answering);
    while health.fails() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(ask_later(&chain, &mut query("c.example", Rtype::A)).await.is_written());
    assert_eq!(name_of(&revived.received().last().unwrap().1), "c.example.");
}

#[tokio::test(flavor = "local")]
async fn when_all_are_down_one_is_asked_all_the_same_or_none() {
    let address = dead().await;
    let broken = FORWARD_HEALTHCHECK_BROKEN.with([]);
    for failfast in [false, true] {
        let option = if failfast { "failfast_all_unhealthy_upstreams" } else { "" };
        let text = format!("forward . {address} {{\n health_check 10ms\n max_fails 1\n {option}\n}}");
        let (directives, _) = directives(&text);
        let config = Config::read(&directives[0], &mut Vec::new()).unwrap();
        let inner = Arc::new(Inner::new(config, false, &[], &mut Vec::new()));
        let chain = block(vec![("forward", Arc::new(Forward(Arc::clone(&inner))))]);
        ask_later(&chain, &mut query("a.example", Rtype::A)).await;
        while !inner.upstreams[0].health().is_down(1) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let before = broken.get();
        let (rcode, text) = failure(&ask_later(&chain, &mut query("b.example", Rtype::A)).await);
        assert_eq!(rcode, Rcode::SERVFAIL);
        assert_eq!(text == "no healthy proxies", failfast, "{text}");
        assert!(broken.get() > before);
    }
}

#[tokio::test(flavor = "local")]
async fn failover_asks_the_next_upstream_for_some_codes() {
    let refusing = Scripted::udp(code(Rcode::REFUSED)).await;
    let failing = Scripted::udp(code(Rcode::SERVFAIL)).await;
    let upstream = Scripted::udp(answering).await;
    let all = format!("{} {} {}", refusing.address, failing.address, upstream.address);
    let both = "policy sequential\n failover REFUSED SERVFAIL";
    let response = ask(&format!("forward . {all} {{\n {both}\n}}"), "a.example").await;
    assert_eq!(response.rcode(), Some(Rcode::NOERROR));
    let one = "policy sequential\n failover REFUSED";
    let response = ask(&format!("forward . {all} {{\n {one}\n}}"), "a.example").await;
    assert_eq!(response.rcode(), Some(Rcode::SERVFAIL));
    let two = format!("{} {}", refusing.address, failing.address);
    let response = ask(&format!("forward . {two} {{\n {both}\n}}"), "a.example").await;
    assert_eq!(response.rcode(), Some(Rcode::SERVFAIL), "the last response counts");
}

#[tokio::test(flavor = "local")]
async fn next_hands_some_codes_to_the_next_forward() {
    let unknowing = Scripted::udp(code(Rcode::NXDOMAIN)).await;
    let empty = Scripted::udp(code(Rcode::NOERROR)).await;
    let upstream = Scripted::udp(answering).await;
    let text = format!(
        "forward . {} {{\n next NXDOMAIN\n}}\nforward . {} {{\n next_on_nodata\n}}\nforward . {} {{\n next NOERROR\n}}",
        unknowing.address, empty.address, upstream.address
    );
    let response = ask(&text, "a.example").await;
    assert_eq!(response.rcode(), Some(Rcode::NOERROR));
    assert_eq!(header::counts(response.wire())[1], 1);
    assert_eq!([&unknowing, &empty, &upstream].map(|u| u.received().len()), [1, 1, 1]);
    let alone = format!("forward . {} {{\n next NXDOMAIN\n next_on_nodata\n}}", unknowing.address);
    let response = ask(&alone, "a.example").await;
    assert_eq!(response.rcode(), Some(Rcode::NXDOMAIN), "without a next forward it has no effect");
}

#[tokio::test(flavor = "local")]
async fn metadata_name_the_upstream_that_was_asked_last() {
    struct Nothing;
    impl MetadataSource for Nothing {
        fn collect(&self, _: &Query, _: &mut Metadata) {}
    }
    let upstream = Scripted::udp(answering).await;
    let text = format!("forward . {} {} {{\n policy sequential\n}}", dead().await, upstream.address);
    let (built, _) = build(&SPEC, &text).unwrap();
    let mut builder = chain::BlockBuilder::default();
    builder.push("forward", Arc::clone(&built[0]));
    builder.collect_metadata(vec![Name::root()], vec![Arc::new(Nothing)]);
    let block = Arc::new(builder.build());
    let listener = router(&block);
    let mut asked = query("a.example", Rtype::A);
    let found = chain::Router::route(&listener, &mut asked).expect("the root zone is served");
    assert!(ask_later(&found, &mut asked).await.is_written());
    let label = asked.metadata().and_then(|labels| labels.get("forward/upstream"));
    assert_eq!(label, Some(upstream.address.to_string().as_str()));
}

#[tokio::test(flavor = "local")]
async fn what_is_measured_has_corednss_labels() {
    let upstream = Scripted::udp(code(Rcode::NXDOMAIN)).await;
    ask(&format!("forward . {}", upstream.address), "a.example").await;
    let to = upstream.address.to_string();
    let durations = crate::metrics::names::PROXY_REQUEST_DURATION.with(["forward", &to, "NXDOMAIN"]);
    assert_eq!(durations.count(), 1);
    assert_eq!(crate::metrics::names::PROXY_CONN_CACHE_MISSES.with(["forward", &to, "udp"]).get(), 1);
}

#[tokio::test(flavor = "local")]
async fn with_no_upstream_but_ourselves_there_is_no_storm() {
    let ours = listening(&[]);
    let (built, _) = build_in(&SPEC, &[Name::root()], ours, "forward . 127.0.0.1").unwrap();
    let chain = block(vec![("forward", Arc::clone(&built[0]))]);
    let (rcode, text) = failure(&ask_later(&chain, &mut query("a.example", Rtype::A)).await);
    assert_eq!((rcode, text.as_str()), (Rcode::SERVFAIL, "no upstream but waypost itself"));
}

#[tokio::test(flavor = "local")]
async fn a_reply_that_cannot_be_read_is_an_error_and_the_next_upstream_is_asked() {
    let broken = Scripted::udp(|query| {
        let mut wire = answer(query);
        let name = query.len();
        wire[name..name + 2].copy_from_slice(&[0xC0, name as u8]);
        vec![wire]
    })
    .await;
    let upstream = Scripted::udp(answering).await;
    let text = format!("forward . {} {} {{\n policy sequential\n}}", broken.address, upstream.address);
    assert_eq!(ask(&text, "a.example").await.rcode(), Some(Rcode::NOERROR));
    let (rcode, text) = failure(&ask(&format!("forward . {}", broken.address), "a.example").await);
    assert_eq!((rcode, text), (Rcode::SERVFAIL, format!("malformed reply from {}", broken.address)));
}

#[tokio::test(flavor = "local")]
async fn other_classes_are_passed_on_too() {
    let upstream = Scripted::udp(answering).await;
    let mut wire = query_wire("version.bind", Rtype::TXT, None);
    let end = wire.len();
    wire[end - 2..].copy_from_slice(&Class::CH.0.to_be_bytes());
    let chain = chain_of(&format!("forward . {}", upstream.address));
    assert!(ask_later(&chain, &mut query_of(&wire)).await.is_written());
}
