//! What is done to the bytes of a message for every query: a query is read, names are compared, an answer that is known is patched.
//!
//! `cargo bench --bench message`; with `parse`, `name` or `patch` only that part.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use waypost::chain::Query;
use waypost::wire::query::accept;
use waypost::wire::{Class, Flags, HEADER_LEN, Name, NameHasher, Rtype, compose, edns, header, patch};

/// Spelled as clients that guard against forgeries spell it.
const MIXED: &str = "Www.eXAMple.ORG";
const LOWER: &str = "www.example.org";

/// A query for the addresses of `name`, with an OPT record of these options if there are any to be.
fn query(name: &str, options: Option<&[u8]>) -> Vec<u8> {
    let mut wire = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        wire.push(label.len() as u8);
        wire.extend_from_slice(label.as_bytes());
    }
    wire.extend_from_slice(&[0, 0, 1, 0, 1]);
    if let Some(options) = options {
        header::set_count(&mut wire, 3, 1);
        edns::append(&mut wire, 1232, 0, false, options);
    }
    wire
}

fn parse(c: &mut Criterion) {
    let longest = [LONGEST_LABEL; 3].join(".");
    // A cookie of a client (RFC 7873 4).
    let cookie = b"\x00\x0A\x00\x08\x01\x02\x03\x04\x05\x06\x07\x08";
    let queries = [
        ("plain", query(LOWER, None)),
        ("mixed case", query(MIXED, None)),
        ("EDNS", query(LOWER, Some(b""))),
        ("EDNS with a cookie", query(LOWER, Some(cookie))),
        ("a name of 193 bytes", query(&longest, None)),
    ];
    let mut group = c.benchmark_group("parse");
    let mut name = Name::root();
    for (what, wire) in &queries {
        group.bench_function(*what, |b| b.iter(|| accept(black_box(wire), &mut name).expect("a query")));
    }
    let mut taken = Query::default();
    group.bench_function("and taken up", |b| {
        b.iter(|| taken.take_up(black_box(&queries[2].1)).expect("a query"))
    });
    let rejected = [0; HEADER_LEN];
    group.bench_function("rejected", |b| {
        b.iter(|| accept(black_box(&rejected), &mut name).expect_err("no question"))
    });
    group.finish();
}

const LONGEST_LABEL: &str = "a23456789-b23456789-c23456789-d23456789-e23456789-f23456789-123";

fn compare(c: &mut Criterion) {
    let name = |text: &str| Name::from_text(text).expect("a name");
    let here = name(LOWER);
    let zone = name("example.org");
    let mut group = c.benchmark_group("name");
    let others = [
        ("equal", name(LOWER)),
        ("equal but for case", name(MIXED)),
        ("unequal at the first byte", name("xww.example.org")),
        ("unequal at the last byte", name("www.example.orx")),
        ("unequal in length", name("ww.example.org")),
    ];
    for (what, other) in &others {
        group.bench_function(*what, |b| b.iter(|| black_box(&here) == black_box(other)));
    }
    // As they stand in messages, where nobody has lower-cased them.
    let (mixed, lower) = (query(MIXED, None), query(LOWER, None));
    group.bench_function("bytes of another case", |b| {
        b.iter(|| black_box(&mixed[HEADER_LEN..]).eq_ignore_ascii_case(black_box(&lower[HEADER_LEN..])));
    });
    group
        .bench_function("under a zone", |b| b.iter(|| black_box(&here).is_under(black_box(zone.as_bytes()))));
    let hasher = NameHasher::process();
    group.bench_function("hashed", |b| b.iter(|| black_box(&here).hash_with(hasher)));
    group.finish();
}

/// An answer to `query` of `count` addresses.
fn answer(query: &[u8], count: u16) -> Vec<u8> {
    let mut wire = Vec::new();
    compose::start(&mut wire, query, query.len(), compose::reply_flags(Flags::of(query)));
    for i in 0..count {
        compose::record(&mut wire, compose::QUESTION, Rtype::A, Class::IN, 3600, &[192, 0, 2, i as u8]);
    }
    header::set_count(&mut wire, 1, count);
    wire
}

fn patched(c: &mut Criterion) {
    let asked = query(MIXED, None);
    let mut group = c.benchmark_group("patch");
    for count in [1, 13] {
        let kept = answer(&query(LOWER, None), count);
        let offsets = patch::ttl_offsets(&kept).expect("a message");
        let mut wire = Vec::with_capacity(512);
        let mut ttl = 3600;
        group.bench_function(format!("answer of {count}, copied and patched"), |b| {
            b.iter(|| {
                ttl = if ttl == 0 { 3600 } else { ttl - 1 };
                wire.clear();
                wire.extend_from_slice(black_box(&kept));
                header::set_id(&mut wire, header::id(&asked));
                let flags = Flags::of(&wire).with(Flags::RD, Flags::of(black_box(&asked)).has(Flags::RD));
                flags.write(&mut wire);
                patch::copy_question_case(&mut wire, &asked, asked.len());
                patch::set_ttls(&mut wire, &offsets, ttl);
                black_box(wire.len())
            });
        });
        group.bench_function(format!("answer of {count}, TTLs found"), |b| {
            b.iter(|| patch::ttl_offsets(black_box(&kept)).expect("a message"));
        });
    }
    group.finish();
}

criterion_group!(benches, parse, compare, patched);
criterion_main!(benches);
