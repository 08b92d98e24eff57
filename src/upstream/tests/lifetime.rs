//! Runtimes and upstreams that end.

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
