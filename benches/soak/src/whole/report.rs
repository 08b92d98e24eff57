//! What a run prints.

use std::fmt::Write as _;
use std::time::Duration;

use waypost_load::flood::{Failure, Outcome};
use waypost_load::histogram::Histogram;

use super::clients::Counts;
use super::harms::Harm;

/// One kind of query and what became of it.
pub struct Kept {
    /// What was asked.
    pub label: &'static str,
    /// What has to come of it.
    pub must: &'static str,
    /// How many were to be asked.
    pub planned: u64,
    /// How many were.
    pub asked: u64,
    /// Unanswered within 6 s.
    pub lost: u64,
    /// Answered otherwise than they had to be.
    pub wrong: u64,
    /// From the query to its answer.
    pub latency: Histogram,
    /// Those that were lost or wrong.
    pub failures: Vec<Failure>,
    /// Answered SERVFAIL or REFUSED.
    pub failed: u64,
}

impl Kept {
    /// That of a stream.
    pub fn of_stream(label: &'static str, must: &'static str, planned: u64, outcome: Outcome) -> Self {
        Self {
            label,
            must,
            planned,
            asked: outcome.sent,
            lost: outcome.lost,
            wrong: outcome.wrong,
            latency: outcome.latency,
            failures: outcome.failures,
            failed: outcome.rcodes[2] + outcome.rcodes[5],
        }
    }

    /// That of a client.
    pub fn of_client(label: &'static str, must: &'static str, planned: u64, counts: Counts) -> Self {
        let Counts { asked, lost, wrong, latency, failures, .. } = counts;
        Self { label, must, planned, asked, lost, wrong, latency, failures, failed: 0 }
    }
}

/// A harm as it was done.
pub struct Done {
    /// What.
    pub harm: &'static Harm,
    /// From the start of the run.
    pub from: Duration,
    /// To.
    pub to: Duration,
    /// How often.
    pub count: u64,
    /// What the server did that it must not.
    pub complaint: Option<String>,
}

/// Something that must hold.
pub struct Hold {
    /// What.
    pub what: &'static str,
    /// What was found.
    pub found: String,
    /// What is allowed.
    pub bound: String,
    /// Whether it held.
    pub holds: bool,
}

/// All of a run.
#[derive(Default)]
pub struct Report {
    /// What was asked.
    pub kept: Vec<Kept>,
    /// What was done.
    pub done: Vec<Done>,
    /// What must hold.
    pub holds: Vec<Hold>,
    /// Figures that nothing is demanded of.
    pub notes: Vec<String>,
}

/// Failures next to each other.
struct Group {
    from: Duration,
    to: Duration,
    counts: Vec<(String, u64)>,
    beside: String,
}

/// Groups of failures that are told.
const GROUPS_TOLD_MAX: usize = 40;
/// Failures that are further apart are told apart.
const APART: Duration = Duration::from_millis(500);
/// A failure is told with the harms of this time before and after.
const AROUND: Duration = Duration::from_millis(300);

impl Report {
    /// Adds something that must hold.
    pub fn hold(&mut self, what: &'static str, found: impl ToString, bound: impl ToString, holds: bool) {
        self.holds.push(Hold { what, found: found.to_string(), bound: bound.to_string(), holds });
    }

    /// Whether all held.
    pub fn is_good(&self) -> bool {
        self.holds.iter().all(|hold| hold.holds)
    }

    /// As Markdown. Writing to a String cannot fail.
    pub fn text(&self, whole: Duration) -> String {
        let seconds = whole.as_secs_f64();
        let mut text = String::from("| harm | stints | seconds | done | what |\n|---|---:|---:|---:|---|\n");
        let mut told: Vec<&str> = Vec::new();
        for done in &self.done {
            if told.contains(&done.harm.name) {
                continue;
            }
            told.push(done.harm.name);
            let of_it = || self.done.iter().filter(|other| other.harm.name == done.harm.name);
            let time: Duration = of_it().map(|done| done.to - done.from).sum();
            let count: u64 = of_it().map(|done| done.count).sum();
            let (name, counted) = (done.harm.name, done.harm.counted);
            let _ = writeln!(
                text,
                "| {name} | {} | {:.0} | {count} | {counted} |",
                of_it().count(),
                time.as_secs_f64()
            );
        }
        text += "\n| asked | must be | q/s | asked | lost | wrong | SERVFAIL, REFUSED | p50 µs | p99 ms | max ms |\n\
                 |---|---|---:|---:|---:|---:|---:|---:|---:|---:|\n";
        for kept in &self.kept {
            let nanos = |share| kept.latency.quantile(share) as f64;
            let _ = writeln!(
                text,
                "| {} | {} | {:.0} | {} | {} | {} | {} | {:.0} | {:.2} | {:.1} |",
                kept.label,
                kept.must,
                kept.asked as f64 / seconds,
                kept.asked,
                kept.lost,
                kept.wrong,
                kept.failed,
                nanos(0.5) / 1e3,
                nanos(0.99) / 1e6,
                kept.latency.max() as f64 / 1e6
            );
        }
        text += "\n| must hold | found | allowed | |\n|---|---|---|---|\n";
        for hold in &self.holds {
            let held = if hold.holds { "held" } else { "**failed**" };
            let _ = writeln!(text, "| {} | {} | {} | {held} |", hold.what, hold.found, hold.bound);
        }
        text.push('\n');
        for note in &self.notes {
            let _ = writeln!(text, "- {note}");
        }
        for done in &self.done {
            if let Some(complaint) = &done.complaint {
                let _ =
                    writeln!(text, "- {} at {:.1} s: {complaint}", done.harm.name, done.from.as_secs_f64());
            }
        }
        text + &self.failures()
    }

    /// Failures with what was done at that time, those next to each other as one.
    fn failures(&self) -> String {
        let mut failures: Vec<(&str, Failure)> = Vec::new();
        for kept in &self.kept {
            failures.extend(kept.failures.iter().map(|failure| (kept.label, *failure)));
        }
        failures.sort_by_key(|(_, failure)| failure.sent_at);
        let mut groups: Vec<Group> = Vec::new();
        for (label, failure) in failures {
            let what = format!(
                "of {label} {}",
                failure.rcode.map_or("lost".to_owned(), |rcode| format!("wrong with RCODE {rcode}"))
            );
            let beside = self.beside(failure.sent_at);
            if groups.last().is_none_or(|last| last.beside != beside || last.to + APART < failure.sent_at) {
                let at = failure.sent_at;
                groups.push(Group { from: at, to: at, counts: Vec::new(), beside });
            }
            let Some(group) = groups.last_mut() else { continue };
            group.to = failure.sent_at;
            match group.counts.iter_mut().find(|(known, _)| *known == what) {
                Some((_, count)) => *count += 1,
                None => group.counts.push((what, 1)),
            }
        }
        let mut text = String::new();
        for Group { from, to, counts, beside } in groups.iter().take(GROUPS_TOLD_MAX) {
            let counts: Vec<String> = counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
            let (from, to) = (from.as_secs_f64(), to.as_secs_f64());
            let _ =
                writeln!(text, "- asked at {from:.3} to {to:.3} s: {}; beside {beside}", counts.join(", "));
        }
        if groups.len() > GROUPS_TOLD_MAX {
            let _ = writeln!(text, "- and {} more", groups.len() - GROUPS_TOLD_MAX);
        }
        text
    }

    /// What was done at a time, in words.
    pub fn beside(&self, at: Duration) -> String {
        let names = self.done.iter().filter(|done| done.from < at + AROUND && done.to + AROUND > at);
        let names: Vec<&str> = names.map(|done| done.harm.name).collect();
        if names.is_empty() { "nothing".into() } else { names.join(", ") }
    }
}
