//! `loadbalance [round_robin | weighted FILE { reload DURATION }] { prefer NETWORKS... }`

use std::path::PathBuf;

use crate::chain::Setup;
use crate::config::{Cidr, Diagnostic, Directive, GoDuration, Problems, Word, quote};

/// How often a file of weights is looked at, if nothing else is said: 30 s.
const RELOAD: GoDuration = GoDuration { nanoseconds: 30_000_000_000 };

/// What the directives of a block say together.
#[derive(Debug)]
pub(super) struct Config {
    pub(super) policy: Policy,
    /// Addresses of the first network come first, and so on.
    pub(super) prefer: Vec<Cidr>,
}

/// How the first among equals is chosen.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Policy {
    /// All have their turn.
    RoundRobin,
    /// By the weights in a file, which is looked at as often; 0 for never again.
    Weighted { file: PathBuf, reload: GoDuration },
}

/// Reads all directives of a block. The policy of the last counts.
pub(super) fn configure(setup: &mut Setup<'_>) -> Result<Config, Vec<Diagnostic>> {
    let mut config = Config { policy: Policy::RoundRobin, prefer: Vec::new() };
    let mut problems = Problems::default();
    let directives = setup.directives;
    if let [overruled @ .., _] = directives {
        for other in overruled {
            setup.warn(other.error("only the policy of the last 'loadbalance' counts"));
        }
    }
    for directive in directives {
        match directive.args.first() {
            None => config.policy = Policy::RoundRobin,
            Some(policy) if *policy == "round_robin" => {
                if let Some(surplus) = directive.args.get(1) {
                    problems.push(surplus.error(format!("unknown property for {}", policy.text)));
                }
                config.policy = Policy::RoundRobin;
            }
            Some(policy) if *policy == "weighted" => {
                if let Some(weighted) = weighted(directive, policy, setup, &mut problems) {
                    // In CoreDNS it puts back what was said before.
                    config = Config { policy: weighted, prefer: Vec::new() };
                }
                continue;
            }
            Some(policy) => {
                let error = policy.bare_error(format!("unknown policy: {}", policy.text));
                problems.push(error.choices(&policy.text, &["round_robin", "weighted"]));
                continue;
            }
        }
        for option in directive.options() {
            if option.name == "prefer" {
                problems.keep(option.no_block());
                config.prefer.extend(option.args.iter().filter_map(|word| problems.keep(network(word))));
            } else {
                problems.push(option.unknown_property(&["prefer"]));
            }
        }
    }
    problems.finish(config)
}

fn weighted(
    directive: &Directive,
    policy: &Word,
    setup: &Setup<'_>,
    problems: &mut Problems,
) -> Option<Policy> {
    let mut reload = RELOAD;
    for option in directive.options() {
        if option.name != "reload" {
            problems.push(option.unknown_property(&["reload"]));
            continue;
        }
        problems.keep(option.no_block());
        match &option.args[..] {
            [] => problems.push(option.error("reload duration value is missing")),
            [word] => reload = problems.keep(duration(word)).unwrap_or(reload),
            [_, surplus, ..] => problems.push(surplus.error("unexpected argument")),
        }
    }
    match &directive.args[1..] {
        [] => problems.push(policy.error("missing weight file argument")),
        [file] => return Some(Policy::Weighted { file: setup.path(&file.text), reload }),
        [_, surplus, ..] => problems.push(surplus.error("unexpected argument(s)")),
    }
    None
}

fn duration(word: &Word) -> Result<GoDuration, Diagnostic> {
    let message = || format!("invalid reload duration '{}'", word.text);
    let duration = word.signed_duration().map_err(|error| error.located().reworded(message()))?;
    if duration.nanoseconds < 0 {
        return Err(word.error(message()).help("allowed: 0 for never, or more"));
    }
    Ok(duration)
}

fn network(word: &Word) -> Result<Cidr, Diagnostic> {
    Cidr::parse(&word.text).ok_or_else(|| {
        let message = format!("invalid CIDR {}: invalid CIDR address: {}", quote(&word.text), word.text);
        word.error(message).help("such as 192.0.2.0/24 or 2001:db8::/32")
    })
}
