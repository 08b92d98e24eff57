//! What the operator and the machine do to a server.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use waypost_load::bench::NAMES;
use waypost_load::server::{Job, Log};

use crate::trial::{self, Figures, Trial};

pub(super) const RELOADS: Trial = Trial {
    name: "reloads",
    title: "SIGUSR1 each 100 ms, every tenth time with a broken Corefile, under 20,000 hosts names a second",
    run: |soak| {
        let (job, _upstream) = soak.bench.whole_job(NAMES, &[])?;
        let subject = soak.start(&Job { log: Log::Off, ..job })?;
        let corefile = soak.bench.dir.join("Corefile");
        let good = fs::read(&corefile).map_err(|error| format!("{}: {error}", corefile.display()))?;
        let streams = vec![trial::hosts(20_000)?, trial::cached(1000)?];
        let (outcomes, faults) = soak.load(streams, Duration::from_millis(100), |number| {
            let text = if number % 10 == 9 { &b".:5300 {\n    no-such-plugin\n"[..] } else { &good };
            replace(&corefile, text).map_err(|error| format!("{}: {error}", corefile.display()))?;
            subject.running.process.signal(libc::SIGUSR1).map_err(|error| format!("SIGUSR1: {error}"))
        })?;
        let (_, peak) = subject.running.memory_mib()?;
        subject.running.process.stop();
        let faults = format!("{faults} reloads, {} of them broken", faults / 10);
        Ok(Figures::of(&outcomes, 2, faults).weighed(subject.rss_start_mib, peak))
    },
};

pub(super) const HOSTS_FILE: Trial = Trial {
    name: "hosts-file",
    title: "a hosts file replaced, deleted, made a directory, filled with rubbish, each 250 ms, under 20,000 hosts \
            names a second",
    run: |soak| {
        let (job, _upstream) = soak.bench.whole_job(NAMES, &[])?;
        let path = soak.bench.hosts_file(NAMES)?;
        let good = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let subject = soak.start(&Job { log: Log::Off, ..job })?;
        let streams = vec![trial::hosts(20_000)?];
        let done = soak.load(streams, Duration::from_millis(250), |number| {
            harm(&path, &good, number).map_err(|error| format!("{}: {error}", path.display()))
        });
        restore(&path, &good).map_err(|error| format!("{}: {error}", path.display()))?;
        let (outcomes, faults) = done?;
        let (_, peak) = subject.running.memory_mib()?;
        subject.running.process.stop();
        Ok(Figures::of(&outcomes, 1, format!("{faults} changes")).weighed(subject.rss_start_mib, peak))
    },
};

pub(super) const STALLED_LOG: Trial = Trial {
    name: "stalled-log",
    title: "log to a pipe that nobody reads, under 20,000 hosts names a second",
    run: |soak| {
        let (job, _upstream) = soak.bench.whole_job(NAMES, &[])?;
        let subject = soak.start(&Job { log: Log::Stalled, ..job })?;
        let outcomes = soak.load_only(vec![trial::hosts(20_000)?, trial::cached(1000)?])?;
        let (_, peak) = subject.running.memory_mib()?;
        subject.running.process.stop();
        Ok(Figures::of(&outcomes, 2, "a full pipe".into()).weighed(subject.rss_start_mib, peak))
    },
};

pub(super) const KILLED: Trial = Trial {
    name: "killed",
    title: "SIGKILL and start again each second; slowest: from the start to the first answer (losses are not held \
            against it)",
    run: |soak| {
        let (job, _upstream) = soak.bench.whole_job(NAMES, &[])?;
        let subject = soak.start(&job)?;
        let rss_start_mib = subject.rss_start_mib;
        let mut slowest = subject.running.ready_after;
        let mut peak = rss_start_mib;
        let mut subject = Some(subject);
        let (outcomes, faults) = soak.load(vec![trial::hosts(1000)?], Duration::from_secs(1), |_| {
            // Dropping a process is SIGKILL.
            if let Some(old) = subject.take() {
                peak = old.running.memory_mib()?.1.max(peak);
            }
            let new = soak.start(&job)?;
            slowest = slowest.max(new.running.ready_after);
            subject = Some(new);
            Ok(())
        })?;
        Ok(Figures::of(&outcomes, 0, format!("{faults} kills")).weighed(rss_start_mib, peak).slowest(slowest))
    },
};

/// One change of the hosts file. The names that are asked are in every good version of it.
fn harm(path: &Path, good: &[u8], number: u64) -> io::Result<()> {
    match number % 6 {
        // A good file with one more name, by rename.
        0 | 2 | 4 => restore(path, &[good, format!("192.0.2.7 extra{number}.example\n").as_bytes()].concat()),
        1 => fs::remove_file(path),
        3 => fs::remove_file(path).and_then(|()| fs::create_dir(path)),
        _ => restore(
            path,
            &[good, &[0; 4096], &[b'x'; 1 << 16], b"\n999.1.1.1 bad\nnot-an-address name\n"].concat(),
        ),
    }
}

fn restore(path: &Path, text: &[u8]) -> io::Result<()> {
    if path.is_dir() {
        fs::remove_dir(path)?;
    }
    replace(path, text)
}

/// Replaces a file in one step.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, text)?;
    fs::rename(new, path)
}
