//! A hit of `hosts` among 10,000 names, through the driver of the chain as a worker runs it.

use std::hint::black_box;
use std::sync::Arc;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use waypost::chain::{
    BlockBuilder, BlockSetup, Built, Cx, Plugin, Query, Response, Router, Setup, Step, driver,
};
use waypost::config::{Directive, Span, Word};
use waypost::plugins;
use waypost::wire::{Class, Name, Rcode, Rtype, Section};

const NAMES: usize = 10_000;

fn word(text: impl Into<String>) -> Word {
    Word::new(text, Span::default())
}

fn line(words: &[&str], block: Option<Vec<Directive>>) -> Directive {
    let args = words[1..].iter().copied().map(word).collect();
    Directive { name: word(words[0]), args, block, span: Span::default(), end: Span::default() }
}

/// The plugins of `hosts FILE { fallthrough }`, the file read.
fn hosts(path: &str) -> Built {
    let directive = line(&["hosts", path], Some(vec![line(&["fallthrough"], None)]));
    let spec = plugins::find("hosts").expect("hosts is a plugin");
    let mut block = BlockSetup::default();
    let mut setup =
        Setup { directives: &[&directive], zones: &[Name::root()], addresses: &[], block: &mut block };
    let built = (spec.build)(&mut setup).expect("the directive is right");
    for start in block.on_start {
        start().expect("the file is read");
    }
    built
}

/// A listener whose root zone is served by these plugins.
fn router(plugins: Built) -> Arc<Router> {
    let mut chain = BlockBuilder::default();
    for plugin in plugins {
        chain.push("hosts", plugin);
    }
    let mut router = Router::new("dns://:53");
    router.add(&Name::root(), &Arc::new(chain.build()), "", None);
    Arc::new(router)
}

/// The least a plugin can do: the same record for everybody.
struct Fixed;

impl Plugin for Fixed {
    fn on_query(&self, _: &Cx<'_>, query: &mut Query, response: &mut Response) -> Step {
        response.start(query, true, Rcode::NOERROR);
        response.extend(Section::Answer, 1, b"\xC0\x0C\0\x01\0\x01\0\0\x0E\x10\0\x04\x0A\0\0\x01", 35);
        Step::Respond
    }
}

fn query_wire(name: &str, qtype: Rtype) -> Vec<u8> {
    let mut wire = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    wire.extend_from_slice(name.parse::<Name>().expect("a name").as_bytes());
    wire.extend_from_slice(&qtype.0.to_be_bytes());
    wire.extend_from_slice(&Class::IN.0.to_be_bytes());
    wire
}

/// Asks for all names in turn, from the bytes of each query to those of its answer.
fn ask(
    group: &mut BenchmarkGroup<'_, WallTime>,
    what: &str,
    router: &Arc<Router>,
    qtype: Rtype,
    name: fn(usize) -> String,
) {
    let wires: Vec<Vec<u8>> = (0..NAMES).map(|i| query_wire(&name(i), qtype)).collect();
    let mut query = Query::default();
    let mut response = Response::default();
    let mut at = 0;
    group.bench_function(what, |b| {
        b.iter(|| {
            // A step that shares no factor with the number of names: all are asked, neighbours are not.
            at = (at + 7_919) % NAMES;
            response.clear();
            query.take_up(&wires[at]).expect("a query");
            let block = router.find(&mut query).expect("the root is served");
            let waiting = driver::run(router, block, 0, &mut query, &mut response);
            assert!(waiting.is_none());
            black_box(response.wire());
        });
    });
}

fn hits(c: &mut Criterion) {
    let path = std::env::temp_dir().join(format!("waypost-bench-{}", std::process::id()));
    let text: String = (0..NAMES)
        .map(|i| format!("10.{}.{}.{} host{i}.example.org\n", i >> 16, i >> 8 & 255, i & 255))
        .collect();
    std::fs::write(&path, text).expect("a file in the directory for temporary files");
    let fixed = router(vec![Arc::new(Fixed)]);
    let hosts = router(hosts(&path.to_string_lossy()));
    std::fs::remove_file(&path).expect("it is ours");
    let mut group = c.benchmark_group("hosts");
    let here: fn(usize) -> String = |i| format!("host{i}.example.org");
    ask(&mut group, "without hosts, a fixed answer", &fixed, Rtype::A, here);
    ask(&mut group, "A", &hosts, Rtype::A, here);
    ask(&mut group, "AAAA, NODATA", &hosts, Rtype::AAAA, here);
    ask(&mut group, "A, not here", &hosts, Rtype::A, |i| format!("nobody{i}.example.org"));
    ask(&mut group, "PTR", &hosts, Rtype::PTR, |i| {
        format!("{}.{}.{}.10.in-addr.arpa", i & 255, i >> 8 & 255, i >> 16)
    });
    group.finish();
}

criterion_group!(benches, hits);
criterion_main!(benches);
