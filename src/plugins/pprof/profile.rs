//! A profile of processor time as it grows.

use std::collections::HashMap;
use std::time::Duration;

use super::gzip;
use super::mappings::Mapping;
use super::{encode, symbols};
use crate::chain::clock::{self, Mono};
use crate::control::shutdown::Stop;
use crate::net::sampler::{HERTZ, Sampler, StartError};

/// Stacks that a profile tells apart at most; samples of further ones are counted as lost. Of 64 frames each they would be 10 MB.
const STACKS_MAX: usize = 20_000;

/// How often samples are taken over from the threads, and new threads are looked for.
const LOOK: Duration = Duration::from_millis(100);

/// Where threads were, and how often.
#[derive(Debug)]
pub(super) struct Profile {
    /// When it began, seconds since 1970.
    pub(super) begun_unix_seconds: u64,
    /// How long it took.
    pub(super) took: Duration,
    /// The processor time that a sample stands for.
    pub(super) period: Duration,
    ticks: HashMap<(usize, Box<[u64]>), u64>,
    threads: Vec<String>,
    lost: u64,
}

/// A thread's calls.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stack<'a> {
    /// The thread's name.
    pub(super) thread: &'a str,
    /// Where it was, then where each call returns to.
    raw: &'a [u64],
}

impl Stack<'_> {
    /// Where the thread was, then each call: not where it returns to, which may be another line or even another function.
    pub(super) fn addresses(&self) -> impl Iterator<Item = u64> {
        self.raw.iter().enumerate().map(|(at, address)| address.saturating_sub(u64::from(at > 0)))
    }
}

impl Profile {
    /// Without samples.
    pub(super) fn new(begun_unix_seconds: u64) -> Self {
        Self {
            begun_unix_seconds,
            took: Duration::ZERO,
            period: Duration::from_nanos(1_000_000_000 / HERTZ),
            ticks: HashMap::new(),
            threads: Vec::new(),
            lost: 0,
        }
    }

    /// Samples the process for `length`, or until `stop`. Ends with the future, too.
    ///
    /// # Errors
    /// See [`StartError`].
    pub(super) async fn record(
        code: &[Mapping],
        length: Duration,
        mut stop: Stop,
    ) -> Result<Self, StartError> {
        let mut sampler = Sampler::start(code.iter().map(|mapping| mapping.memory.clone()).collect())?;
        let mut profile = Self::new(clock::unix_seconds());
        let begun = clock::now();
        let end = begun + length;
        loop {
            let left = end.since(clock::now());
            tokio::select! {
                () = tokio::time::sleep(left.min(LOOK)) => {}
                () = stop.stopped() => {}
            }
            profile.take_over(&mut sampler, begun);
            if stop.is_stopped() || clock::now() >= end {
                return Ok(profile);
            }
        }
    }

    fn take_over(&mut self, sampler: &mut Sampler, begun: Mono) {
        let mut samples = Vec::new();
        sampler.drain(|sample| samples.push((sample.thread, sample.ticks, Box::from(sample.addresses))));
        for (thread, ticks, addresses) in samples {
            self.add(sampler.name(thread), addresses, ticks);
        }
        // Only new threads would be missed, and that is counted.
        let _ = sampler.look();
        self.lost = self.lost.max(sampler.lost());
        self.took = clock::now().since(begun);
    }

    /// Counts samples.
    pub(super) fn add(&mut self, thread: &str, addresses: Box<[u64]>, ticks: u64) {
        let known = self.threads.iter().position(|name| name == thread);
        let thread = known.unwrap_or_else(|| {
            self.threads.push(thread.to_owned());
            self.threads.len() - 1
        });
        let full = self.ticks.len() >= STACKS_MAX;
        match self.ticks.get_mut(&(thread, addresses.clone())) {
            Some(sum) => *sum += ticks,
            None if full => self.lost += ticks,
            None => drop(self.ticks.insert((thread, addresses), ticks)),
        }
    }

    /// The stacks, each once, with how many periods they were seen.
    pub(super) fn stacks(&self) -> impl Iterator<Item = (Stack<'_>, u64)> {
        self.ticks.iter().map(|((thread, addresses), ticks)| {
            let thread = self.threads.get(*thread).map_or("", String::as_str);
            (Stack { thread, raw: addresses }, *ticks)
        })
    }

    /// What is to be said of the profile.
    pub(super) fn comments(&self) -> Vec<String> {
        let lost = (self.lost > 0).then(|| format!("samples lost: {}", self.lost));
        let leaves = (!Sampler::SEES_CALLERS).then(|| LEAVES_ONLY.to_owned());
        lost.into_iter().chain(leaves).collect()
    }

    /// As `pprof` reads it. Reads the names of functions from files.
    pub(super) fn to_gzip(&self, mappings: &[Mapping]) -> Vec<u8> {
        let sources: Vec<_> = mappings.iter().map(symbols::source).collect();
        let names = symbols::names(
            mappings,
            self.stacks().flat_map(|(stack, _)| stack.addresses().collect::<Vec<_>>()),
        );
        gzip::stored(&encode::encode(self, mappings, &sources, &names))
    }
}

const LEAVES_ONLY: &str = "built without frame pointers: functions are shown without their callers";
