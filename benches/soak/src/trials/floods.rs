//! What clients do to a server.

use std::net::SocketAddr;

use waypost_load::bench::{NAMES, SERVER};
use waypost_load::flood::{Expect, Pace};

use crate::odd;
use crate::slow_tcp;
use crate::trial::{self, Figures, Trial};

pub(super) const STEADY: Trial = Trial {
    name: "steady",
    title: "hosts, cached and forwarded names side by side: does it grow?",
    run: |soak| {
        let (job, _upstream) = soak.bench.whole_job(NAMES, &[])?;
        let subject = soak.start(&job)?;
        let mut forwarded = trial::unique(8, Pace::Rate(1000))?;
        forwarded.expect = Expect::Answer;
        forwarded.label = "forwarded".into();
        let outcomes = soak.load_only(vec![trial::hosts(5000)?, trial::cached(5000)?, forwarded])?;
        finish(subject, Figures::of(&outcomes, 3, "none".into()))
    },
};

pub(super) const WATER_TORTURE: Trial = Trial {
    name: "water-torture",
    title: "never-repeated names under one zone as fast as they are answered, hosts and cached names beside them",
    run: |soak| {
        let (job, _upstream) = soak.bench.whole_job(NAMES, &[])?;
        let subject = soak.start(&job)?;
        let flood = trial::unique(8, Pace::Window(24))?;
        let outcomes = soak.load_only(vec![trial::hosts(1000)?, trial::cached(1000)?, flood])?;
        let asked = outcomes.last().map_or(0, |flood| flood.sent);
        finish(subject, Figures::of(&outcomes, 2, format!("{asked} names never asked before")))
    },
};

pub(super) const ODD_PACKETS: Trial = Trial {
    name: "odd-packets",
    title: "20,000 datagrams a second that are no good query, hosts names beside them",
    run: |soak| {
        let (job, _upstream) = soak.bench.whole_job(NAMES, &[])?;
        let subject = soak.start(&job)?;
        let mut odd = odd::Sender::new(SERVER)?;
        let streams = vec![trial::hosts(5000)?, trial::cached(1000)?];
        let (outcomes, _) = soak.load(streams, odd::EVERY, |_| odd.send())?;
        finish(subject, Figures::of(&outcomes, 2, format!("{} odd datagrams", odd.sent())))
    },
};

pub(super) const SLOW_TCP: Trial = Trial {
    name: "slow-tcp",
    title: "500 TCP connections that send a byte now and then and are opened again when cut, hosts names over UDP \
            beside them",
    run: |soak| {
        let (job, _upstream) = soak.bench.whole_job(NAMES, &[])?;
        let subject = soak.start(&job)?;
        let SocketAddr::V4(server) = SERVER else { return Err("the server has an IPv4 address".into()) };
        let mut crowd = slow_tcp::Crowd::default();
        let streams = vec![trial::hosts(5000)?, trial::cached(1000)?];
        let (outcomes, _) = soak.load(streams, slow_tcp::EVERY, |_| crowd.step(server))?;
        finish(subject, Figures::of(&outcomes, 2, format!("{} slow connections opened", crowd.opened())))
    },
};

fn finish(subject: trial::Subject, figures: Figures) -> Result<Figures, String> {
    let (_, peak) = subject.running.memory_mib()?;
    subject.running.process.stop();
    Ok(figures.weighed(subject.rss_start_mib, peak))
}
