//! Over TCP: pooling, pipelining, and all the ways a connection ends.

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
            peer.write(&answer(&query)).await;
            if number == 0 {
                return;
            }
        }
    })
    .await;
    let upstream = upstream(scripted.address, |_| {});
    check(ask(&upstream, "a.example", Tcp).await, "a.example");
    assert_eq!(upstream.ignored(), 3);
    let error = kind(ask(&upstream, "b.example", Tcp).await);
    assert_eq!(error, ErrorKind::Closed { mid_message: false });
}

#[tokio::test(flavor = "local")]
async fn a_message_too_short_for_a_header_ends_the_connection_at_once_and_not_more() {
    let scripted = Scripted::tcp(|mut peer, number| async move {
        while let Some(query) = peer.read().await {
            match number {
                // The connection stays open: nothing but the message says that something is wrong.
                0 => peer.write(&answer(&query)[..11]).await,
                1 => peer.write_raw(&[0; 4_096]).await,
                _ => peer.write(&answer(&query)).await,
            }
        }
    })
    .await;
    let upstream = upstream(scripted.address, |_| {});
    for name in ["a.example", "b.example"] {
        let error = kind(ask(&upstream, name, Tcp).await);
        assert_eq!(error, ErrorKind::ShortMessage);
        assert_eq!(serving(&upstream).2, 0, "the connection is closed");
    }
    check(ask(&upstream, "c.example", Tcp).await, "c.example");
}

#[tokio::test(flavor = "local")]
async fn connections_are_retired_by_age_when_idle_and_when_there_are_too_many() {
    let scripted = answering().await;
    let upstream = upstream(scripted.address, |config| {
        config.max_idle_conns = 2;
        config.max_age = Duration::from_secs(60);
    });
    let all: Vec<Exchanging> =
        (0..6).map(|i| upstream.exchange(&query(0xABCD, &format!("h{i}.example")), Tcp, PATIENCE)).collect();
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
    let mut all: Vec<Exchanging> =
        (0..4_097).map(|i| upstream.exchange(&query(1, &format!("h{i}.example")), Tcp, PATIENCE)).collect();
    assert_eq!(kind(all.remove(4_096).await), ErrorKind::Overloaded);
    assert_eq!(serving(&upstream).2, 32);
    drop(all);
}
