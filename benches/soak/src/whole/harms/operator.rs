//! What the operator does.

use std::fs::{self, File};
use std::io::Write;
use std::time::Duration;

use super::super::known;
use super::super::plan::{Random, Until};
use super::super::subject::{self, replace};
use super::{Field, Harm};

pub(super) const HARMS: &[Harm] = &[
    Harm::new("operator", "reload", "reloads, with another hosts file each", reload),
    Harm::new("operator", "broken-reload", "reloads of a broken configuration", broken_reload),
    Harm::new("operator", "upgrade", "upgrades", upgrade).of_upgrades(),
    Harm::new("operator", "failed-upgrade", "upgrades to a broken configuration", failed_upgrade)
        .of_upgrades(),
    Harm::new("operator", "hosts-broken", "changes", hosts_broken),
    Harm::new("operator", "hosts-swap", "swaps", hosts_swap),
];

/// An old configuration stays in memory while queries wait on it, up to 5 s with a silent upstream: at this pace that is ten of them.
const RELOAD_EVERY: Duration = Duration::from_millis(500);
const BREAK_EVERY: Duration = Duration::from_millis(200);
const SWAP_EVERY: Duration = Duration::from_millis(100);
const UPGRADE_EVERY: Duration = Duration::from_millis(700);

/// A good configuration, each time another text.
fn good(field: &Field<'_>, number: u64) -> String {
    format!("# {number}\n{}", subject::corefile(&field.subject.hosts))
}

fn reload(field: &Field<'_>, until: &Until, _: &mut Random) -> Result<u64, String> {
    let hosts = known::hosts_text()?;
    let mut done = 0;
    loop {
        done += 1;
        replace(&field.subject.corefile, good(field, done).as_bytes())?;
        replace(&field.subject.hosts, format!("{hosts}192.0.2.7 reload{done}.example\n").as_bytes())?;
        field.subject.signal(libc::SIGUSR1)?;
        if !until.pause(RELOAD_EVERY) {
            return Ok(done);
        }
    }
}

fn broken_reload(field: &Field<'_>, until: &Until, random: &mut Random) -> Result<u64, String> {
    let mut done = 0;
    let harmed = loop {
        done += 1;
        let step = break_corefile(field, random).and_then(|()| field.subject.signal(libc::SIGUSR1));
        if step.is_err() || !until.pause(BREAK_EVERY) {
            break step;
        }
    };
    replace(&field.subject.corefile, good(field, 0).as_bytes())?;
    harmed.map(|()| done)
}

/// Puts something in the place of the Corefile that is none.
fn break_corefile(field: &Field<'_>, random: &mut Random) -> Result<(), String> {
    let path = &field.subject.corefile;
    let good = good(field, 1);
    let text = match random.below(7) {
        0 => b".:5300 {\n    no-such-plugin\n}\n".to_vec(),
        // Cut in the last block, which is thus not closed.
        1 => good.as_bytes()[..good.len() - 5].to_vec(),
        2 => random.bytes(2000),
        3 => good.replace("cache 60", "cache sixty").into_bytes(),
        4 => good.replace("forward . ", "forward . not-an-address:").into_bytes(),
        // An address that is not this machine's: all is right until the socket is opened.
        5 => good.replace("bind 127.0.0.1", "bind 192.0.2.99").into_bytes(),
        _ => {
            replace(path, b"")?;
            fs::remove_file(path).map_err(|error| format!("{}: {error}", path.display()))?;
            return if random.below(2) == 0 {
                Ok(())
            } else {
                fs::create_dir(path).map_err(|error| format!("{}: {error}", path.display()))
            };
        }
    };
    replace(path, &text)
}

fn upgrade(field: &Field<'_>, until: &Until, _: &mut Random) -> Result<u64, String> {
    let mut done = 0;
    loop {
        let (old, before) = (field.subject.id(), field.subject.lives_so_far());
        field.subject.signal(libc::SIGUSR2)?;
        super::recovers(&format!("process {old} was not replaced after SIGUSR2"), || {
            field.subject.lives_so_far() > before
        })?;
        done += 1;
        if !until.pause(UPGRADE_EVERY) {
            return Ok(done);
        }
    }
}

fn failed_upgrade(field: &Field<'_>, until: &Until, random: &mut Random) -> Result<u64, String> {
    let mut done = 0;
    let harmed = loop {
        done += 1;
        let step = break_corefile(field, random).and_then(|()| field.subject.signal(libc::SIGUSR2));
        if step.is_err() || !until.pause(UPGRADE_EVERY) {
            break step;
        }
    };
    // The successor that was started last may not have looked yet; if it finds a good one it takes over, which is no harm.
    replace(&field.subject.corefile, good(field, 0).as_bytes())?;
    harmed.map(|()| done)
}

/// The hosts file gone, a directory, with rubbish in it, written in place; the names that are asked are in each version
/// of it that can be read.
fn hosts_broken(field: &Field<'_>, until: &Until, random: &mut Random) -> Result<u64, String> {
    let path = &field.subject.hosts;
    let good = known::hosts_text()?.into_bytes();
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut done = 0;
    let harmed = loop {
        done += 1;
        let step = match random.below(5) {
            0 => replace(path, &good).and_then(|()| fs::remove_file(path).map_err(failed)),
            1 => replace(path, &good)
                .and_then(|()| fs::remove_file(path).and_then(|()| fs::create_dir(path)).map_err(failed)),
            2 => replace(
                path,
                &[&good[..], &[0; 4096], &[b'x'; 1 << 16], b"\n999.1.1.1 bad\nnot-an-address name\n"]
                    .concat(),
            ),
            3 => replace(path, &[&good[..], format!("192.0.2.7 extra{done}.example\n").as_bytes()].concat()),
            // Emptied and written again, in parts.
            _ => replace(path, &good).and_then(|()| {
                let mut file = File::create(path).map_err(failed)?;
                good.chunks(good.len() / 8).try_for_each(|part| file.write_all(part).map_err(failed))
            }),
        };
        if step.is_err() || !until.pause(BREAK_EVERY) {
            break step;
        }
    };
    replace(path, &good)?;
    harmed.map(|()| done)
}

fn hosts_swap(field: &Field<'_>, until: &Until, random: &mut Random) -> Result<u64, String> {
    let good = known::hosts_text()?;
    let mut done = 0;
    loop {
        done += 1;
        let text = format!("{good}192.0.2.7 extra{}.example\n", random.below(1 << 20));
        replace(&field.subject.hosts, text.as_bytes())?;
        if !until.pause(SWAP_EVERY) {
            return Ok(done);
        }
    }
}
