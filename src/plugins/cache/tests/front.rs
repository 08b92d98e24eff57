//! Each worker's front: it serves what the stores would, and lets go of the rest.

use super::*;

/// What another worker does, in the test's future by so much.
fn elsewhere(after: Duration, act: impl Future<Output = ()> + Send) {
    std::thread::scope(|scope| {
        scope.spawn(move || {
            clock::advance(after);
            in_worker(act);
        });
    });
}

/// Asks for `name` until this thread's front has the answer.
fn warm(bench: &Bench, name: &str) {
    for _ in 0..3 {
        bench.ask(name);
    }
    let query = testing::query(name, Rtype::A);
    let hit = Front::with(&bench.shared, |front| {
        front.get(&KeyRef::of(&query), query.now, &bench.shared.stores).map(|_| ())
    });
    assert_eq!(hit.flatten(), Some(()), "{name} is in the front");
}

#[test]
fn what_another_worker_replaced_is_not_served() {
    let bench = Bench::new("cache front.test", address(60));
    warm(&bench, "www.front.test");
    bench.set(address(90));
    elsewhere(seconds(60), async { drop(bench.ask("www.front.test")) });
    assert_eq!((bench.ask("www.front.test").ttl(), bench.asked()), (90, 2));
}

#[test]
fn what_another_worker_denied_is_not_served() {
    let bench = Bench::new("cache front.test {\nprefetch 1 1m 90%\n}", address(60));
    let name = "www.front.test";
    warm(&bench, name);
    bench.set(nxdomain(10));
    elsewhere(seconds(10), async {
        bench.ask(name);
        settle().await;
    });
    assert_eq!(bench.ask(name).rcode, Some(Rcode::NXDOMAIN));
    warm(&bench, name);
    // The denial ends with the next answer.
    bench.set(address(90));
    elsewhere(seconds(30), async {
        bench.ask(name);
        settle().await;
    });
    assert_eq!((bench.ask(name).rcode, bench.ask(name).ttl()), (Some(Rcode::NOERROR), 90));
}

#[test]
fn an_expired_answer_in_the_front_is_asked_for_again() {
    let bench = Bench::new("cache front.test", nxdomain(60));
    warm(&bench, "no.front.test");
    clock::advance(seconds(59));
    assert_eq!((bench.ask("no.front.test").ttl(), bench.asked()), (1, 1));
    clock::advance(seconds(1));
    assert_eq!((bench.ask("no.front.test").ttl(), bench.asked()), (60, 2));
}

#[test]
fn do_and_cd_are_told_apart_in_the_front() {
    let bench = Bench::new("cache front.test", address(60));
    warm(&bench, "www.front.test");
    let mut with_do = testing::query_of(&testing::query_wire("www.front.test", Rtype::A, Some((1232, true))));
    bench.ask_query(&mut with_do);
    bench.ask_query(&mut testing::query("www.front.test", Rtype::AAAA));
    assert_eq!(bench.asked(), 3);
}

#[test]
fn reloads_leave_no_fronts_behind_however_little_is_asked_between_them() {
    for _ in 0..5 {
        let bench = Bench::new("cache front.test", address(60));
        warm(&bench, "www.front.test");
        assert_eq!(Front::caches(), 1);
    }
}

#[test]
fn fronts_let_go_of_what_is_gone() {
    let old = Bench::new("cache front.test {\nsuccess 1\ndenial 1\n}", address(60));
    warm(&old, "www.front.test");
    let gone = Arc::downgrade(&old.shared);
    drop(old);
    assert!(gone.upgrade().is_none(), "a front keeps no cache alive");

    let new = Bench::new("cache front.test {\nsuccess 1\ndenial 1\n}", address(5));
    let names: Vec<String> = (0..600).map(|i| format!("n{i}.front.test")).collect();
    for name in &names {
        new.ask(name);
        new.ask(name);
    }
    assert!(Front::caches() == 1, "the front of the old cache is gone");
    assert!(Front::with(&new.shared, |front| front.len()).unwrap() > 500);
    // All of them are replaced, and asked for in another thread alone.
    elsewhere(seconds(5), async { names.iter().for_each(|name| drop(new.ask(name))) });
    for i in 0..512 {
        new.ask(&format!("other{i}.front.test"));
        new.ask(&format!("other{i}.front.test"));
    }
    let left = Front::with(&new.shared, |front| front.len()).unwrap();
    assert!(left <= 512, "{left} entries are held");
}

#[test]
fn large_answers_stay_in_the_stores() {
    let records: Vec<&str> = vec!["answer @ 60 A"; 30];
    let bench = Bench::new("cache front.test", says(Rcode::NOERROR, &records));
    for _ in 0..3 {
        bench.ask("www.front.test");
    }
    assert_eq!(bench.asked(), 1);
    assert_eq!(Front::with(&bench.shared, |front| front.len()).unwrap_or(0), 0);
}
