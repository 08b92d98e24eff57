//! `acl [ZONES...] { allow|block|filter|drop [type TYPES...] [net NETWORKS...] }`

use super::networks::Networks;
use crate::chain::Setup;
use crate::config::{Cidr, Diagnostic, Directive, Problems, Word, quote};
use crate::wire::{Name, Rtype};

/// What is done with a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// It goes on, and no later rule is looked at.
    Allow,
    /// It is refused.
    Block,
    /// It is answered without records.
    Filter,
    /// It is not answered.
    Drop,
}

const ACTIONS: [(&str, Action); 4] =
    [("allow", Action::Allow), ("block", Action::Block), ("filter", Action::Filter), ("drop", Action::Drop)];

/// One directive: policies for some zones.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) zones: Vec<Name>,
    /// The first that matches decides.
    pub(super) policies: Vec<Policy>,
}

/// One line: an action for some types from some networks.
#[derive(Debug)]
pub(super) struct Policy {
    pub(super) action: Action,
    /// `None`: all.
    types: Option<Box<[Rtype]>>,
    /// `None`: all.
    networks: Option<Networks>,
}

impl Policy {
    /// Whether it is about queries of `qtype` from `client`.
    pub(super) fn matches(&self, qtype: Rtype, client: std::net::IpAddr) -> bool {
        self.types.as_ref().is_none_or(|types| types.contains(&qtype))
            && self.networks.as_ref().is_none_or(|networks| networks.contains(client))
    }
}

/// Reads all directives of a block.
pub(super) fn configure(setup: &mut Setup<'_>) -> Result<Vec<Rule>, Vec<Diagnostic>> {
    let mut problems = Problems::default();
    let mut rules = Vec::new();
    let directives = setup.directives;
    for directive in directives {
        let zones = setup.origins(&directive.args);
        let policies = directive.options().iter().filter_map(|line| policy(line, setup, &mut problems));
        rules.push(Rule { zones, policies: policies.collect() });
    }
    problems.finish(rules)
}

fn policy(line: &Directive, setup: &mut Setup<'_>, problems: &mut Problems) -> Option<Policy> {
    if line.block.is_some() {
        // CoreDNS takes the brace for a further line.
        problems.push(unknown_action("{", line.last_word()));
        return None;
    }
    let action = match ACTIONS.iter().find(|(name, _)| line.name.text.eq_ignore_ascii_case(name)) {
        Some((_, action)) => *action,
        None => {
            problems.push(unknown_action(&line.name.text, &line.name));
            return None;
        }
    };
    let mut rest = &line.args[..];
    let (mut types, mut networks) = (List::Nothing, List::Nothing);
    while let [section, behind @ ..] = rest {
        let Some(kind) = section_of(section) else {
            let message = format!("unexpected token {}; expect 'type | net'", quote(&section.text));
            problems.push(section.error(message).choices(&section.text, &["type", "net"]));
            return None;
        };
        let end = behind.iter().position(|word| section_of(word).is_some()).unwrap_or(behind.len());
        let (words, next) = behind.split_at(end);
        rest = next;
        if words.is_empty() {
            let name = section.text.to_ascii_lowercase();
            problems.push(section.error(format!("no token specified in {} section", quote(&name))));
            continue;
        }
        match kind {
            Section::Type => types.read(words, setup, problems, qtype),
            Section::Net => networks.read(words, setup, problems, network),
        }
    }
    let types = types.some().map(Into::into);
    Some(Policy { action, types, networks: networks.some().map(|networks| Networks::new(&networks)) })
}

fn unknown_action(found: &str, at: &Word) -> Diagnostic {
    let message = format!("unexpected token {}; expect 'allow', 'block', 'filter' or 'drop'", quote(found));
    at.error(message).choices(found, &ACTIONS.map(|(name, _)| name))
}

enum Section {
    Type,
    Net,
}

fn section_of(word: &Word) -> Option<Section> {
    match word.text.to_ascii_lowercase().as_str() {
        "type" => Some(Section::Type),
        "net" => Some(Section::Net),
        _ => None,
    }
}

/// What the sections of a kind come to.
enum List<T> {
    /// There was none: everything.
    Nothing,
    Some(Vec<T>),
    Everything,
}

impl<T> List<T> {
    /// Reads the words of one more section. Behind a `*` CoreDNS reads nothing.
    fn read(
        &mut self,
        words: &[Word],
        setup: &mut Setup<'_>,
        problems: &mut Problems,
        value: fn(&Word) -> Result<T, Diagnostic>,
    ) {
        for (at, word) in words.iter().enumerate() {
            if *word == "*" {
                if let Some(behind) = words.get(at + 1) {
                    setup.warn(behind.error("what stands behind '*' says nothing more"));
                }
                *self = Self::Everything;
                return;
            }
            let Some(value) = problems.keep(value(word)) else { continue };
            match self {
                Self::Nothing => *self = Self::Some(vec![value]),
                Self::Some(list) => list.push(value),
                Self::Everything => {}
            }
        }
    }

    /// The values; `None` for everything.
    fn some(self) -> Option<Vec<T>> {
        match self {
            Self::Some(list) => Some(list),
            Self::Nothing | Self::Everything => None,
        }
    }
}

fn qtype(word: &Word) -> Result<Rtype, Diagnostic> {
    Rtype::from_text(&word.text).ok_or_else(|| {
        let error = word.error(format!("unexpected token {}; expect legal QTYPE", quote(&word.text)));
        match Rtype::from_text(&word.text.to_ascii_uppercase()) {
            Some(meant) => error.help(format!("did you mean '{meant}'?")),
            None => error.help("such as A, AAAA or ANY; '*' stands for all"),
        }
    })
}

fn network(word: &Word) -> Result<Cidr, Diagnostic> {
    let text = match (word.text.contains('/'), word.text.contains(':')) {
        (true, _) => word.text.clone(),
        (false, true) => format!("{}/128", word.text),
        (false, false) => format!("{}/32", word.text),
    };
    Cidr::parse(&text).ok_or_else(|| {
        word.error(format!("illegal CIDR notation {}", quote(&text)))
            .help("an address such as 192.0.2.7 or 2001:db8::7, or a network such as 192.0.2.0/24")
    })
}
