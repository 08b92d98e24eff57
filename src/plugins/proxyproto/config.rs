//! What the directive says.

use std::time::Duration;

use crate::chain::{ProxyPolicy, ProxyTreatment, SessionLimits};
use crate::config::{Cidr, Diagnostic, Directive, GoDuration, Problems, Result, Word, atoi, quote};

/// Peers of one socket that are remembered where nothing is said.
const PEERS_MAX: usize = 10_240;

const OPTIONS: &[&str] = &["allow", "default", "udp_session_tracking"];

const TREATMENTS: &[(&str, ProxyTreatment)] = &[
    ("use", ProxyTreatment::Use),
    ("ignore", ProxyTreatment::Ignore),
    ("reject", ProxyTreatment::Reject),
    ("skip", ProxyTreatment::Skip),
];

/// The policy that the directives of a block make together.
///
/// # Errors
/// Everything that is wrong with them.
pub(super) fn read(directives: &[&Directive]) -> std::result::Result<ProxyPolicy, Vec<Diagnostic>> {
    let mut problems = Problems::default();
    let mut allowed = Vec::new();
    let mut others = None;
    let mut sessions = (None, None);
    for directive in directives {
        problems.keep(directive.no_args());
        for option in directive.options() {
            match option.name.as_str() {
                "allow" => {
                    problems.keep(option.no_block());
                    allowed.extend(option.args.iter().filter_map(|word| problems.keep(network(word))));
                }
                "default" => others = problems.keep(treatment(option)).or(others),
                "udp_session_tracking" => {
                    if let Some((lifetime, peers_max)) = problems.keep(tracking(option)) {
                        sessions = (Some(lifetime), peers_max.or(sessions.1));
                    }
                }
                name => {
                    let error = option.error(format!("unknown option '{name}'"));
                    problems.push(error.choices(name, OPTIONS));
                }
            }
        }
    }
    // With nothing said of anybody, everybody is believed.
    let unsaid = if allowed.is_empty() { ProxyTreatment::Use } else { ProxyTreatment::Ignore };
    let sessions = sessions.0.flatten().map(|lifetime| {
        let peers_max = sessions.1.unwrap_or(PEERS_MAX);
        SessionLimits { lifetime, peers_max }
    });
    problems.finish(ProxyPolicy { allowed, others: others.unwrap_or(unsaid), sessions })
}

fn network(word: &Word) -> Result<Cidr> {
    Cidr::parse(&word.text).ok_or_else(|| {
        word.bare_error(format!("{0}: invalid CIDR address: {0}", word.text))
            .help("such as 192.0.2.0/24, 192.0.2.1/32 or 2001:db8::/32")
    })
}

fn treatment(option: &Directive) -> Result<ProxyTreatment> {
    let word = option.one_arg()?;
    option.no_block()?;
    let name = word.text.to_ascii_lowercase();
    let known = TREATMENTS.iter().find(|(treatment, _)| *treatment == name);
    known.map(|&(_, treatment)| treatment).ok_or_else(|| {
        let names: Vec<&str> = TREATMENTS.iter().map(|&(name, _)| name).collect();
        word.arg_error().choices(&name, &names)
    })
}

/// How long headers are remembered, `None` for not at all, and of how many peers.
fn tracking(option: &Directive) -> Result<(Option<Duration>, Option<usize>)> {
    let words = option.between(1, 2)?;
    option.no_block()?;
    let lifetime = GoDuration::parse(&words[0].text).map_err(|why| {
        let duration = quote(&words[0].text);
        words[0]
            .bare_error(format!("udp_session_tracking: invalid duration {duration}: {why}"))
            .help("such as 28s")
    })?;
    let peers_max = words.get(1).map(|word| {
        let number = atoi(&word.text).ok().filter(|number| *number > 0);
        number.map(|number| usize::try_from(number).unwrap_or(usize::MAX)).ok_or_else(|| {
            let number = quote(&word.text);
            let message =
                format!("udp_session_tracking: invalid max sessions {number}: must be a positive integer");
            word.bare_error(message)
        })
    });
    Ok((lifetime.positive().filter(|lifetime| !lifetime.is_zero()), peers_max.transpose()?))
}
