//! What upstreams do to a server.

use std::time::Duration;

use waypost_load::bench::{NAMES, RESOLV_CONF_UPSTREAM};
use waypost_load::flood::Pace;

use crate::trial::{self, Figures, Trial};

pub(super) const SILENT: Trial = Trial {
    name: "silent",
    title: "an upstream that never answers, 10,000 never-repeated names a second, hosts names beside them",
    run: |soak| {
        let (job, _upstream) = soak.bench.whole_job(NAMES, &["--silent"])?;
        let subject = soak.start(&job)?;
        let streams = vec![trial::hosts(1000)?, trial::unique(200, Pace::Rate(10_000))?];
        let outcomes = soak.load_only(streams)?;
        let (_, peak) = subject.running.memory_mib()?;
        subject.running.process.stop();
        // Both are watched: what cannot be resolved must be told within the client's patience.
        Ok(Figures::of(&outcomes, 2, "no answer ever".into()).weighed(subject.rss_start_mib, peak))
    },
};

pub(super) const FLAPPING: Trial = Trial {
    name: "flapping",
    title: "an upstream killed and started again in turn each 2 s, never-repeated and hosts names",
    run: |soak| {
        let (job, upstream) = soak.bench.whole_job(NAMES, &[])?;
        let subject = soak.start(&job)?;
        let mut upstream = Some(upstream);
        let streams = vec![trial::hosts(5000)?, trial::unique(8, Pace::Rate(2000))?];
        let (outcomes, faults) = soak.load(streams, Duration::from_secs(2), |_| {
            upstream = match upstream.take() {
                Some(alive) => {
                    drop(alive);
                    None
                }
                None => Some(soak.bench.start_upstream(RESOLV_CONF_UPSTREAM, &[])?),
            };
            Ok(())
        })?;
        let (_, peak) = subject.running.memory_mib()?;
        subject.running.process.stop();
        let faults = format!("{} kills", faults.div_ceil(2));
        Ok(Figures::of(&outcomes, 2, faults).weighed(subject.rss_start_mib, peak))
    },
};

pub(super) const LATE: Trial = Trial {
    name: "late",
    title: "an upstream that answers after 500 ms, 1,500 never-repeated names a second, hosts names beside them",
    run: |soak| {
        let (job, _upstream) = soak.bench.whole_job(NAMES, &["--late-ms", "500"])?;
        let subject = soak.start(&job)?;
        let streams = vec![trial::hosts(5000)?, trial::unique(8, Pace::Rate(1500))?];
        let outcomes = soak.load_only(streams)?;
        let (_, peak) = subject.running.memory_mib()?;
        subject.running.process.stop();
        Ok(Figures::of(&outcomes, 2, "each answer 500 ms late".into()).weighed(subject.rss_start_mib, peak))
    },
};
