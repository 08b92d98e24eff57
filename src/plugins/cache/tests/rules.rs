//! What is kept and for how long, what is served, and what is changed on the way.

use super::*;

/// Asks twice for `name` over `script` with a directive, and returns the first answer, the second, and whether the
/// second came from the cache.
fn twice(directive: &str, script: &Script) -> (Answer, Answer, bool) {
    let bench = Bench::new(directive, script.clone());
    let first = bench.ask("www.test");
    let second = bench.ask("www.test");
    (first, second, bench.asked() == 1)
}

#[track_caller]
fn check(script: &Script, kept: bool, ttl: u32) {
    let (first, second, hit) = twice("cache", script);
    assert_eq!(hit, kept, "{script:?}");
    assert_eq!(first.rcode, second.rcode);
    for answer in [first, second] {
        if !answer.ttls.is_empty() {
            assert_eq!(answer.ttl(), ttl, "{script:?}");
        }
    }
}

#[test]
fn positive_answers_are_kept_for_the_least_ttl_of_all_their_records() {
    check(&address(60), true, 60);
    check(&says(Rcode::NOERROR, &["answer @ 3600 CNAME=b.test", "answer b.test. 60 A"]), true, 60);
    check(
        &says(Rcode::NOERROR, &["answer @ 60 A", "authority test. 40 NS", "additional ns.test. 30 A"]),
        true,
        30,
    );
    check(&address(100_000), true, 3600);
    check(&address(u32::MAX), true, 3600);
    check(&address(0), true, 5);
    check(&address(4), true, 5);
}

#[test]
fn denials_are_kept_for_the_ttl_of_the_soa_record() {
    check(&nxdomain(60), true, 60);
    check(&nodata(60), true, 60);
    check(&nxdomain(100_000), true, 1800);
    check(&nodata(0), true, 5);
    let alias = "answer @ 300 CNAME=b.test";
    check(&says(Rcode::NOERROR, &[alias, "authority test. 90 SOA"]), true, 90);
}

#[test]
fn what_has_no_ttl_of_its_own_lives_five_seconds() {
    check(&says(Rcode::NOERROR, &[]), true, 5);
    check(&says(Rcode::NOERROR, &["authority sub.test. 300 NS", "additional ns.sub.test. 300 A"]), true, 5);
    check(&says(Rcode::SERVFAIL, &["authority test. 300 SOA"]), true, 5);
    check(&says(Rcode::NOTIMP, &["authority test. 300 SOA"]), true, 5);
    check(&says(Rcode::NOERROR, &["additional @ 300 A"]), true, 300);
}

#[test]
fn what_may_not_be_kept_is_asked_for_again() {
    check(&says(Rcode::NXDOMAIN, &[]), false, 5);
    check(&says(Rcode::NXDOMAIN, &["answer @ 60 CNAME", "authority test. 60 SOA"]), false, 5);
    check(&says(Rcode::NOERROR, &["answer @ 60 CNAME=b.test"]), false, 60);
    check(&says(Rcode::NOERROR, &["answer @ 60 CNAME=www.test", "answer @ 60 A"]), false, 60);
    check(&says(Rcode::REFUSED, &["answer @ 60 A"]), false, 5);
    check(&says(Rcode::FORMERR, &[]), false, 5);
    check(&address(60).with(Flags::TC), false, 60);
    let (_, answer, hit) = twice("cache", &failure());
    assert_eq!((answer.state, hit), (State::Failed(Rcode::SERVFAIL), false));
}

#[test]
fn a_ttl_in_the_directive_caps_and_a_least_ttl_lifts() {
    let ttl = |directive: &str, script: &Script| twice(directive, script).1.ttl();
    assert_eq!(ttl("cache 30", &address(60)), 30);
    assert_eq!(ttl("cache 30", &nxdomain(60)), 30);
    assert_eq!(ttl("cache {\nsuccess 1000 7200\n}", &address(7000)), 7000);
    assert_eq!(ttl("cache {\nsuccess 1000 100 50\n}", &address(10)), 50);
    assert_eq!(ttl("cache {\nsuccess 1000 100 500\n}", &address(10)), 100);
    assert_eq!(ttl("cache {\ndenial 1000 100 50\n}", &nxdomain(10)), 50);
    assert_eq!(ttl("cache {\nservfail 30s\n}", &says(Rcode::SERVFAIL, &["authority test. 9 SOA"])), 30);
    // A TTL of zero is allowed where the least is zero; such an answer is not kept.
    let (first, _, hit) = twice("cache {\nsuccess 1000 100 0\n}", &address(0));
    assert_eq!((first.ttl(), hit), (0, false));
    let (_, _, hit) = twice("cache {\nservfail 0\n}", &servfail());
    assert!(!hit);
}

#[test]
fn an_answer_grows_old_and_expires() {
    let bench = Bench::new("cache", address(60));
    assert_eq!(bench.ask("www.test").ttl(), 60);
    clock::advance(Duration::from_millis(900));
    assert_eq!(bench.ask("www.test").ttl(), 60);
    clock::advance(Duration::from_millis(1100));
    assert_eq!(bench.ask("www.test").ttl(), 58);
    clock::advance(seconds(57));
    assert_eq!((bench.ask("www.test").ttl(), bench.asked()), (1, 1));
    clock::advance(seconds(1));
    assert_eq!((bench.ask("www.test").ttl(), bench.asked()), (60, 2));
}

#[test]
fn keepttl_keeps_the_ttl_but_not_the_answer() {
    let bench = Bench::new("cache {\nkeepttl\n}", address(60));
    bench.ask("www.test");
    clock::advance(seconds(59));
    assert_eq!((bench.ask("www.test").ttl(), bench.asked()), (60, 1));
    clock::advance(seconds(1));
    assert_eq!((bench.ask("www.test").ttl(), bench.asked()), (60, 2));
}

#[test]
fn the_client_gets_its_own_id_spelling_and_flags() {
    let bench = Bench::new("cache", address(60));
    let first = bench.ask("www.test");
    assert!(!first.flags.has(Flags::AA) && first.flags.has(Flags::RA | Flags::RD));
    let mut wire = testing::query_wire("WwW.tESt", Rtype::A, None);
    wire[..4].copy_from_slice(&[9, 9, 0, 0]);
    let second = bench.ask_query(&mut testing::query_of(&wire));
    assert_eq!(bench.asked(), 1);
    assert!(second.flags.has(Flags::AA | Flags::RA) && !second.flags.has(Flags::RD), "{:?}", second.flags);
    // The owner is a pointer to the question, so it is spelled like it.
    assert_eq!(second.response[12..21], *b"\x03WwW\x04tESt");
    assert_eq!(second.response.len(), first.response.len());
    assert_eq!((first.size, second.size), (26 + 26 - 12 + 10, 26 + 26 - 12 + 10));
}

#[test]
fn ad_is_asked_for_and_told_to_who_asks() {
    let bench = Bench::new("cache", address(60).with(Flags::AD));
    let mut query = testing::query("www.test", Rtype::A);
    let first = bench.ask_query(&mut query);
    assert!(!first.flags.has(Flags::AD), "nobody asked for it");
    assert!(!query.flags().has(Flags::AD), "the query is again as the client sent it");
    assert!(bench.last_seen().flags.has(Flags::AD));
    let mut asks_ad = testing::query("www.test", Rtype::A);
    asks_ad.set_flags(asks_ad.flags().with(Flags::AD, true));
    assert!(bench.ask_query(&mut asks_ad).flags.has(Flags::AD));
    assert!(!bench.ask("www.test").flags.has(Flags::AD));
    assert_eq!(bench.asked(), 1);
    let bench = Bench::new("cache", address(60).with(Flags::AD));
    assert!(bench.ask_query(&mut asks_ad).flags.has(Flags::AD) && asks_ad.flags().has(Flags::AD));
    let mut asks_do = testing::query_of(&testing::query_wire("www.test", Rtype::A, Some((1232, true))));
    assert!(bench.ask_query(&mut asks_do).flags.has(Flags::AD));
    // AD of an answer that was not authenticated stays clear.
    let bench = Bench::new("cache", address(60));
    bench.ask("www.test");
    assert!(!bench.ask_query(&mut asks_ad).flags.has(Flags::AD));
}

#[test]
fn what_plugins_below_make_of_the_query_stays_below() {
    struct SetsRd(Arc<dyn Plugin>);
    impl Plugin for SetsRd {
        fn on_query(&self, cx: &Cx<'_>, query: &mut Query, response: &mut Response) -> Step {
            query.set_flags(query.flags().with(Flags::RD, true));
            self.0.on_query(cx, query, response)
        }
    }
    let (built, _) = testing::build(&SPEC, "cache example.org").unwrap();
    let failing = testing::failing(Rcode::SERVFAIL, "on purpose");
    let block = testing::block(vec![("cache", Arc::clone(&built[0])), ("below", Arc::new(SetsRd(failing)))]);
    for name in ["in.example.org", "out.example.net"] {
        let mut query = testing::query(name, Rtype::A);
        query.set_flags(Flags(0));
        testing::ask(&block, &mut query);
        assert_eq!(query.flags(), Flags(0), "{name}");
    }
}

#[test]
fn do_and_cd_are_asked_for_apart() {
    let bench = Bench::new("cache", address(60));
    let mut variants = Vec::new();
    for (dnssec_ok, checking_disabled) in [(false, false), (false, true), (true, false), (true, true)] {
        let opt = dnssec_ok.then_some((1232, true));
        let mut query = testing::query_of(&testing::query_wire("www.test", Rtype::A, opt));
        query.set_flags(query.flags().with(Flags::CD, checking_disabled));
        variants.push(query);
    }
    for round in [1, 2] {
        for query in &mut variants {
            let answer = bench.ask_query(query);
            assert_eq!(answer.flags.has(Flags::CD), query.flags().has(Flags::CD), "round {round}");
        }
    }
    assert_eq!(bench.asked(), 4);
}

#[test]
fn signatures_out_of_date_are_not_kept_for_who_looks_at_them() {
    let ask_twice = |signature: &str, dnssec_ok| {
        let bench = Bench::new("cache", says(Rcode::NOERROR, &["answer @ 60 A", signature]));
        for _ in 0..2 {
            let opt = Some((1232, dnssec_ok));
            bench.ask_query(&mut testing::query_of(&testing::query_wire("www.test", Rtype::A, opt)));
        }
        bench.asked()
    };
    assert_eq!(ask_twice("answer @ 60 RRSIG=valid.", true), 1);
    assert_eq!(ask_twice("answer @ 60 RRSIG=expired.", true), 2);
    assert_eq!(ask_twice("additional @ 60 RRSIG=expired.", true), 2);
    assert_eq!(ask_twice("answer @ 60 RRSIG=expired.", false), 1);
}

#[test]
fn transfers_and_notifications_pass_untouched() {
    let bench = Bench::new("cache", says(Rcode::NOERROR, &["answer @ 86400 SOA", "answer @ 7200 A"]));
    for qtype in [Rtype::AXFR, Rtype::IXFR] {
        let answer = bench.ask_query(&mut testing::query("test", qtype));
        assert_eq!(answer.ttls, [86400, 7200]);
        assert!(!bench.last_seen().flags.has(Flags::AD));
    }
    let mut notify = testing::query_wire("test", Rtype::SOA, None);
    notify[2] = 4 << 3;
    assert_eq!(bench.ask_query(&mut testing::query_of(&notify)).ttls, [86400, 7200]);
    assert_eq!((bench.kept(), bench.asked()), ((0, 0), 3));
}

#[test]
fn names_outside_the_zones_and_in_disabled_zones_are_not_kept() {
    let bench = Bench::new("cache example.org", address(60));
    for (name, asked, ttl) in [("a.example.org", 1, 60), ("a.example.net", 2, 60)] {
        bench.set(address(ttl));
        bench.ask(name);
        bench.ask(name);
        assert_eq!(bench.asked(), asked + usize::from(name == "a.example.net"));
    }
    assert_eq!(bench.kept(), (1, 0));

    let bench = Bench::new("cache {\ndisable success off.test\ndisable denial\n}", address(1));
    for name in ["off.test", "www.off.test", "on.test"] {
        // Not kept, but its TTL is what it would have been.
        assert_eq!(bench.ask(name).ttl(), 5);
    }
    bench.set(nxdomain(60));
    bench.ask("nothing.test");
    assert_eq!(bench.kept(), (1, 0));
}

#[test]
fn a_response_to_another_question_is_counted_and_not_kept() {
    let other = |query: &mut Query, response: &mut Response| {
        response.start(query, false, Rcode::NOERROR);
        response.push(Section::Answer, None, Rtype::A, Class::IN, 60, &[192, 0, 2, 1]);
        response.wire_mut()[13] ^= 1;
        Step::Respond
    };
    let (directives, _) = testing::directives("cache drops.test");
    let config = CacheConfig::read(&directives[0], |words| zones(words, &[])).unwrap();
    let cache = Arc::new(Cache::new(config, 0));
    let shared = Arc::clone(&cache.shared);
    let mut builder = BlockBuilder::default();
    builder.push("cache", cache);
    builder.push("upstream", Arc::new(Answering(other)));
    let block = Arc::new(builder.build());
    testing::ask(&block, &mut testing::query("www.drops.test", Rtype::A));
    assert_eq!(shared.stores.count(), (0, 0));
    assert_eq!(shared.metrics.of("dns://:53", "").drops.get(), 1);
}

#[test]
fn what_is_no_message_passes_as_it_is() {
    let garbage = |query: &mut Query, response: &mut Response| {
        response.start(query, false, Rcode::NOERROR);
        response.extend(Section::Answer, 1, &[0xC0], 1);
        Step::Respond
    };
    let bench = Bench::new("cache", address(60));
    let mut builder = BlockBuilder::default();
    builder.push("cache", Arc::new(Cache::new(CacheConfig { ..bench.shared.config.clone() }, 0)));
    builder.push("upstream", Arc::new(Answering(garbage)));
    let block = Arc::new(builder.build());
    let mut query = testing::query("www.test", Rtype::A);
    let response = testing::ask(&block, &mut query);
    assert!(response.wire().ends_with(&[0xC0]));
    assert!(!query.flags().has(Flags::AD));
}

#[test]
fn options_of_the_opt_record_end_here() {
    let answer = |query: &mut Query, response: &mut Response| {
        let mut upstream = Response::default();
        upstream.start(query, false, Rcode::NOERROR);
        upstream.push(Section::Answer, None, Rtype::A, Class::IN, 60, &[192, 0, 2, 1]);
        let mut wire = upstream.wire().to_vec();
        crate::wire::header::set_count(&mut wire, 3, 1);
        crate::wire::edns::append(&mut wire, 1232, 0, false, &[0, 3, 0, 1, b'x']);
        response.set_wire(&wire).unwrap();
        Step::Respond
    };
    let bench = Bench::new("cache", address(60));
    let mut builder = BlockBuilder::default();
    builder.push("cache", Arc::new(Cache::new(bench.shared.config.clone(), 0)));
    builder.push("upstream", Arc::new(Answering(answer)));
    let block = Arc::new(builder.build());
    let sizes = [0, 1].map(|_| {
        let response = testing::ask(&block, &mut testing::query("www.test", Rtype::A));
        assert_eq!(response.options(), None);
        response.uncompressed_size()
    });
    assert_eq!(sizes[0], sizes[1]);
}

#[test]
fn a_failure_never_hides_an_answer_and_an_answer_ends_a_denial() {
    let bench = Bench::new("cache {\nprefetch 1 1m 90%\n}", address(60));
    in_worker(async {
        bench.ask("www.test");
        clock::advance(seconds(10));
        // The refresh that this hit brings about fails: the answer goes on.
        bench.set(servfail());
        bench.ask("www.test");
        settle().await;
        assert_eq!(bench.kept(), (1, 1));
        assert_eq!(bench.ask("www.test").rcode, Some(Rcode::NOERROR));
        // A denial counts as long as it lives, then the answer again: it was to live longer.
        bench.set(nxdomain(10));
        settle().await;
        clock::advance(seconds(5));
        bench.ask("www.test");
        settle().await;
        assert_eq!(bench.ask("www.test").rcode, Some(Rcode::NXDOMAIN));
        clock::advance(seconds(10));
        bench.set(address(60));
        assert_eq!(bench.ask("www.test").rcode, Some(Rcode::NOERROR));
        settle().await;
        // That hit brought a new answer, which has removed the denial.
        assert_eq!(bench.kept(), (1, 0));
        assert_eq!(bench.ask("www.test").ttl(), 60);
    });
}

#[test]
fn wildcards_are_told_again() {
    let wildcard = |query: &mut Query, response: &mut Response| {
        if let Some(labels) = query.metadata_mut() {
            labels.set(WILDCARD, "*.test.".to_owned());
        }
        address(60).write(query, response)
    };
    struct Nothing;
    impl crate::chain::MetadataSource for Nothing {
        fn collect(&self, _: &Query, _: &mut crate::chain::Metadata) {}
    }
    let bench = Bench::new("cache", address(60));
    let mut builder = BlockBuilder::default();
    builder.push("cache", Arc::new(Cache::new(bench.shared.config.clone(), 0)));
    builder.push("upstream", Arc::new(Answering(wildcard)));
    builder.collect_metadata(vec![Name::root()], vec![Arc::new(Nothing)]);
    let block = Arc::new(builder.build());
    for _ in 0..2 {
        let mut query = testing::query("www.test", Rtype::A);
        let router = testing::router(&block);
        Router::route(&router, &mut query).unwrap();
        testing::ask(&block, &mut query);
        assert_eq!(query.metadata().unwrap().get(WILDCARD), Some("*.test."));
    }
}

#[test]
fn hits_and_misses_are_counted() {
    let bench = Bench::new("cache counted.test", address(60));
    let series = bench.series();
    bench.ask("www.counted.test");
    bench.ask("www.counted.test");
    bench.set(nxdomain(60));
    bench.ask("no.counted.test");
    bench.ask("no.counted.test");
    bench.ask("elsewhere.test");
    assert_eq!((series.requests.get(), series.misses.get()), (4, 2));
    assert_eq!((series.hits(Kind::Success).get(), series.hits(Kind::Denial).get()), (1, 1));
    let page = crate::metrics::render();
    for kind in ["success", "denial"] {
        let labels = format!(r#"server="dns://:53",type="{kind}",zones="counted.test.",view="""#);
        assert!(page.contains(&format!("coredns_cache_entries{{{labels}}} 1\n")), "{kind}");
    }
}

#[test]
fn a_flood_of_names_displaces_nothing_that_is_asked_for() {
    const HOT: usize = 500;
    const FLOOD: usize = 100_000;
    let bench = Bench::new("cache flood.test {\nsuccess 2560\n}", address(60));
    let hot: Vec<String> = (0..HOT).map(|i| format!("hot{i}.flood.test")).collect();
    for _ in 0..3 {
        hot.iter().for_each(|name| drop(bench.ask(name)));
    }
    let mut missed = 0;
    for i in 0..FLOOD {
        bench.ask(&format!("random{i}.flood.test"));
        if i % 2 == 0 {
            let before = bench.asked();
            bench.ask(&hot[i / 2 % HOT]);
            missed += bench.asked() - before;
        }
    }
    assert!(missed < FLOOD / 200, "{missed} of {} queries for hot names missed", FLOOD / 2);
    let (kept, _) = bench.kept();
    assert!(kept <= 2560, "{kept} answers kept");
    assert!(bench.series().evictions(Kind::Success).get() > 90_000);
}

#[test]
fn large_answers_take_more_room() {
    let large: Vec<&str> = vec!["answer @ 60 A"; 300];
    let bench = Bench::new("cache large.test {\nsuccess 1\n}", says(Rcode::NOERROR, &large));
    for i in 0..1024 {
        let name = format!("n{i}.large.test");
        bench.ask(&name);
        bench.ask(&name);
    }
    // 300 records and their offsets are 5,400 bytes: eleven units of 512 bytes.
    let (kept, _) = bench.kept();
    assert!((1..=1024 / 11).contains(&kept), "{kept} answers kept");
}

#[test]
fn workers_share_what_is_kept() {
    let bench = Bench::new("cache", address(60));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for i in 0..200 {
                    assert_eq!(bench.ask(&format!("n{i}.shared.test")).rcode, Some(Rcode::NOERROR));
                }
            });
        }
    });
    let before = bench.asked();
    for i in 0..200 {
        bench.ask(&format!("n{i}.shared.test"));
    }
    assert_eq!(bench.asked(), before);
}
