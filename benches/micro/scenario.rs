//! What is asked, of which Corefile.

use std::fmt::Write;
use std::path::PathBuf;

use waypost::instance::{Source, plan};
use waypost::metrics::{Worker, enter_worker};
use waypost::server::{Answer, Offline};

/// Names in the hosts file.
const NAMES: usize = 10_000;

/// A Corefile and what it is good for.
pub(crate) struct Scenario {
    /// Its name on the command line and in the table.
    pub(crate) name: &'static str,
    /// The body of the server block; `HOSTS` stands for the path of a hosts file with [`NAMES`] names.
    body: &'static str,
    /// How many addresses each name has.
    addresses: u8,
}

/// Every scenario.
pub(crate) const ALL: &[Scenario] = &[
    Scenario { name: "hosts-hit", body: "hosts HOSTS", addresses: 1 },
    Scenario { name: "hosts-hit-log", body: "hosts HOSTS\nlog", addresses: 1 },
    Scenario { name: "hosts-hit-prometheus", body: "hosts HOSTS\nprometheus", addresses: 1 },
    // Below the cache stands hosts: once asked, a name is answered by the cache.
    Scenario { name: "cache-hit", body: "cache {\nsuccess 40000\n}\nhosts HOSTS", addresses: 1 },
    Scenario {
        name: "cache-hit-loadbalance",
        body: "loadbalance\ncache {\nsuccess 40000\n}\nhosts HOSTS",
        addresses: 1,
    },
    Scenario {
        name: "cache-hit-loadbalance-prometheus",
        body: "loadbalance\nprometheus\ncache {\nsuccess 40000\n}\nhosts HOSTS",
        addresses: 1,
    },
    Scenario { name: "cache-hit-four", body: "cache {\nsuccess 40000\n}\nhosts HOSTS", addresses: 4 },
    Scenario {
        name: "cache-hit-four-loadbalance",
        body: "loadbalance\ncache {\nsuccess 40000\n}\nhosts HOSTS",
        addresses: 4,
    },
    Scenario {
        name: "whole-corefile-hit",
        body: "hosts HOSTS {\nreload 1m\nfallthrough\n}\nforward . 127.0.0.1:9 {\nmax_concurrent 1000\n}\ncache 30 {\nsuccess 40000\n}\nlog\nerrors",
        addresses: 1,
    },
];

/// A scenario with its Corefile built and its caches warm.
pub(crate) struct Prepared {
    /// As what answers queries does: it counts in cells of its own.
    _worker: Worker,
    offline: Offline,
    queries: Vec<Vec<u8>>,
}

impl Scenario {
    /// Writes the hosts file, builds the Corefile and asks every name twice.
    pub(crate) fn prepare(&self) -> Prepared {
        let worker = enter_worker(0);
        let path = hosts_file(self.addresses);
        let corefile = format!(".:5353 {{\n{}\n}}\n", self.body.replace("HOSTS", &path.to_string_lossy()));
        let mut plan = plan(&Source::Once { name: "bench".to_owned(), text: corefile.into_bytes() }, 53)
            .unwrap_or_else(|e| panic!("{}: {e:?}", self.name));
        plan.run_start_hooks().unwrap_or_else(|e| panic!("{}: {e}", self.name));
        let mut offline = Offline::new(plan.listeners.remove(0).router);
        let queries: Vec<Vec<u8>> = (0..NAMES).map(query).collect();
        // Twice: a worker's own table has what it served a second time.
        for query in queries.iter().chain(&queries) {
            assert!(matches!(offline.answer(query), Answer::Bytes(_)), "{}", self.name);
            waypost::log::discard();
        }
        let _ = std::fs::remove_file(path);
        Prepared { _worker: worker, offline, queries }
    }
}

impl Prepared {
    /// Asks the name of this turn. Log lines are thrown away now and then, where a worker would hand them over.
    pub(crate) fn ask(&mut self, turn: usize) -> Answer<'_> {
        if turn.is_multiple_of(64) {
            waypost::log::discard();
        }
        // A stride that visits all names in an order that no prefetcher guesses.
        self.offline.answer(&self.queries[turn.wrapping_mul(7919) % NAMES])
    }
}

fn hosts_file(addresses: u8) -> PathBuf {
    let path = std::env::temp_dir().join(format!("waypost-bench-hosts-{}", std::process::id()));
    let mut text = String::new();
    for (i, address) in (0..NAMES).flat_map(|i| (0..addresses).map(move |address| (i, address))) {
        let _ = writeln!(
            text,
            "{}.{}.{}.{} h{i}.example.org",
            10 + address,
            i >> 16 & 255,
            i >> 8 & 255,
            i & 255
        );
    }
    std::fs::write(&path, text).expect("the hosts file of the bench can be written");
    path
}

fn query(i: usize) -> Vec<u8> {
    let label = format!("h{i}");
    let mut wire = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, label.len() as u8];
    wire.extend_from_slice(label.as_bytes());
    wire.extend_from_slice(b"\x07example\x03org\x00\x00\x01\x00\x01");
    wire
}
