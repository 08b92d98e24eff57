//! The way of a query from bytes to bytes through a whole Corefile, minus the kernel: nanoseconds an answer.
//!
//! `cargo bench --bench path`; with the name of a scenario only that one.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use waypost::server::Answer;

#[path = "scenario.rs"]
mod scenario;

fn path(c: &mut Criterion) {
    for scenario in scenario::ALL {
        let mut prepared = scenario.prepare();
        let mut turn = 0;
        c.bench_function(scenario.name, |b| {
            b.iter(|| {
                turn += 1;
                match prepared.ask(turn) {
                    Answer::Bytes(bytes) => black_box(bytes.len()),
                    other => panic!("{}: {other:?}", scenario.name),
                }
            });
        });
    }
}

criterion_group!(benches, path);
criterion_main!(benches);
