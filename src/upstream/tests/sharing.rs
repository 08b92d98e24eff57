//! Equal questions in flight.

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
