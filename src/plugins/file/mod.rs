#![doc = include_str!("README.md")]

mod config;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use config::{Config, FileConfig};
use tracing::{error, info, warn};

use crate::chain::zones::{self, Handling, LoadError, Tell, ZoneFile};
use crate::chain::{Ahead, Built, Cx, Plugin, PluginSpec, Query, Repeat, Response, Setup, Step};
use crate::config::{Diagnostic, GoDuration, quote};
use crate::control::steady::{Trouble, keep_fresh};
use crate::wire::{Class, Name, Opcode, Rcode, Rtype};
use crate::zone::ZoneSet;

/// The plugin's row.
pub(super) const SPEC: PluginSpec = PluginSpec {
    name: "file",
    summary: "serves zones from master files (RFC 1035 5)",
    manual: include_str!("README.md"),
    repeat: Repeat::Many,
    metrics: &[],
    build,
};

fn build(setup: &mut Setup<'_>) -> Result<Built, Vec<Diagnostic>> {
    let config = Config::read(setup)?;
    let mut zones = ZoneSet::default();
    let mut errors = Vec::new();
    for file in &config.files {
        for origin in &file.origins {
            let zone = Arc::new(ZoneFile::new(file.path.clone(), origin.clone(), file.by_mtime, InFile));
            read(&zone, file, setup, &mut errors);
            if !file.reload.is_zero() {
                setup.background(keep_fresh(Arc::clone(&zone), file.reload));
            }
            // As in CoreDNS, the last directive for a zone counts.
            if zones.insert(origin, zone).is_some() {
                setup.warn(file.word.error(format!("zone {origin} has a file already; this one is served")));
            }
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok(vec![Arc::new(File { zones, fallthrough: config.fallthrough })])
}

/// Reads a zone for the first time. A file that is not there may come later; one with mistakes is an error.
fn read(zone: &ZoneFile<InFile>, file: &FileConfig, setup: &mut Setup<'_>, errors: &mut Vec<Diagnostic>) {
    let path = file.path.to_string_lossy();
    match zone.first_read() {
        Ok(warnings) => warnings.into_iter().for_each(|warning| setup.warn(file.word.bare_error(warning))),
        Err(Ok(error)) => errors.extend(mistakes(&error, file, zone.origin())),
        // A directory does not turn into a file, so it is no use to wait.
        Err(Err(trouble @ (Trouble::Directory | Trouble::Special))) => {
            let (path, origin) = (quote(&path), zone.origin());
            let why = format!("failed to parse file {path} for origin {origin} with error {trouble}");
            errors.push(file.word.bare_error(why));
        }
        Err(Err(trouble)) => {
            let why = zones::why_not_opened(&file.path, &trouble);
            if file.reload.is_zero() {
                // CoreDNS says the plugin's name twice.
                let error = file.word.bare_error(why).in_plugin(SPEC.name);
                errors.push(error.help("without 'reload' the file has to be there at the start"));
            } else {
                let interval =
                    GoDuration { nanoseconds: i64::try_from(file.reload.as_nanos()).unwrap_or(i64::MAX) };
                let message = format!("Failed to open {}: trying again in {interval}", quote(&why));
                setup.warn(file.word.bare_error(message));
            }
        }
    }
}

fn mistakes(error: &LoadError, file: &FileConfig, origin: &Name) -> Vec<Diagnostic> {
    let lines: Vec<Option<&str>> = match error {
        LoadError::Mistakes(mistakes) => mistakes.iter().map(|mistake| Some(mistake.text.as_str())).collect(),
        LoadError::Build(_) => vec![None],
    };
    let messages = error.messages(&file.path, origin).into_iter();
    let diagnostics = messages.zip(lines).map(|(message, line)| {
        let error = file.word.bare_error(message);
        match line {
            Some(line) => error.help(format!("the line is: {}", line.trim())),
            None => error,
        }
    });
    diagnostics.collect()
}

/// Says what happens to the files.
struct InFile;

impl Tell for InFile {
    fn info(&self, text: &str) {
        info!(target: "plugin/file", "{text}");
    }
    fn warning(&self, text: &str) {
        warn!(target: "plugin/file", "{text}");
    }
    fn error(&self, text: &str) {
        error!(target: "plugin/file", "{text}");
    }
}

/// The zones of a block that come from files.
struct File {
    zones: ZoneSet<Arc<ZoneFile<InFile>>>,
    fallthrough: Vec<Name>,
}

impl Plugin for File {
    fn on_query(&self, cx: &Cx<'_>, query: &mut Query, response: &mut Response) -> Step {
        if !matches!(query.qclass(), Class::IN | Class::ANY) {
            return Step::Next;
        }
        let Some(file) = self.zones.find(query.name(), query.hash()) else {
            // An authoritative server refuses what is not its own.
            return if cx.is_last() { Step::Fail(Rcode::REFUSED, None) } else { Step::Next };
        };
        if matches!(query.qtype(), Rtype::AXFR | Rtype::IXFR) {
            return Step::Fail(Rcode::REFUSED, None);
        }
        if query.opcode() == Opcode::NOTIFY {
            info!(target: "plugin/file", "Dropping notify from {} for {}", query.peer.ip(), file.origin());
            return Step::Drop;
        }
        let zone = file.zone();
        let Some(zone) = &*zone else { return Step::Fail(Rcode::SERVFAIL, None) };
        let handling = |query: &Query| {
            if self.fallthrough.iter().any(|zone| query.name().is_under(zone.as_bytes())) {
                Handling::HandOn
            } else {
                Handling::Deny
            }
        };
        zones::answer(zone, cx, query, response, handling)
    }

    fn look_ahead(&self, query: &Query, ahead: Ahead) {
        let Some(file) = self.zones.find(query.name(), query.hash()) else { return };
        if let Some(zone) = &*file.zone() {
            match ahead {
                Ahead::Two => zone.fetch_slot(query.hash()),
                Ahead::One => zone.fetch_node(query.hash()),
            }
        }
    }

    fn looks_ahead(&self) -> bool {
        true
    }
}
