#![doc = include_str!("README.md")]

use std::time::Duration;

use crate::chain::{Built, PluginSpec, Repeat, Said, Setup};
use crate::config::{Diagnostic, Directive, GoDuration, Problems, Result, Word, atoi};

pub(super) const SPEC: PluginSpec = PluginSpec {
    name: "timeouts",
    summary: "sets the time limits of connections",
    manual: include_str!("README.md"),
    repeat: Repeat::Many,
    metrics: &[],
    build,
};

const TIMEOUT_MIN: Duration = Duration::from_secs(1);
const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3600);

const OPTIONS: &[&str] = &["read", "write", "idle", "maxtcpqueries"];

fn build(setup: &mut Setup<'_>) -> std::result::Result<Built, Vec<Diagnostic>> {
    let mut problems = Problems::default();
    for directive in setup.directives {
        // CoreDNS says the plugin's name twice in these two.
        problems.keep(directive.no_args().map_err(|error| error.in_plugin(SPEC.name)));
        if directive.options().is_empty() {
            let error = directive.error_at_end("timeouts block with no timeouts specified");
            problems.push(error.in_plugin(SPEC.name).help(format!("it takes {}", OPTIONS.join(", "))));
        }
        for option in directive.options() {
            problems.keep(read(option, setup));
        }
    }
    problems.finish(Vec::new())
}

fn read(option: &Directive, setup: &mut Setup<'_>) -> Result<()> {
    let word = option.one_arg()?;
    option.no_block()?;
    let place = word.span;
    let wishes = &mut setup.block.listeners;
    if option.name == "maxtcpqueries" {
        wishes.queries_max = Some(Said { value: queries(word)?, place });
        return Ok(());
    }
    let value = duration(word)?;
    let wish = match option.name.as_str() {
        "read" => &mut wishes.read_timeout,
        "write" => &mut wishes.write_timeout,
        "idle" => &mut wishes.idle_timeout,
        name => {
            let error = option.error(format!("unknown option: '{name}'"));
            return Err(error.choices(name, OPTIONS));
        }
    };
    *wish = Some(Said { value, place });
    Ok(())
}

/// A duration within the bounds; a bare number is one of seconds.
fn duration(word: &Word) -> Result<Duration> {
    let help = "such as 5s or 2m, from 1s to 24h; a number alone is one of seconds";
    let text = &word.text;
    let spelled = if atoi(text).is_ok() { format!("{text}s") } else { text.clone() };
    let duration = GoDuration::parse(&spelled)
        .map_err(|_| word.error(format!("failed to parse duration '{text}'")).help(help))?;
    let allowed = duration.positive().filter(|value| (TIMEOUT_MIN..=TIMEOUT_MAX).contains(value));
    allowed.ok_or_else(|| {
        let message = format!("timeout provided '{duration}' needs to be between 1 second and 24 hours");
        word.error(message).help(help)
    })
}

/// How many queries a connection may bring; `None`: any number.
fn queries(word: &Word) -> Result<Option<u32>> {
    let refused = |message| word.error(message).help("such as 100, or -1 for no limit");
    let number = atoi(&word.text)
        .map_err(|why| refused(format!("invalid value for maxtcpqueries '{}': {why}", word.text)))?;
    match number {
        -1 => Ok(None),
        1.. => Ok(Some(u32::try_from(number).unwrap_or(u32::MAX))),
        _ => Err(refused(format!(
            "maxtcpqueries provided '{number}' needs to be -1 (unlimited) or a positive integer"
        ))),
    }
}

#[cfg(test)]
mod tests;
