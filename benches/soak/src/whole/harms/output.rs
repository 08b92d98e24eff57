//! What happens to what the server writes.

use std::time::Duration;

use super::super::output::Manner;
use super::super::plan::{Random, Until};
use super::{Field, Harm};

pub(super) const HARMS: &[Harm] = &[
    Harm::new("stdout", "stdout-slow", "lines read", |field, until, _| {
        let before = field.pipe.lines();
        read_so(field, until, Manner::Slow)?;
        Ok(field.pipe.lines() - before)
    }),
    Harm::new("stdout", "stdout-stalled", "times", |field, until, random| {
        again(field, until, random, Manner::Away)
    }),
    Harm::new("stdout", "stdout-closed", "times", |field, until, random| {
        again(field, until, random, Manner::Gone)
    }),
    Harm::new("disk", "full-disk", "times full", full_disk),
];

fn read_so(field: &Field<'_>, until: &Until, manner: Manner) -> Result<(), String> {
    field.pipe.behave(manner);
    while until.goes_on() {
        until.pause(Duration::from_secs(1));
    }
    is_read_again(field)
}

/// The reader is away for a time, and there again for a time.
fn again(field: &Field<'_>, until: &Until, random: &mut Random, manner: Manner) -> Result<u64, String> {
    let mut done = 0;
    loop {
        field.pipe.behave(manner);
        done += 1;
        let goes_on = until.pause(Duration::from_millis(100 + random.below(2500) as u64));
        is_read_again(field)?;
        if !goes_on || !until.pause(Duration::from_millis(random.below(500) as u64)) {
            return Ok(done);
        }
    }
}

/// That new lines come when they are read again.
fn is_read_again(field: &Field<'_>) -> Result<(), String> {
    // More than the pipe held and what the server kept meanwhile.
    const NEW_LINES: u64 = 20_000;
    field.pipe.behave(Manner::Reading);
    let before = field.pipe.lines();
    super::recovers("standard output is read again, and new lines did not come", || {
        field.pipe.lines() > before + NEW_LINES
    })
}

fn full_disk(field: &Field<'_>, until: &Until, random: &mut Random) -> Result<u64, String> {
    let mut done = 0;
    loop {
        field.disk.fill()?;
        done += 1;
        let goes_on = until.pause(Duration::from_millis(300 + random.below(2000) as u64));
        field.disk.empty()?;
        super::recovers("the disk has room again, and nothing was written", || field.disk.blocks() > 0)?;
        if !goes_on || !until.pause(Duration::from_millis(200 + random.below(500) as u64)) {
            return Ok(done);
        }
    }
}
