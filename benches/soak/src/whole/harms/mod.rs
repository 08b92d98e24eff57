//! What is done to the server. Each harm is one of a lane; lanes go on side by side, the harms of one after each other.

mod http;
mod network;
mod operator;
mod output;
mod tcp;

use std::time::Duration;

use waypost_load::server::Kind;

use super::output::{Pipe, SmallDisk};
use super::plan::{Random, Until};
use super::subject::Subject;
use super::upstream::Flappy;

/// One way to do harm.
pub struct Harm {
    /// Its name.
    pub name: &'static str,
    /// What it is done to: harms of one lane are not done at once.
    pub lane: &'static str,
    /// What is counted.
    pub counted: &'static str,
    /// Does it until the end; gives how often, or what the server did that it must not.
    pub act: fn(&Field<'_>, &Until, &mut Random) -> Result<u64, String>,
    /// Whether it is done in the first half of a run, and later only if it was not had by then.
    pub first_half_only: bool,
    /// Whether only waypost can do what it asks for.
    pub waypost_only: bool,
}

impl Harm {
    const fn new(
        lane: &'static str,
        name: &'static str,
        counted: &'static str,
        act: fn(&Field<'_>, &Until, &mut Random) -> Result<u64, String>,
    ) -> Self {
        Self { name, lane, counted, act, first_half_only: false, waypost_only: false }
    }

    /// What replaces the process: in the first half only, since it would hide what a process has kept.
    const fn of_upgrades(self) -> Self {
        Self { first_half_only: true, waypost_only: true, ..self }
    }
}

/// What harms are done to.
pub struct Field<'a> {
    /// The server.
    pub subject: &'a Subject,
    /// Its standard output.
    pub pipe: &'a Pipe,
    /// The disk of the other server's log.
    pub disk: &'a SmallDisk,
    /// The upstream that flaps.
    pub upstream: &'a Flappy,
}

/// All of them.
pub fn all() -> Vec<&'static Harm> {
    [operator::HARMS, network::HARMS, tcp::HARMS, output::HARMS, http::HARMS].into_iter().flatten().collect()
}

/// Those that can be done to `kind`.
pub fn of(kind: Kind) -> Vec<&'static Harm> {
    all().into_iter().filter(|harm| kind == Kind::Waypost || !harm.waypost_only).collect()
}

/// How long what was harmed may take until it is well again.
const WELL_WITHIN: Duration = Duration::from_secs(6);

/// Looks until `is_well`, for a while.
fn recovers(what: &str, mut is_well: impl FnMut() -> bool) -> Result<(), String> {
    let until = Until(std::time::Instant::now() + WELL_WITHIN);
    loop {
        if is_well() {
            return Ok(());
        }
        if !until.pause(Duration::from_millis(20)) {
            return Err(format!("{what} within {} s", WELL_WITHIN.as_secs()));
        }
    }
}
