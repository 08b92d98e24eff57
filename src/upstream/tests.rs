//! Exchanges with upstreams that do what real ones and forgers do.

use std::cell::Cell;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::UdpSocket;

use super::testing::{Scripted, answer, framed, name_of, query};
use super::{ErrorKind, ExchangeError, Exchanging, Reply, Transport, Upstream, UpstreamConfig};
use crate::wire::{Flags, Rcode, header};

use Transport::{Tcp, Udp};

const PATIENCE: Duration = Duration::from_secs(5);

fn upstream(address: SocketAddr, change: impl FnOnce(&mut UpstreamConfig)) -> Arc<Upstream> {
    let mut config = UpstreamConfig::new("test", address);
    change(&mut config);
    Upstream::new(config)
}

/// An upstream that is given up after a time that a test can wait.
fn impatient(address: SocketAddr) -> Arc<Upstream> {
    upstream(address, |config| config.read_timeout = Duration::from_millis(150))
}

async fn ask(upstream: &Upstream, name: &str, transport: Transport) -> Result<Reply, ExchangeError> {
    upstream.exchange(&query(0xABCD, name), transport, PATIENCE).await
}

/// The reply was the right one, with the query's ID and spelling.
#[track_caller]
fn check(result: Result<Reply, ExchangeError>, name: &str) {
    let reply = result.expect("a reply");
    assert_eq!(reply.wire, answer(&query(0xABCD, name)));
}

fn kind(result: Result<Reply, ExchangeError>) -> ErrorKind {
    result.expect_err("no reply").kind
}

/// A port nobody listens on.
async fn dead_address() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

fn serving(upstream: &Upstream) -> (usize, usize, usize) {
    upstream.local().expect("it was used").counts()
}

mod udp {
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
        assert!(
            local.tick(Instant::now() + Duration::from_secs(1)).is_none(),
            "nothing is left to look after"
        );
        assert_eq!(local.counts(), (0, 0, 0));
    }

    #[tokio::test(flavor = "local")]
    async fn many_outstanding_queries_are_bounded_and_the_rest_fails_at_once() {
        let scripted = Scripted::udp(|_| vec![]).await;
        let upstream = upstream(scripted.address, |_| {});
        let mut waiting = Vec::new();
        let mut refused = 0;
        for i in 0..34_000 {
            let mut exchanging =
                Box::pin(upstream.exchange(&query(1, &format!("h{i}.example")), Udp, PATIENCE));
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
        let text =
            format!("dial udp 192.0.2.77:0->{}: bind: cannot assign requested address", scripted.address);
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
}

mod sharing {
    use super::*;

    #[tokio::test(flavor = "local")]
    async fn equal_questions_in_flight_are_asked_once() {
        let scripted = Scripted::udp(|query| vec![answer(query)]).await;
        let upstream = upstream(scripted.address, |_| {});
        let first = upstream.exchange(&query(1, "www.example.org"), Udp, PATIENCE);
        let second = upstream.exchange(&query(2, "WWW.Example.org"), Udp, PATIENCE);
        let other = upstream.exchange(&query(3, "other.example.org"), Udp, PATIENCE);
        assert_eq!(first.await.unwrap().wire, answer(&query(1, "www.example.org")));
        assert_eq!(second.await.unwrap().wire, answer(&query(2, "WWW.Example.org")));
        assert_eq!(other.await.unwrap().wire, answer(&query(3, "other.example.org")));
        assert_eq!(scripted.received().len(), 2);
        check(ask(&upstream, "www.example.org", Udp).await, "www.example.org");
        assert_eq!(scripted.received().len(), 3, "what is over is not shared");
    }

    #[tokio::test(flavor = "local")]
    async fn those_that_stay_get_the_reply_when_the_first_goes() {
        let scripted = Scripted::udp(|query| vec![answer(query)]).await;
        let upstream = upstream(scripted.address, |_| {});
        let first = upstream.exchange(&query(1, "a.example"), Udp, PATIENCE);
        let second = upstream.exchange(&query(0xABCD, "a.example"), Udp, PATIENCE);
        drop(first);
        check(second.await, "a.example");
    }

    #[tokio::test(flavor = "local")]
    async fn what_nobody_waits_for_is_not_sent() {
        let scripted = Scripted::udp(|query| vec![answer(query)]).await;
        let upstream = upstream(scripted.address, |_| {});
        drop(upstream.exchange(&query(1, "a.example"), Udp, PATIENCE));
        check(ask(&upstream, "b.example", Udp).await, "b.example");
        assert_eq!(scripted.received().len(), 1);
    }

    #[tokio::test(flavor = "local")]
    async fn a_lost_datagram_is_sent_again_when_somebody_asks_again() {
        let lost = Cell::new(true);
        let scripted =
            Scripted::udp(move |query| if lost.replace(false) { vec![] } else { vec![answer(query)] }).await;
        let upstream = upstream(scripted.address, |_| {});
        let first = upstream.exchange(&query(0xABCD, "a.example"), Udp, PATIENCE);
        scripted.wait_for(1).await;
        // Longer than the patience with an upstream of which nothing is known.
        tokio::time::sleep(Duration::from_millis(850)).await;
        let second = upstream.exchange(&query(0xABCD, "a.example"), Udp, PATIENCE);
        check(second.await, "a.example");
        check(first.await, "a.example");
        let received = scripted.received();
        assert_eq!(received.len(), 2);
        assert_eq!(received[0], received[1], "the same query from the same port");
    }

    #[tokio::test(flavor = "local")]
    async fn an_error_is_shared_too() {
        let upstream = upstream(dead_address().await, |_| {});
        let first = upstream.exchange(&query(1, "a.example"), Udp, PATIENCE);
        let second = upstream.exchange(&query(2, "a.example"), Udp, PATIENCE);
        assert_eq!(kind(first.await), ErrorKind::Refused);
        assert_eq!(kind(second.await), ErrorKind::Refused);
    }
}

mod tcp {
    use super::*;

    /// Answers every query of every connection.
    async fn answering() -> Scripted {
        Scripted::tcp(|mut peer, _| async move {
            while let Some(query) = peer.read().await {
                peer.write(&answer(&query)).await;
            }
        })
        .await
    }

    #[tokio::test(flavor = "local")]
    async fn a_connection_is_used_again() {
        let scripted = answering().await;
        let upstream = upstream(scripted.address, |_| {});
        for name in ["a.example", "b.example", "c.example"] {
            check(ask(&upstream, name, Tcp).await, name);
        }
        let ports: HashSet<SocketAddr> = scripted.received().iter().map(|(from, _)| *from).collect();
        assert_eq!(ports.len(), 1);
        assert_eq!(serving(&upstream), (0, 0, 1));
    }

    #[tokio::test(flavor = "local")]
    async fn many_queries_are_pipelined_and_may_be_answered_in_any_order() {
        let scripted = Scripted::tcp(|mut peer, _| async move {
            let mut waiting = Vec::new();
            while let Some(query) = peer.read().await {
                waiting.push(query);
                if waiting.len() == 10 {
                    for query in waiting.drain(..).rev() {
                        peer.write(&answer(&query)).await;
                    }
                }
            }
        })
        .await;
        let upstream = upstream(scripted.address, |_| {});
        let names: Vec<String> = (0..80).map(|i| format!("h{i}.example")).collect();
        let all: Vec<Exchanging> =
            names.iter().map(|name| upstream.exchange(&query(0xABCD, name), Tcp, PATIENCE)).collect();
        for (name, exchanging) in names.iter().zip(all) {
            check(exchanging.await, name);
        }
        assert_eq!(serving(&upstream).2, 8);
    }

    #[tokio::test(flavor = "local")]
    async fn a_pooled_connection_that_was_closed_is_replaced_silently() {
        // Each connection answers one query and is closed when the next one comes.
        let scripted = Scripted::tcp(|mut peer, _| async move {
            if let Some(query) = peer.read().await {
                peer.write(&answer(&query)).await;
                peer.read().await;
            }
        })
        .await;
        let upstream = upstream(scripted.address, |_| {});
        for name in ["a.example", "b.example", "c.example"] {
            check(ask(&upstream, name, Tcp).await, name);
        }
    }

    #[tokio::test(flavor = "local")]
    async fn a_server_of_one_query_a_connection_serves_many() {
        let scripted = Scripted::tcp(|mut peer, _| async move {
            if let Some(query) = peer.read().await {
                peer.write(&answer(&query)).await;
                peer.stream.shutdown().await.ok();
            }
        })
        .await;
        let upstream = upstream(scripted.address, |_| {});
        let names: Vec<String> = (0..24).map(|i| format!("h{i}.example")).collect();
        let all: Vec<Exchanging> =
            names.iter().map(|name| upstream.exchange(&query(0xABCD, name), Tcp, PATIENCE)).collect();
        for (name, exchanging) in names.iter().zip(all) {
            check(exchanging.await, name);
        }
    }

    #[tokio::test(flavor = "local")]
    async fn a_fresh_connection_that_is_closed_is_an_error() {
        let scripted = Scripted::tcp(|mut peer, _| async move {
            peer.read().await;
        })
        .await;
        let upstream = upstream(scripted.address, |_| {});
        let error = ask(&upstream, "a.example", Tcp).await.expect_err("no reply");
        assert_eq!(error.to_string(), "EOF");
        assert_eq!(scripted.received().len(), 1);
    }

    #[tokio::test(flavor = "local")]
    async fn closing_in_the_middle_of_a_message_ends_that_connections_exchanges_alone() {
        let scripted = Scripted::tcp(|mut peer, number| async move {
            while let Some(query) = peer.read().await {
                if number == 0 {
                    peer.write_raw(&framed(&answer(&query))[..20]).await;
                    return;
                }
                peer.write(&answer(&query)).await;
            }
        })
        .await;
        let upstream = upstream(scripted.address, |_| {});
        let first = upstream.exchange(&query(1, "a.example"), Tcp, PATIENCE);
        let second = upstream.exchange(&query(0xABCD, "b.example"), Tcp, PATIENCE);
        let error = first.await.expect_err("no reply");
        assert_eq!(error.to_string(), "unexpected EOF");
        check(second.await, "b.example");
    }

    #[tokio::test(flavor = "local")]
    async fn a_reply_byte_by_byte_is_put_together() {
        let scripted = Scripted::tcp(|mut peer, _| async move {
            peer.stream.set_nodelay(true).unwrap();
            while let Some(query) = peer.read().await {
                for byte in framed(&answer(&query)) {
                    peer.write_raw(&[byte]).await;
                    tokio::task::yield_now().await;
                }
            }
        })
        .await;
        let upstream = upstream(scripted.address, |_| {});
        check(ask(&upstream, "a.example", Tcp).await, "a.example");
    }

    #[tokio::test(flavor = "local")]
    async fn a_stuck_connection_times_out_and_is_not_used_again() {
        let scripted = Scripted::tcp(|mut peer, number| async move {
            while let Some(query) = peer.read().await {
                if number > 0 {
                    peer.write(&answer(&query)).await;
                } else {
                    peer.write_raw(&framed(&answer(&query))[..5]).await;
                }
            }
        })
        .await;
        let upstream = impatient(scripted.address);
        let error = ask(&upstream, "a.example", Tcp).await.expect_err("no reply");
        let source = scripted.received()[0].0;
        let text = format!("read tcp {source}->{}: i/o timeout", scripted.address);
        assert_eq!(error.to_string(), text);
        assert_eq!(serving(&upstream).2, 0);
        check(ask(&upstream, "b.example", Tcp).await, "b.example");
    }

    #[tokio::test(flavor = "local")]
    async fn a_half_closed_connection_still_brings_its_replies() {
        let scripted = Scripted::tcp(|mut peer, _| async move {
            if let Some(query) = peer.read().await {
                peer.write(&answer(&query)).await;
                peer.stream.shutdown().await.ok();
                peer.read().await;
            }
        })
        .await;
        let upstream = upstream(scripted.address, |_| {});
        check(ask(&upstream, "a.example", Tcp).await, "a.example");
        check(ask(&upstream, "b.example", Tcp).await, "b.example");
    }

    #[tokio::test(flavor = "local")]
    async fn nobody_listening_is_said_as_go_says_it() {
        let address = dead_address().await;
        let upstream = upstream(address, |_| {});
        let error = ask(&upstream, "a.example", Tcp).await.expect_err("no connection");
        assert_eq!(error.to_string(), format!("dial tcp {address}: connect: connection refused"));
        assert_eq!(serving(&upstream).2, 0);
    }

    #[tokio::test(flavor = "local")]
    async fn wrong_replies_are_ignored_until_there_are_too_many() {
        let scripted = Scripted::tcp(|mut peer, number| async move {
            while let Some(query) = peer.read().await {
                let mut wrong = answer(&query);
                wrong[13] ^= 1;
                for _ in 0..if number == 0 { 3 } else { 1_000 } {
                    peer.write(&wrong).await;
                }
                peer.write(&[]).await;
                peer.write(&answer(&query)).await;
                if number == 0 {
                    return;
                }
            }
        })
        .await;
        let upstream = upstream(scripted.address, |_| {});
        check(ask(&upstream, "a.example", Tcp).await, "a.example");
        assert_eq!(upstream.ignored(), 4);
        let error = kind(ask(&upstream, "b.example", Tcp).await);
        assert_eq!(error, ErrorKind::Closed { mid_message: false });
    }

    #[tokio::test(flavor = "local")]
    async fn a_garbled_stream_is_an_error_and_not_more() {
        let scripted = Scripted::tcp(|mut peer, number| async move {
            while let Some(query) = peer.read().await {
                if number == 0 {
                    peer.write_raw(&[0; 4_096]).await;
                } else {
                    peer.write(&answer(&query)).await;
                }
            }
        })
        .await;
        let upstream = upstream(scripted.address, |_| {});
        let error = kind(ask(&upstream, "a.example", Tcp).await);
        assert_eq!(error, ErrorKind::Closed { mid_message: false });
        check(ask(&upstream, "b.example", Tcp).await, "b.example");
    }

    #[tokio::test(flavor = "local")]
    async fn connections_are_retired_by_age_when_idle_and_when_there_are_too_many() {
        let scripted = answering().await;
        let upstream = upstream(scripted.address, |config| {
            config.max_idle_conns = 2;
            config.max_age = Duration::from_secs(60);
        });
        let all: Vec<Exchanging> = (0..6)
            .map(|i| upstream.exchange(&query(0xABCD, &format!("h{i}.example")), Tcp, PATIENCE))
            .collect();
        for exchanging in all {
            exchanging.await.unwrap();
        }
        assert_eq!(serving(&upstream).2, 2);
        let local = upstream.local().unwrap();
        let now = Instant::now();
        local.tick(now + Duration::from_secs(9));
        assert_eq!(serving(&upstream).2, 2);
        local.tick(now + Duration::from_secs(11));
        assert_eq!(serving(&upstream).2, 0, "idle for more than expire");
        check(ask(&upstream, "a.example", Tcp).await, "a.example");
        local.tick(now + Duration::from_secs(61));
        assert_eq!(serving(&upstream).2, 0, "older than max_age");
    }

    #[tokio::test(flavor = "local")]
    async fn queries_over_tcp_are_bounded_too() {
        let scripted = Scripted::tcp(|mut peer, _| async move { while peer.read().await.is_some() {} }).await;
        let upstream = upstream(scripted.address, |_| {});
        let mut all: Vec<Exchanging> = (0..4_097)
            .map(|i| upstream.exchange(&query(1, &format!("h{i}.example")), Tcp, PATIENCE))
            .collect();
        assert_eq!(kind(all.remove(4_096).await), ErrorKind::Overloaded);
        assert_eq!(serving(&upstream).2, 32);
        drop(all);
    }
}

mod health {
    use super::*;

    #[tokio::test(flavor = "local")]
    async fn probes_go_on_until_the_upstream_answers() {
        let address = dead_address().await;
        let upstream = upstream(address, |config| config.probe.interval = Duration::from_millis(10));
        assert_eq!(upstream.health().fails(), 0);
        upstream.probe();
        upstream.probe();
        while upstream.health().fails() < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(upstream.health().is_down(2) && !upstream.health().is_down(0));
        let scripted = Scripted::udp_on(UdpSocket::bind(address).await.unwrap(), |query| {
            // Any message will do.
            vec![vec![0; 30], query[..12].to_vec()]
        });
        scripted.wait_for(1).await;
        while upstream.health().fails() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let probes = scripted.received();
        assert_eq!(probes.len(), 1);
        assert_eq!(probes[0].1[2..], *b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x01");
    }

    #[tokio::test(flavor = "local")]
    async fn probes_follow_their_options() {
        let scripted = Scripted::tcp(|mut peer, _| async move {
            if let Some(query) = peer.read().await {
                peer.write(&query).await;
            }
        })
        .await;
        let upstream = upstream(scripted.address, |config| {
            config.probe.transport = Tcp;
            config.probe.recursion = false;
            config.probe.domain = "health.example".parse().unwrap();
            config.source_address = Some("127.0.0.9".parse().unwrap());
        });
        upstream.probe();
        scripted.wait_for(1).await;
        let (from, probe) = scripted.received().remove(0);
        assert_eq!(from.ip(), "127.0.0.9".parse::<std::net::IpAddr>().unwrap());
        assert_eq!(probe[2..], *b"\0\0\0\x01\0\0\0\0\0\0\x06health\x07example\0\0\x02\0\x01");
    }

    #[tokio::test(flavor = "local")]
    async fn probes_end_with_their_upstream() {
        let scripted = Scripted::udp(|_| vec![]).await;
        let upstream = upstream(dead_address().await, |c| c.probe.interval = Duration::from_millis(1));
        upstream.probe();
        while upstream.health().fails() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        drop((upstream, scripted));
        // The probing task is the only other one; the runtime would not end with a task that runs for ever, but it would not hang either.
        tokio::task::yield_now().await;
    }
}

mod lifetime {
    use super::*;

    #[test]
    fn an_upstream_survives_its_runtime() {
        let held = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        held.set_nonblocking(true).unwrap();
        let upstream = upstream(held.local_addr().unwrap(), |_| {});
        for round in 0..2 {
            let runtime = tokio::runtime::LocalRuntime::new().unwrap();
            let socket = held.try_clone().unwrap();
            runtime.block_on(async {
                let socket = UdpSocket::from_std(socket).unwrap();
                let _scripted = Scripted::udp_on(socket, |query| vec![answer(query)]);
                check(ask(&upstream, "a.example", Udp).await, "a.example");
            });
            drop(runtime);
            assert_eq!(serving(&upstream).0, 0, "round {round}");
        }
    }

    #[tokio::test(flavor = "local")]
    async fn sockets_are_closed_when_the_upstream_is_gone() {
        let scripted = Scripted::udp(|query| vec![answer(query)]).await;
        let upstream = upstream(scripted.address, |_| {});
        check(ask(&upstream, "a.example", Udp).await, "a.example");
        let local = Rc::downgrade(&upstream.local().unwrap());
        drop(upstream);
        crate::upstream::sweep_worker_locals();
        assert!(local.upgrade().is_none());
    }

    #[tokio::test(flavor = "local")]
    async fn an_explicit_flush_sends_at_once() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let upstream = upstream(socket.local_addr().unwrap(), |_| {});
        let _exchanging = upstream.exchange(&query(1, "a.example"), Udp, PATIENCE);
        socket.set_nonblocking(true).unwrap();
        let mut buffer = [0; 512];
        assert!(socket.recv(&mut buffer).is_err(), "it waits for the end of the turn");
        crate::upstream::flush();
        assert_eq!(socket.recv(&mut buffer).unwrap(), query(1, "a.example").len());
    }
}
