mod configuration;
mod queries;

use std::net::IpAddr;
use std::path::PathBuf;

use tokio::net::UdpSocket;

use super::config::Config;
use super::*;
use crate::chain::testing::{
    Unreachable, ask_later, block, build, build_in, directives, failing, query, query_of, query_wire, router,
};
use crate::chain::{Block, BlockSetup, Metadata, MetadataSource, State};
use crate::upstream::testing::{Scripted, answer, name_of};
use crate::wire::{Class, Rtype};

/// A chain of these plugins and a neighbour that must not be reached.
fn chain_of(text: &str) -> Arc<Block> {
    let (built, _) = build(&SPEC, text).expect("a good configuration");
    let mut chain: Vec<(&'static str, Arc<dyn Plugin>)> =
        built.into_iter().map(|plugin| ("forward", plugin)).collect();
    chain.push(("neighbour", Arc::new(Unreachable)));
    block(chain)
}

async fn ask(text: &str, name: &str) -> Response {
    ask_later(&chain_of(text), &mut query(name, Rtype::A)).await
}

#[track_caller]
fn failure(response: &Response) -> (Rcode, String) {
    let State::Failed(rcode) = response.state() else { panic!("not a failure: {:?}", response.state()) };
    (rcode, response.failure().expect("a reason").to_string())
}

/// Answers each query with this code and no records.
fn code(rcode: Rcode) -> impl Fn(&[u8]) -> Vec<Vec<u8>> {
    move |query| {
        let mut wire = answer(query)[..query.len()].to_vec();
        header::set_count(&mut wire, 1, 0);
        Flags::of(&wire).with_rcode(rcode).write(&mut wire);
        vec![wire]
    }
}

fn answering(query: &[u8]) -> Vec<Vec<u8>> {
    vec![answer(query)]
}

fn silent(_: &[u8]) -> Vec<Vec<u8>> {
    vec![]
}

async fn dead() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// A block bound to these addresses, or to all; tests' blocks are on port 53.
fn listening(addresses: &[&str]) -> BlockSetup {
    let mut block = BlockSetup::default();
    block.bind = addresses.iter().map(|address| (address.parse().unwrap(), 0)).collect();
    block
}
