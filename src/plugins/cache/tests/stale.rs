//! Refreshes: prefetching, expired answers in all their modes, and the policy for positive ones.

use super::*;

const IMMEDIATE: &str = "cache stale.test {\nserve_stale 1h\n}";
const NAME: &str = "www.stale.test";

fn not_answering() -> Script {
    says(Rcode::NOERROR, &["additional @ 60 A"])
}

#[test]
fn popular_answers_are_refreshed_before_they_expire() {
    let bench = Bench::new("cache prefetch.test {\nprefetch 3 1m 10%\n}", address(100));
    let name = "www.prefetch.test";
    in_worker(async {
        bench.ask(name);
        let hit = async |after: u64| {
            clock::advance(seconds(after));
            bench.ask(name);
            settle().await;
            bench.asked()
        };
        // Twice, then a gap of more than a minute, and the count starts again.
        assert_eq!((hit(10).await, hit(10).await, hit(61).await), (1, 1, 1));
        assert_eq!(hit(8).await, 1, "ten percent are not reached yet");
        assert_eq!(hit(1).await, 2, "third hit, and ten seconds are left");
        let seen = bench.last_seen();
        assert_eq!(seen.transport, Transport::Tcp);
        assert!(seen.flags.has(Flags::AD | Flags::RD));
        // The new answer is popular from the start.
        assert_eq!(bench.ask(name).ttl(), 100);
        assert_eq!((hit(59).await, hit(31).await), (2, 3));
        assert_eq!(bench.series().prefetches.get(), 2);
    });
}

#[test]
fn one_refresh_an_entry_at_a_time() {
    let bench = Bench::new(IMMEDIATE, address(60));
    in_worker(async {
        bench.ask(NAME);
        clock::advance(seconds(61));
        let gate = bench.close_gate();
        for _ in 0..5 {
            assert_eq!(bench.ask(NAME).ttl(), 0);
            settle().await;
        }
        assert_eq!(bench.asked(), 2);
        gate.add_permits(1);
        settle().await;
        assert_eq!(bench.ask(NAME).ttl(), 60);
        assert_eq!(bench.asked(), 2);
    });
}

#[test]
fn a_refresh_that_is_given_up_gives_its_turn_back() {
    let bench = Bench::new(IMMEDIATE, address(60));
    in_worker(async {
        bench.ask(NAME);
        clock::advance(seconds(61));
        bench.close_gate();
        bench.ask(NAME);
        settle().await;
    });
    assert_eq!(bench.shared.refreshes.load(Ordering::Relaxed), 0, "the worker ended, and its tasks with it");
    clock::advance(seconds(1));
    in_worker(async {
        bench.ask(NAME);
        settle().await;
        assert_eq!(bench.asked(), 3);
    });
}

#[test]
fn an_expired_answer_is_served_at_once_and_then_asked_for() {
    let bench = Bench::new("cache stale.test {\nserve_stale 1h\n}", address(60));
    in_worker(async {
        bench.ask(NAME);
        bench.set(failure());
        clock::advance(seconds(60));
        let stale = bench.ask(NAME);
        assert_eq!((stale.rcode, stale.ttl()), (Some(Rcode::NOERROR), 0));
        settle().await;
        assert_eq!(bench.asked(), 2, "in the background");
        clock::advance(seconds(3599));
        assert_eq!(bench.ask(NAME).ttl(), 0);
        settle().await;
        clock::advance(seconds(1));
        assert_eq!(bench.ask(NAME).state, State::Failed(Rcode::SERVFAIL), "an hour after it expired");
        let series = bench.series();
        assert!(series.served_stale.get() >= 2);
    });
}

#[test]
fn only_a_complete_answer_replaces_an_expired_one() {
    for (script, replaces) in [
        (address(90), true),
        (nxdomain(90), true),
        (nodata(90), true),
        (says(Rcode::NOERROR, &["authority sub.test. 300 NS"]), true),
        (servfail(), false),
        (says(Rcode::NOTIMP, &[]), false),
        (says(Rcode::REFUSED, &[]), false),
        (failure(), false),
        (address(90).with(Flags::TC), false),
    ] {
        let bench = Bench::new(IMMEDIATE, address(60));
        in_worker(async {
            bench.ask(NAME);
            clock::advance(seconds(100));
            bench.set(script.clone());
            bench.ask(NAME);
            settle().await;
            let answer = bench.ask(NAME);
            settle().await;
            let is_stale = answer.rcode == Some(Rcode::NOERROR) && answer.ttls == [0];
            assert_eq!(is_stale, !replaces, "{script:?} {answer:?}");
            assert_eq!(bench.asked(), if replaces { 2 } else { 3 }, "{script:?}");
        });
    }
}

#[test]
fn expired_denials_are_served_and_end_with_a_positive_answer() {
    let bench = Bench::new(IMMEDIATE, nxdomain(60));
    in_worker(async {
        bench.ask(NAME);
        bench.set(address(60));
        clock::advance(seconds(300));
        assert_eq!(bench.ask(NAME).rcode, Some(Rcode::NXDOMAIN));
        settle().await;
        assert_eq!(bench.kept(), (1, 0));
        bench.set(failure());
        assert_eq!(bench.ask(NAME).rcode, Some(Rcode::NOERROR));
    });
}

#[test]
fn the_ttl_of_expired_answers_can_be_said() {
    let ask_stale = |options: &str| {
        let bench = Bench::new(&format!("cache stale.test {{\n{options}\n}}"), address(60));
        let mut ttl = 0;
        in_worker(async {
            bench.ask(NAME);
            bench.set(failure());
            clock::advance(seconds(100));
            ttl = bench.ask_later(NAME).await.ttl();
        });
        ttl
    };
    assert_eq!(ask_stale("serve_stale 1h immediate 30s"), 30);
    assert_eq!(ask_stale("serve_stale 1h verify 0 30s"), 30);
    assert_eq!(ask_stale("serve_stale 1h verify 1s 30s"), 30);
    assert_eq!(ask_stale("serve_stale 1h\nkeepttl"), 60);
    assert_eq!(ask_stale("serve_stale 1h immediate 30s\nkeepttl"), 30);
}

#[test]
fn verify_asks_first_and_serves_what_is_fresh() {
    let bench = Bench::new("cache stale.test {\nserve_stale 1h verify\n}", address(60));
    in_worker(async {
        bench.ask(NAME);
        clock::advance(seconds(100));
        bench.set(address(90));
        assert_eq!(bench.ask_later(NAME).await.ttl(), 90);
        assert_eq!(bench.last_seen().transport, Transport::Udp, "the client's own");
        assert_eq!((bench.ask(NAME).ttl(), bench.asked()), (90, 2));
        clock::advance(seconds(100));
        bench.set(servfail());
        assert_eq!(bench.ask_later(NAME).await.ttl(), 0);
        assert_eq!(bench.kept(), (1, 0), "the failure is not kept");
        bench.set(nxdomain(60).with(Flags::AD));
        let fresh = bench.ask_later(NAME).await;
        assert_eq!((fresh.rcode, fresh.ttl()), (Some(Rcode::NXDOMAIN), 60));
        assert!(!fresh.flags.has(Flags::AD));
        // Without a limit on failures, each query asks.
        assert_eq!(bench.asked(), 4);
    });
}

#[test]
fn a_denial_does_not_outlive_the_answer_that_verifying_brought() {
    let bench = Bench::new("cache stale.test {\nserve_stale 1h verify\n}", nxdomain(5));
    in_worker(async {
        bench.ask(NAME);
        clock::advance(seconds(10));
        bench.set(address(600));
        assert_eq!(bench.ask_later(NAME).await.rcode, Some(Rcode::NOERROR));
        bench.set(failure());
        assert_eq!((bench.ask(NAME).rcode, bench.asked()), (Some(Rcode::NOERROR), 2));
    });
}

#[test]
fn verify_with_a_timeout_gives_up_waiting_but_not_asking() {
    let bench = Bench::new("cache stale.test {\nserve_stale 1h verify 20ms\n}", address(60).with(Flags::AD));
    in_worker(async {
        bench.ask(NAME);
        clock::advance(seconds(100));
        let gate = bench.close_gate();
        let stale = bench.ask_later(NAME).await;
        assert_eq!(stale.ttl(), 0, "nothing came in time");
        assert!(!stale.flags.has(Flags::AD));
        gate.add_permits(1);
        settle().await;
        assert_eq!((bench.ask(NAME).ttl(), bench.asked()), (60, 2));
        clock::advance(seconds(100));
        gate.add_permits(1);
        let fresh = bench.ask_later(NAME).await;
        assert_eq!(fresh.ttl(), 60, "this came in time");
        assert!(fresh.flags.has(Flags::AA) && !fresh.flags.has(Flags::AD));
        clock::advance(seconds(100));
        bench.set(servfail());
        gate.add_permits(1);
        assert_eq!(bench.ask_later(NAME).await.ttl(), 0);
        // A fresh answer that may not be kept is served all the same.
        bench.set(says(Rcode::NOERROR, &["answer @ 60 CNAME=b.test"]));
        gate.add_permits(1);
        let dangling = bench.ask_later(NAME).await;
        assert_eq!((dangling.rcode, dangling.ttl()), (Some(Rcode::NOERROR), 60));
    });
}

#[test]
fn after_a_refresh_that_failed_none_is_tried_for_a_while() {
    for mode in ["immediate 30s 10s", "verify 0 30s 10s", "verify 1s 30s 10s"] {
        let bench = Bench::new(&format!("cache stale.test {{\nserve_stale 1h {mode}\n}}"), address(60));
        in_worker(async {
            bench.ask(NAME);
            clock::advance(seconds(100));
            bench.set(failure());
            for (after, asked) in [(0, 2), (9, 2), (1, 3), (5, 3), (5, 4)] {
                clock::advance(seconds(after));
                assert_eq!(bench.ask_later(NAME).await.ttl(), 30, "{mode}");
                settle().await;
                assert_eq!(bench.asked(), asked, "{mode}");
            }
            bench.set(address(60));
            clock::advance(seconds(10));
            bench.ask_later(NAME).await;
            settle().await;
            assert_eq!(bench.ask_later(NAME).await.ttl(), 60, "{mode}");
            assert_eq!(bench.asked(), 5, "{mode}");
        });
    }
}

#[test]
fn while_one_verifies_the_others_get_the_expired_answer() {
    let bench = Bench::new("cache stale.test {\nserve_stale 1h verify 0 30s 10s\n}", address(60));
    in_worker(async {
        bench.ask(NAME);
        clock::advance(seconds(100));
        let gate = bench.close_gate();
        let first = bench.ask_later(NAME);
        let others = async {
            assert_eq!(bench.ask_later(NAME).await.ttl(), 30);
            gate.add_permits(1);
        };
        let (first, ()) = tokio::join!(first, others);
        assert_eq!((first.ttl(), bench.asked()), (60, 2));
    });
}

const PREFER: &str = "serve_stale_policy prefer_positive";

#[test]
fn the_policy_keeps_serving_the_last_positive_answer() {
    for other in [nxdomain(60), nodata(60), servfail(), says(Rcode::NOTIMP, &[]), not_answering()] {
        let bench = Bench::new(&format!("cache stale.test {{\nserve_stale 1h\n{PREFER}\n}}"), address(60));
        in_worker(async {
            bench.ask(NAME);
            clock::advance(seconds(100));
            bench.set(other.clone());
            for _ in 0..2 {
                let answer = bench.ask(NAME);
                assert_eq!(
                    (answer.rcode, answer.ttls.as_slice()),
                    (Some(Rcode::NOERROR), &[0][..]),
                    "{other:?}"
                );
                assert_eq!(answer.response.len(), 32 + 16, "{other:?}");
                settle().await;
            }
            assert!(bench.kept() == (1, 1) || bench.kept() == (1, 0));
            // A positive answer takes its place, and removes the denial.
            bench.set(address(90));
            bench.ask(NAME);
            settle().await;
            assert_eq!(bench.ask(NAME).ttl(), 90, "{other:?}");
            assert_eq!(bench.kept(), (1, 0), "{other:?}");
        });
    }
}

#[test]
fn the_policy_ends_with_the_time_for_expired_answers() {
    let bench = Bench::new(&format!("cache stale.test {{\nserve_stale 10m\n{PREFER}\n}}"), address(60));
    in_worker(async {
        bench.ask(NAME);
        clock::advance(seconds(600));
        bench.set(not_answering());
        bench.ask(NAME);
        settle().await;
        clock::advance(seconds(59));
        assert_eq!(bench.ask(NAME).response.len(), 32 + 16);
        settle().await;
        bench.set(nxdomain(60));
        bench.ask(NAME);
        settle().await;
        clock::advance(seconds(2));
        assert_eq!(bench.ask(NAME).rcode, Some(Rcode::NXDOMAIN));
    });
}

#[test]
fn the_policy_verifies_with_positive_answers_only() {
    for timeout in ["0", "1s"] {
        let directive = format!("cache stale.test {{\nserve_stale 1h verify {timeout}\n{PREFER}\n}}");
        for other in [nxdomain(60), nodata(60), servfail(), not_answering(), failure()] {
            let bench = Bench::new(&directive, address(60));
            in_worker(async {
                bench.ask(NAME);
                clock::advance(seconds(100));
                bench.set(other.clone());
                assert_eq!(bench.ask_later(NAME).await.ttls, [0], "{other:?}");
                bench.set(address(90));
                assert_eq!(bench.ask_later(NAME).await.ttl(), 90, "{other:?}");
            });
        }
    }
}

#[test]
fn a_cache_without_a_worker_s_runtime_in_reach_never_needs_one_for_a_plain_hit() {
    let bench = Bench::new("cache plain.test", address(60));
    bench.ask("www.plain.test");
    bench.ask("www.plain.test");
    assert_eq!(bench.asked(), 1);
}
