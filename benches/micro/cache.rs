//! A hit of the cache through the chain: what one query costs between the socket's two ends.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use waypost::chain::{
    Block, BlockBuilder, BlockSetup, Cx, Labels, Plugin, Query, Response, Router, Setup, Step, clock, driver,
    intern_labels,
};
use waypost::config::{Directive, Span, Word};
use waypost::plugins;
use waypost::wire::{Class, Name, Rcode, Rtype, Section};

/// As many names as the load bench asks for.
const NAMES: usize = 9_000;

/// Answers names that begin with `n` with NXDOMAIN and a SOA record, all others with an address.
struct Upstream;

impl Plugin for Upstream {
    fn on_query(&self, _: &Cx<'_>, query: &mut Query, response: &mut Response) -> Step {
        if query.name().as_bytes()[1] == b'n' {
            response.start(query, false, Rcode::NXDOMAIN);
            let soa = b"\x02ns\x04test\x00\x05admin\x04test\x00\0\0\0\x01\0\0\x0e\x10\0\0\x0e\x10\0\0\x0e\x10\0\0\x0e\x10";
            let test = Name::from_text("test").expect("a name");
            response.push(Section::Authority, Some(test.as_bytes()), Rtype::SOA, Class::IN, 3600, soa);
        } else {
            response.start(query, false, Rcode::NOERROR);
            response.push(Section::Answer, None, Rtype::A, Class::IN, 3600, &[192, 0, 2, 1]);
        }
        Step::Respond
    }
}

fn chain() -> (Arc<Router>, Arc<Block>) {
    let spec = plugins::find("cache").expect("the plugin is in the table");
    let name = Word::new("cache", Span::default());
    let args = vec![Word::new(".", Span::default())];
    let directive = Directive { span: name.span, end: name.span, name, args, block: None };
    let mut setup = BlockSetup::default();
    let zones = [Name::root()];
    let built = (spec.build)(&mut Setup {
        directives: &[&directive],
        zones: &zones,
        addresses: &[],
        block: &mut setup,
    });
    let mut builder = BlockBuilder::default();
    for plugin in built.expect("an empty directive is right") {
        builder.push("cache", plugin);
    }
    builder.push("upstream", Arc::new(Upstream));
    let block = Arc::new(builder.build());
    let mut router = Router::new("dns://:53");
    router.add(&Name::root(), &block, "", None);
    (Arc::new(router), block)
}

/// A query for a name that begins with `letter`; [`number`] says which.
fn message(letter: u8) -> Vec<u8> {
    let mut wire = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 6, letter];
    wire.extend_from_slice(b"00000\x07example\x04test\0\0\x01\0\x01");
    wire
}

/// Makes `query` the one for name `i`, in place: a message that was just received lies in the processor's cache too.
fn number(query: &mut [u8], mut i: usize) {
    for digit in query[14..19].iter_mut().rev() {
        *digit = b'0' + (i % 10) as u8;
        i /= 10;
    }
}

fn hits(c: &mut Criterion) {
    let _worker = waypost::metrics::enter_worker(0);
    let (router, block) = chain();
    let mut query = Query::default();
    let mut response = Response::default();
    let mut ask = |wire: &[u8], now| {
        response.clear();
        query.take_up(wire).expect("a query");
        query.now = now;
        query.labels = intern_labels(Labels { server: router.server, zone: ".", view: "" });
        let block = black_box(&block);
        assert!(driver::run(&router, block, 0, &mut query, &mut response).is_none());
        black_box(response.wire().len());
    };
    let mut group = c.benchmark_group("cache");
    for (what, letter) in [("positive", b'p'), ("denial", b'n')] {
        let mut wire = message(letter);
        // Twice: a table has to have seen a name to be sure to keep it.
        for i in (0..NAMES).chain(0..NAMES) {
            number(&mut wire, i);
            ask(&wire, clock::now());
        }
        let now = clock::now() + std::time::Duration::from_secs(3);
        let mut i = 0;
        group.bench_function(format!("hit_{what}"), |b| {
            b.iter(|| {
                // Steps through the names in an order that no prefetcher knows.
                i = (i + 4_001) % NAMES;
                number(&mut wire, i);
                ask(&wire, now);
            });
        });
    }
    group.finish();

    let wire = &message(b'p');
    let mut query = Query::default();
    c.bench_function("cache/take_up_alone", |b| b.iter(|| query.take_up(black_box(wire)).expect("a query")));
}

criterion_group!(benches, hits);
criterion_main!(benches);
