//! Probes.

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
