//! What a logged line costs: a hit through the chain driver with and without `log`, lines handed over once a batch.
//!
//! Run with `cargo bench --bench log`. The lines go to /dev/null, so what is measured is ours, not a reader's.

#![allow(unsafe_code, reason = "dup2(2) has no safe equivalent, and the log writes to standard output only")]

use std::hint::black_box;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use waypost::chain::{
    Block, BlockBuilder, BlockSetup, Cx, Plugin, Query, Response, Router, Setup, Step, clock, driver,
};
use waypost::config::{Directive, Span, Word};
use waypost::wire::Name;

/// Queries between two hand-overs, as a worker's batch has them.
const BATCH: usize = 64;

/// Answers with a message that is encoded already, as a cache or hosts hit does.
struct Encoded(Vec<u8>);

impl Plugin for Encoded {
    fn on_query(&self, _: &Cx<'_>, query: &mut Query, response: &mut Response) -> Step {
        response.set_encoded(&self.0, 60);
        response.wire_mut()[..2].copy_from_slice(&query.wire()[..2]);
        Step::Respond
    }
}

const QUERY: &[u8] =
    b"\x12\x34\x01\0\0\x01\0\0\0\0\0\x01\x04name\x07example\x03org\0\0\x01\0\x01\0\0\x29\x04\xD0\0\0\0\0\0\0";

const RESPONSE: &[u8] = b"\0\0\x85\0\0\x01\0\x01\0\0\0\0\x04name\x07example\x03org\0\0\x01\0\x01\xC0\x0C\0\x01\0\x01\0\0\x0E\x10\0\x04\xC0\0\x02\x01";

/// The block of a Corefile with these `log` arguments (`None`: without `log`) and something that answers.
fn block(log: Option<&[&str]>) -> Arc<Block> {
    let mut builder = BlockBuilder::default();
    if let Some(args) = log {
        let word = |text: &str| Word::new(text, Span::default());
        let directive = Directive {
            name: word("log"),
            args: args.iter().map(|arg| word(arg)).collect(),
            block: None,
            span: Span::default(),
            end: Span::default(),
        };
        let mut setup = BlockSetup::default();
        let spec = waypost::plugins::find("log").expect("log is a plugin");
        let built = (spec.build)(&mut Setup {
            directives: &[&directive],
            zones: &[Name::root()],
            addresses: &[],
            block: &mut setup,
        });
        for plugin in built.expect("the directive is right") {
            builder.push("log", plugin);
        }
    }
    builder.push("encoded", Arc::new(Encoded(RESPONSE.to_vec())));
    Arc::new(builder.build())
}

fn hits(criterion: &mut Criterion) {
    lines_go_nowhere();
    let mut group = criterion.benchmark_group("hit");
    group.throughput(Throughput::Elements(BATCH as u64));
    let cases: [(&str, Option<&[&str]>); 4] = [
        ("without log", None),
        ("log", Some(&[])),
        ("log of another zone", Some(&["example.com"])),
        ("log without duration", Some(&[".", "{remote}:{port} {name} {type} {rcode}"])),
    ];
    for (name, log) in cases {
        let block = block(log);
        let mut router = Router::new("dns://:53");
        router.add(&Name::root(), &block, "", None);
        let router = Arc::new(router);
        let mut query = Query::default();
        query.take_up(QUERY).expect("a query");
        query.peer = "192.168.10.20:40212".parse().expect("an address");
        query.now = clock::now();
        let mut response = Response::default();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                for _ in 0..BATCH {
                    response.clear();
                    let waiting = driver::run(&router, &block, 0, black_box(&mut query), &mut response);
                    assert!(waiting.is_none() && black_box(&response).is_written());
                }
                waypost::log::hand_over();
            });
        });
    }
    group.finish();
}

/// Lets the log open /dev/null as its standard output, and gives the real one back to criterion.
fn lines_go_nowhere() {
    let stdout = std::io::stdout().as_raw_fd();
    let kept = std::os::fd::AsFd::as_fd(&std::io::stdout()).try_clone_to_owned().expect("a descriptor");
    let nowhere = std::fs::File::options().write(true).open("/dev/null").expect("/dev/null");
    replace(stdout, nowhere.as_raw_fd());
    waypost::log::plain("the first line opens the output");
    replace(stdout, kept.as_raw_fd());
}

fn replace(old: RawFd, new: RawFd) {
    // SAFETY: both descriptors are open for the length of the call, and nobody owns `old`, standard output, in a way that a change of what
    // it refers to could break.
    let result = unsafe { libc::dup2(new, old) };
    assert_eq!(result, old, "dup2 of open descriptors");
}

criterion_group!(benches, hits);
criterion_main!(benches);
