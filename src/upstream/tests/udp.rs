//! Over UDP: what forgers, dead and odd upstreams do; ports, IDs, retirement, bounds.

use super::*;

#[tokio::test(flavor = "local")]
async fn a_reply_comes_back_with_the_querys_own_id_and_spelling() {
    let scripted = Scripted::udp(|query| vec![answer(query)]).await;
    let upstream = upstream(scripted.address, |_| {});
    check(ask(&upstream, "wWw.example.ORG", Udp).await, "wWw.example.ORG");
    assert_eq!(upstream.local().unwrap().in_flight(), (0, 0));
    assert_eq!(upstream.ignored(), 0);
}

#[tokio::test(flavor = "local")]
async fn a_thousand_queries_at_once_find_their_replies() {
    let scripted = Scripted::udp(|query| vec![answer(query)]).await;
    let upstream = upstream(scripted.address, |_| {});
    let names: Vec<String> = (0..1_000).map(|i| format!("host{i}.example.org")).collect();
    for batch in names.chunks(100) {
        let all: Vec<Exchanging> =
            batch.iter().map(|name| upstream.exchange(&query(0xABCD, name), Udp, PATIENCE)).collect();
        for (name, exchanging) in batch.iter().zip(all) {
            check(exchanging.await, name);
        }
    }
    assert_eq!(upstream.local().unwrap().in_flight(), (0, 0));
}

#[tokio::test(flavor = "local")]
async fn forged_and_garbled_messages_do_not_end_the_wait() {
    let scripted = Scripted::udp(|query| {
        let right = answer(query);
        let mut wrong_id = right.clone();
        wrong_id[0] ^= 0xFF;
        let mut no_response = right.clone();
        no_response[2] &= 0x7F;
        let mut other_name = right.clone();
        other_name[13] ^= 0x01;
        let mut other_type = right.clone();
        other_type[query.len() - 3] = 28;
        let mut two_questions = right.clone();
        two_questions[5] = 2;
        let garbage = vec![0xFF; 40];
        let short = right[..11].to_vec();
        vec![wrong_id, no_response, other_name, other_type, two_questions, garbage, short, vec![], right]
    })
    .await;
    let upstream = upstream(scripted.address, |_| {});
    check(ask(&upstream, "www.example.org", Udp).await, "www.example.org");
    assert_eq!(upstream.ignored(), 8);
}

#[tokio::test(flavor = "local")]
async fn only_the_upstream_itself_may_reply() {
    let forger = Rc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let silent = Scripted::udp(|_| vec![]).await;
    let upstream = impatient(silent.address);
    let exchanging = upstream.exchange(&query(1, "a.example"), Udp, PATIENCE);
    silent.wait_for(1).await;
    let (from, asked) = silent.received().remove(0);
    forger.send_to(&answer(&asked), from).await.unwrap();
    assert_eq!(kind(exchanging.await), ErrorKind::Timeout);
}

#[tokio::test(flavor = "local")]
async fn a_second_answer_is_ignored() {
    let scripted = Scripted::udp(|query| vec![answer(query), answer(query)]).await;
    let upstream = upstream(scripted.address, |_| {});
    check(ask(&upstream, "a.example", Udp).await, "a.example");
    check(ask(&upstream, "b.example", Udp).await, "b.example");
    // The last second answer may not have come yet.
    assert!((1..=2).contains(&upstream.ignored()), "{}", upstream.ignored());
}

#[tokio::test(flavor = "local")]
async fn a_silent_upstream_times_out_in_time() {
    let scripted = Scripted::udp(|_| vec![]).await;
    let upstream = impatient(scripted.address);
    let begun = Instant::now();
    let error = ask(&upstream, "a.example", Udp).await.expect_err("no reply");
    assert!((150..400).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    let source = scripted.received()[0].0;
    let text = format!("read udp {source}->{}: i/o timeout", scripted.address);
    assert_eq!(error.to_string(), text);
    assert_eq!(upstream.local().unwrap().in_flight(), (0, 0));
}

#[tokio::test(flavor = "local")]
async fn a_querys_own_patience_may_be_shorter() {
    let scripted = Scripted::udp(|_| vec![]).await;
    let upstream = upstream(scripted.address, |_| {});
    let begun = Instant::now();
    let exchanging = upstream.exchange(&query(1, "a.example"), Udp, Duration::from_millis(60));
    assert_eq!(kind(exchanging.await), ErrorKind::Timeout);
    assert!((60..300).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "local")]
async fn a_late_reply_is_ignored_and_does_no_harm() {
    let scripted = Scripted::udp(|_| vec![]).await;
    let upstream = impatient(scripted.address);
    assert_eq!(kind(ask(&upstream, "a.example", Udp).await), ErrorKind::Timeout);
    let (from, asked) = scripted.received().remove(0);
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(&answer(&asked), from).unwrap();
    assert_eq!(kind(ask(&upstream, "b.example", Udp).await), ErrorKind::Timeout);
}

#[tokio::test(flavor = "local")]
async fn a_dead_upstream_refuses_at_once() {
    let address = dead_address().await;
    let upstream = upstream(address, |_| {});
    let begun = Instant::now();
    let error = ask(&upstream, "a.example", Udp).await.expect_err("no reply");
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(error.kind, ErrorKind::Refused);
    let (text, local) = (error.to_string(), error.local.unwrap());
    assert_eq!(text, format!("read udp {local}->{address}: read: connection refused"));
    // A whole batch, of which the kernel says so already while it is being sent.
    let all: Vec<Exchanging> =
        (0..64).map(|i| upstream.exchange(&query(i, &format!("h{i}.example")), Udp, PATIENCE)).collect();
    for exchanging in all {
        assert_eq!(kind(exchanging.await), ErrorKind::Refused);
    }
}

#[tokio::test(flavor = "local")]
async fn an_upstream_that_comes_back_is_used_again() {
    let address = dead_address().await;
    let upstream = upstream(address, |_| {});
    assert_eq!(kind(ask(&upstream, "a.example", Udp).await), ErrorKind::Refused);
    let socket = UdpSocket::bind(address).await.unwrap();
    let _scripted = Scripted::udp_on(socket, |query| vec![answer(query)]);
    check(ask(&upstream, "a.example", Udp).await, "a.example");
}

#[tokio::test(flavor = "local")]
async fn a_cut_reply_says_that_it_is_truncated() {
    let scripted = Scripted::udp(|query| vec![answer(query)[..query.len() + 7].to_vec()]).await;
    let upstream = upstream(scripted.address, |_| {});
    let reply = ask(&upstream, "a.example", Udp).await.unwrap();
    assert!(Flags::of(&reply.wire).has(Flags::TC));
    assert_eq!(header::counts(&reply.wire), [1, 0, 0, 0]);
}

#[tokio::test(flavor = "local")]
async fn a_reply_of_many_kilobytes_is_whole() {
    let scripted = Scripted::udp(|query| {
        let mut wire = answer(query);
        (0..2_000).for_each(|_| {
            crate::wire::compose::record(
                &mut wire,
                crate::wire::compose::QUESTION,
                crate::wire::Rtype::A,
                crate::wire::Class::IN,
                60,
                &[192, 0, 2, 2],
            );
        });
        header::set_count(&mut wire, 1, 2_001);
        vec![wire]
    })
    .await;
    let upstream = upstream(scripted.address, |_| {});
    let reply = ask(&upstream, "a.example", Udp).await.unwrap();
    assert_eq!(header::counts(&reply.wire)[1], 2_001);
    assert!(!Flags::of(&reply.wire).has(Flags::TC));
}

#[tokio::test(flavor = "local")]
async fn a_broken_reply_is_an_error_for_its_exchange_alone() {
    let scripted = Scripted::udp(|query| {
        let mut wire = answer(query);
        if name_of(query) == "broken.example." {
            wire[query.len()] = 0x80;
        }
        vec![wire]
    })
    .await;
    let upstream = upstream(scripted.address, |_| {});
    let broken = upstream.exchange(&query(1, "broken.example"), Udp, PATIENCE);
    let whole = upstream.exchange(&query(0xABCD, "whole.example"), Udp, PATIENCE);
    assert_eq!(kind(broken.await), ErrorKind::MalformedReply);
    check(whole.await, "whole.example");
}

#[tokio::test(flavor = "local")]
async fn an_error_without_a_question_is_handed_on_with_it() {
    let scripted = Scripted::udp(|query| {
        let mut wire = query[..12].to_vec();
        Flags::of(query).with(Flags::QR, true).with_rcode(Rcode::FORMERR).write(&mut wire);
        header::set_count(&mut wire, 0, 0);
        vec![wire]
    })
    .await;
    let upstream = upstream(scripted.address, |_| {});
    let reply = ask(&upstream, "a.example", Udp).await.unwrap();
    assert_eq!(Flags::of(&reply.wire).rcode(), Rcode::FORMERR);
    assert_eq!(reply.wire[12..], query(0, "a.example")[12..]);
}

#[tokio::test(flavor = "local")]
async fn ids_and_ports_are_drawn_at_random() {
    let scripted = Scripted::udp(|query| vec![answer(query)]).await;
    let upstream = upstream(scripted.address, |_| {});
    for i in 0..400 {
        let name = format!("h{i}.example");
        check(ask(&upstream, &name, Udp).await, &name);
    }
    let received = scripted.received();
    let ports: HashSet<u16> = received.iter().map(|(from, _)| from.port()).collect();
    assert_eq!(ports.len(), 4, "the sockets in use at a time");
    let ids: Vec<u16> = received.iter().map(|(_, query)| header::id(query)).collect();
    assert!(ids.iter().collect::<HashSet<_>>().len() > 390, "IDs hardly ever repeat");
    assert!(ids.windows(2).filter(|pair| pair[0] < pair[1]).count().abs_diff(200) < 60, "no order");
    assert!(!ids.contains(&0xABCD) || ids.iter().filter(|&&id| id == 0xABCD).count() < 3);
}

#[tokio::test(flavor = "local")]
async fn sockets_are_retired_after_some_hundred_queries() {
    let scripted = Scripted::udp(|query| vec![answer(query)]).await;
    let upstream = upstream(scripted.address, |config| config.max_idle_conns = 1);
    for turn in 0..70 {
        let all: Vec<Exchanging> = (0..32)
            .map(|i| upstream.exchange(&query(0xABCD, &format!("h{turn}-{i}.example")), Udp, PATIENCE))
            .collect();
        for (i, exchanging) in all.into_iter().enumerate() {
            check(exchanging.await, &format!("h{turn}-{i}.example"));
        }
    }
    let mut uses = std::collections::HashMap::new();
    scripted.received().iter().for_each(|(from, _)| *uses.entry(from.port()).or_insert(0) += 1);
    assert!((3..=5).contains(&uses.len()), "{uses:?}");
    assert!(uses.values().all(|&n| n <= 1_024 + 32), "{uses:?}");
    assert_eq!(serving(&upstream), (1, 1, 0), "old sockets are closed");
}

#[tokio::test(flavor = "local")]
async fn sockets_are_retired_by_age_and_when_idle() {
    let scripted = Scripted::udp(|query| vec![answer(query)]).await;
    let by_age = upstream(scripted.address, |config| config.max_age = Duration::from_nanos(1));
    let idle = upstream(scripted.address, |config| config.expire = Duration::from_nanos(1));
    for i in 0..5 {
        check(ask(&by_age, &format!("a{i}.example"), Udp).await, &format!("a{i}.example"));
        check(ask(&idle, &format!("i{i}.example"), Udp).await, &format!("i{i}.example"));
    }
    let ports: HashSet<u16> = scripted.received().iter().map(|(from, _)| from.port()).collect();
    assert_eq!(ports.len(), 10);
    let local = idle.local().unwrap();
    assert!(local.tick(Instant::now() + Duration::from_secs(1)).is_none(), "nothing is left to look after");
    assert_eq!(local.counts(), (0, 0, 0));
}

#[tokio::test(flavor = "local")]
async fn many_outstanding_queries_are_bounded_and_the_rest_fails_at_once() {
    let scripted = Scripted::udp(|_| vec![]).await;
    let upstream = upstream(scripted.address, |_| {});
    let mut waiting = Vec::new();
    let mut refused = 0;
    for i in 0..34_000 {
        let mut exchanging = Box::pin(upstream.exchange(&query(1, &format!("h{i}.example")), Udp, PATIENCE));
        match futures_poll(&mut exchanging) {
            Some(result) => {
                assert_eq!(kind(result), ErrorKind::Overloaded);
                refused += 1;
            }
            None => waiting.push(exchanging),
        }
    }
    assert_eq!((waiting.len(), refused), (32 * 1_024, 34_000 - 32 * 1_024));
    assert_eq!(serving(&upstream).0, 32);
    waiting.clear();
    assert_eq!(upstream.local().unwrap().in_flight(), (0, 0));
    assert!(serving(&upstream).0 <= 4, "{:?}", serving(&upstream));
}

fn futures_poll(exchanging: &mut std::pin::Pin<Box<Exchanging>>) -> Option<Result<Reply, ExchangeError>> {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    match exchanging.as_mut().poll(&mut cx) {
        std::task::Poll::Ready(result) => Some(result),
        std::task::Poll::Pending => None,
    }
}

#[tokio::test(flavor = "local")]
async fn the_source_address_is_kept() {
    let scripted = Scripted::both(|query| vec![answer(query)]).await;
    let source = "127.0.0.7".parse().unwrap();
    let upstream = upstream(scripted.address, |config| config.source_address = Some(source));
    check(ask(&upstream, "a.example", Udp).await, "a.example");
    assert_eq!(scripted.received()[0].0.ip(), source);

    let nobodys = super::upstream(scripted.address, |config| {
        config.source_address = Some("192.0.2.77".parse().unwrap());
    });
    let error = ask(&nobodys, "a.example", Udp).await.expect_err("not an address of ours");
    let text = format!("dial udp 192.0.2.77:0->{}: bind: cannot assign requested address", scripted.address);
    assert_eq!(error.to_string(), text);
    let error = ask(&nobodys, "a.example", Tcp).await.expect_err("not an address of ours");
    assert_eq!(error.to_string(), text.replace("udp", "tcp"));
}

#[tokio::test(flavor = "local")]
async fn a_message_without_one_question_is_not_sent() {
    let scripted = Scripted::udp(|_| vec![]).await;
    let upstream = upstream(scripted.address, |_| {});
    let mut no_question = query(1, "a.example");
    header::set_count(&mut no_question, 0, 0);
    for bad in [&b""[..], b"short", &no_question, &query(1, "a.example")[..20]] {
        let result = upstream.exchange(bad, Udp, PATIENCE).await;
        assert_eq!(kind(result), ErrorKind::InvalidQuery);
    }
    assert!(scripted.received().is_empty());
}
