//! The scenarios: each is a table of servers that do one job in turn, round after round.

mod blocks;
mod burden;
mod size;
mod steady;
mod upgrade;

use std::time::Duration;

use crate::bench::{Bench, Running};
use crate::server::Kind;
use crate::table::{Column, Row};

/// One table of the bench.
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What is done, in a sentence.
    pub title: &'static str,
    /// Who does it, in turn. Ratios are to the first.
    pub entrants: &'static [Entrant],
    /// What is measured.
    pub columns: &'static [Column],
    /// One measurement of one of them: a figure a column.
    pub measure: fn(&Bench, &Entrant) -> Result<Vec<f64>, String>,
}

/// A server in a scenario.
pub struct Entrant {
    /// The program.
    pub kind: Kind,
    /// What sets it apart from another entrant of the same program.
    pub variant: Variant,
}

/// How an entrant differs from the plain one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// On the server's core.
    Plain,
    /// On both cores.
    TwoCores,
}

impl Entrant {
    const fn plain(kind: Kind) -> Self {
        Self { kind, variant: Variant::Plain }
    }

    /// Its name in the table.
    pub fn label(&self) -> String {
        match self.variant {
            Variant::Plain => self.kind.name().into(),
            Variant::TwoCores => format!("{}, 2 cores", self.kind.name()),
        }
    }

    /// The cores it may run on.
    fn cores(&self, bench: &Bench) -> Vec<usize> {
        match self.variant {
            Variant::Plain => vec![bench.server_core],
            Variant::TwoCores => vec![bench.server_core, bench.load_core],
        }
    }
}

/// What `running` has had of the CPU so far.
fn cpu(running: &Running) -> Result<Duration, String> {
    running.process.cpu().map_err(|error| format!("its CPU clock: {error}"))
}

/// All scenarios, in the order of the README.
pub fn all() -> impl Iterator<Item = &'static Scenario> {
    steady::SCENARIOS
        .iter()
        .chain(size::SCENARIOS)
        .chain(blocks::SCENARIOS)
        .chain(burden::SCENARIOS)
        .chain(upgrade::SCENARIOS)
}

impl Scenario {
    /// Runs `rounds` rounds over the entrants that `wanted` accepts. What fails is a note, not an end.
    pub fn run(
        &self,
        bench: &Bench,
        rounds: usize,
        wanted: impl Fn(Kind) -> bool,
    ) -> (Vec<Row>, Vec<String>) {
        let entrants: Vec<&Entrant> = self.entrants.iter().filter(|entrant| wanted(entrant.kind)).collect();
        let row = |entrant: &&Entrant| Row { label: entrant.label(), rounds: Vec::with_capacity(rounds) };
        let mut rows: Vec<Row> = entrants.iter().map(row).collect();
        let mut notes = Vec::new();
        for round in 1..=rounds {
            for (entrant, row) in entrants.iter().zip(&mut rows) {
                let figures = (self.measure)(bench, entrant);
                match &figures {
                    Ok(figures) => eprintln!("{} {round}/{rounds} {}: {figures:.2?}", self.name, row.label),
                    Err(error) => {
                        let note = format!("{}: {error}", row.label);
                        eprintln!("{} {round}/{rounds} {note}", self.name);
                        if !notes.contains(&note) {
                            notes.push(note);
                        }
                    }
                }
                row.rounds.push(figures.ok());
            }
        }
        rows.retain(|row| row.rounds.iter().any(Option::is_some));
        (rows, notes)
    }
}
