//! What is kept, for how long, and how it is served.

mod config;
mod front;
mod rules;
mod stale;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::chain::testing::{self, Answering};
use crate::chain::{Block, BlockBuilder, Labels, Late, Router, State, Transport, driver, intern_labels};
use crate::config::Word;
use crate::wire::{Class, Name, Rcode, Rtype, Section, record};

/// What an upstream is to say: a code, and records as `SECTION OWNER TTL TYPE`.
#[derive(Clone, Debug)]
struct Script {
    rcode: Rcode,
    records: Vec<String>,
    flags: u16,
    fails: bool,
}

fn says(rcode: Rcode, records: &[&str]) -> Script {
    Script { rcode, records: records.iter().map(ToString::to_string).collect(), flags: 0, fails: false }
}

fn address(ttl: u32) -> Script {
    says(Rcode::NOERROR, &[&format!("answer @ {ttl} A")])
}

fn nxdomain(ttl: u32) -> Script {
    says(Rcode::NXDOMAIN, &[&format!("authority test. {ttl} SOA")])
}

fn nodata(ttl: u32) -> Script {
    says(Rcode::NOERROR, &[&format!("authority test. {ttl} SOA")])
}

fn servfail() -> Script {
    says(Rcode::SERVFAIL, &[])
}

/// No answer is written, as by a forwarder without upstream.
fn failure() -> Script {
    Script { fails: true, ..servfail() }
}

impl Script {
    fn with(mut self, flags: u16) -> Self {
        self.flags = flags;
        self
    }

    fn write(&self, query: &Query, response: &mut Response) -> Step {
        if self.fails {
            return Step::Fail(self.rcode, None);
        }
        response.start(query, false, self.rcode);
        response.set_flags(Flags(response.flags().0 | self.flags | Flags::RA));
        for text in &self.records {
            let [section, owner, ttl, kind] = text.split(' ').collect::<Vec<_>>()[..] else {
                panic!("{text}")
            };
            let section = match section {
                "answer" => Section::Answer,
                "authority" => Section::Authority,
                _ => Section::Additional,
            };
            let owner = (owner != "@").then(|| Name::from_text(owner).unwrap());
            let owner = owner.as_ref().map(Name::as_bytes);
            let (kind, target) = kind.split_once('=').unwrap_or((kind, "other.test."));
            let target = Name::from_text(target).unwrap();
            let rtype = Rtype::from_text(kind).unwrap();
            let rdata = match rtype {
                Rtype::A => vec![192, 0, 2, 1],
                Rtype::SOA => [&b"\x00\x00"[..], &[0, 0, 0, 1].repeat(5)].concat(),
                // Expired in 1970, or valid until 2038, by the target's name.
                Rtype::RRSIG => {
                    let until: u32 = if target.to_string() == "expired." { 2 } else { 0x7FFF_FFFF };
                    [&[0, 1, 8, 2, 0, 0, 0, 60][..], &until.to_be_bytes(), &[0, 0, 0, 1, 0, 1, 0, 9]].concat()
                }
                _ => target.as_bytes().to_vec(),
            };
            response.push(section, owner, rtype, Class::IN, ttl.parse().unwrap(), &rdata);
        }
        Step::Respond
    }
}

/// What a query looked like when it came to the upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    flags: Flags,
    transport: Transport,
}

/// A cache over an upstream that says what it is told to, and remembers who asked.
struct Bench {
    block: Arc<Block>,
    router: Arc<Router>,
    shared: Arc<Shared>,
    upstream: Arc<Mutex<Upstream>>,
}

struct Upstream {
    script: Script,
    seen: Vec<Seen>,
    /// Answers wait for this.
    gate: Option<Arc<tokio::sync::Semaphore>>,
}

impl Bench {
    fn new(directive: &str, script: Script) -> Self {
        let (directives, _) = testing::directives(directive);
        let config = CacheConfig::read(&directives[0], |words| zones(words, &["."]));
        let cache = Arc::new(Cache::new(config.unwrap(), 0));
        let shared = Arc::clone(&cache.shared);
        let upstream = Arc::new(Mutex::new(Upstream { script, seen: Vec::new(), gate: None }));
        let asked = Arc::clone(&upstream);
        let answer = move |query: &mut Query, response: &mut Response| {
            let mut upstream = asked.lock().unwrap();
            upstream.seen.push(Seen { flags: query.flags(), transport: query.transport });
            let script = upstream.script.clone();
            let Some(gate) = upstream.gate.clone() else { return script.write(query, response) };
            let query = query.fork();
            Step::Later(Box::pin(async move {
                gate.acquire().await.unwrap().forget();
                let mut response = Response::default();
                match script.write(&query, &mut response) {
                    Step::Fail(rcode, failure) => Late::Fail(rcode, failure),
                    _ => Late::Respond(response),
                }
            }))
        };
        let mut builder = BlockBuilder::default();
        builder.push("cache", cache);
        builder.push("upstream", Arc::new(Answering(answer)));
        let block = Arc::new(builder.build());
        Self { router: testing::router(&block), block, shared, upstream }
    }

    /// From now on the upstream says this.
    fn set(&self, script: Script) {
        self.upstream.lock().unwrap().script = script;
    }

    /// From now on each answer of the upstream waits for a permit.
    fn close_gate(&self) -> Arc<tokio::sync::Semaphore> {
        let gate = Arc::new(tokio::sync::Semaphore::new(0));
        self.upstream.lock().unwrap().gate = Some(Arc::clone(&gate));
        gate
    }

    /// How often the upstream was asked.
    fn asked(&self) -> usize {
        self.upstream.lock().unwrap().seen.len()
    }

    fn last_seen(&self) -> Seen {
        self.upstream.lock().unwrap().seen.last().cloned().unwrap()
    }

    fn ask(&self, name: &str) -> Answer {
        self.ask_query(&mut testing::query(name, Rtype::A))
    }

    fn ask_query(&self, query: &mut Query) -> Answer {
        query.labels = intern_labels(Labels { server: self.router.server, zone: ".", view: "" });
        let mut response = Response::default();
        let waiting = driver::run(&self.router, &self.block, 0, query, &mut response);
        assert!(waiting.is_none(), "to be answered at once");
        Answer::of(query, response)
    }

    async fn ask_later(&self, name: &str) -> Answer {
        let mut query = testing::query(name, Rtype::A);
        let response = testing::ask_later(&self.block, &mut query).await;
        Answer::of(&query, response)
    }

    /// The series of the listener that [`testing::ask`] asks.
    fn series(&self) -> Arc<Series> {
        Arc::clone(self.shared.metrics.of("dns://:53", ""))
    }

    /// How many answers are kept: positive, denials.
    fn kept(&self) -> (u64, u64) {
        self.shared.stores.count()
    }
}

/// An answer, ready to be looked at.
#[derive(Debug)]
struct Answer {
    rcode: Option<Rcode>,
    flags: Flags,
    ttls: Vec<u32>,
    response: Vec<u8>,
    size: usize,
    state: State,
}

impl Answer {
    fn of(query: &Query, response: Response) -> Self {
        if response.is_written() {
            assert_eq!(response.wire()[..2], query.wire()[..2], "the client's ID");
            let question = 12..query.question_end();
            assert_eq!(response.wire()[question.clone()], query.wire()[question], "the client's question");
            assert!(query.flags().0 & Flags::AD == 0 || response.flags().0 & Flags::QR != 0);
        }
        let records = record::records(response.wire()).map(Result::unwrap);
        Self {
            rcode: response.rcode(),
            flags: response.flags(),
            ttls: records.map(|record| record.ttl).collect(),
            size: response.uncompressed_size(),
            state: response.state(),
            response: response.wire().to_vec(),
        }
    }

    fn ttl(&self) -> u32 {
        assert!(self.ttls.windows(2).all(|pair| pair[0] == pair[1]), "one TTL for all: {:?}", self.ttls);
        self.ttls[0]
    }
}

/// Runs `test` as a worker would, with a clock that only tests move.
fn in_worker(test: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build_local(tokio::runtime::LocalOptions::default()).unwrap();
    runtime.block_on(test);
}

/// Lets tasks that wait for nothing run.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The zones of these words, or those of the block.
fn zones(words: &[Word], block: &[&str]) -> Vec<Name> {
    let zones = words.iter().flat_map(|word| word.zones().unwrap());
    let block = block.iter().filter(|_| words.is_empty()).map(ToString::to_string);
    zones.chain(block).map(|zone| Name::from_text(&zone).unwrap()).collect()
}
