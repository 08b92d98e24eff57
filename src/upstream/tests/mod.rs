//! Exchanges with upstreams that do what real ones and forgers do.

mod health;
mod lifetime;
mod sharing;
mod tcp;
mod udp;

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
