//! `log [NAME…] [FORMAT] { class CLASS… }`: from directives to rules.

use super::format::{COMMON, Format, Links, unknown_placeholders};
use super::{Log, Rule};
use crate::chain::Setup;
use crate::config::{Diagnostic, Directive, Problems, Word};
use crate::wire::{Name, Outcome};

/// A set of classes of responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Classes(u8);

impl Classes {
    const SUCCESS: Self = Self(1);
    const DENIAL: Self = Self(2);
    const ERROR: Self = Self(4);
    /// Every response.
    pub(super) const ALL: Self = Self(7);

    /// The class of an outcome.
    pub(super) const fn of(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Answer | Outcome::Referral => Self::SUCCESS,
            Outcome::NoData | Outcome::NameError => Self::DENIAL,
            Outcome::ServerError | Outcome::OtherError | Outcome::Meta | Outcome::Update => Self::ERROR,
        }
    }

    /// Whether all of `other` are in the set.
    pub(super) const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The name of a single class, the value of the label `log/class`.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::SUCCESS => "success",
            Self::DENIAL => "denial",
            _ => "error",
        }
    }
}

const CLASSES: [(&str, Classes); 4] = [
    ("success", Classes::SUCCESS),
    ("denial", Classes::DENIAL),
    ("error", Classes::ERROR),
    ("all", Classes::ALL),
];

/// Reads all `log` directives of a block.
pub(super) fn configure(setup: &mut Setup<'_>) -> Result<Log, Vec<Diagnostic>> {
    let mut problems = Problems::default();
    let mut rules: Vec<Rule> = Vec::new();
    for directive in setup.directives {
        let classes = classes(directive, &mut problems);
        let (names, format) = match directive.args.as_slice() {
            [names @ .., format] if !names.is_empty() && format.text.contains('{') => (names, Some(format)),
            names => (names, None),
        };
        let text = format.map_or(COMMON, Word::as_str);
        for (unknown, close) in unknown_placeholders(text) {
            let warning = format
                .unwrap_or(&directive.name)
                .error(format!("'{{{unknown}}}' is no placeholder: it is logged as it stands"));
            setup.warn(match close {
                Some(close) => warning.help(format!("did you mean '{{{close}}}'?")),
                None => warning,
            });
        }
        let format = Format::compile(text);
        for zone in zones(directive, names, setup) {
            if rules.iter().any(|earlier| zone.is_under(earlier.zone.as_bytes())) {
                let message =
                    format!("this rule for '{zone}' is never used: an earlier one covers all its names");
                setup.warn(directive.error(message));
            }
            rules.push(Rule { zone, classes, format: format.clone() });
        }
    }
    let mark = setup.mark()?;
    problems.finish(Log { rules, mark, links: Links::of_machine() })
}

/// The zones a directive is for: all names without arguments.
fn zones(directive: &Directive, names: &[Word], setup: &mut Setup<'_>) -> Vec<Name> {
    if let [only] = directive.args.as_slice()
        && is_hardly_a_name(&only.text)
    {
        let warning =
            only.error(format!("a single argument is a name: only queries below '{}' are logged", only.text));
        setup.warn(warning.help(
            "to log all queries write 'log', with a format 'log . FORMAT'; log lines go to standard output",
        ));
    }
    if names.is_empty() {
        return vec![Name::root()];
    }
    let mut zones = Vec::new();
    for word in names {
        match Name::from_text(if word.text.is_empty() { "." } else { &word.text }) {
            Ok(zone) => zones.push(zone),
            Err(_) => setup
                .warn(word.error(format!("'{}' is no domain name: no query is logged for it", word.text))),
        }
    }
    zones
}

/// Whether the text was probably meant as a format or a file.
fn is_hardly_a_name(text: &str) -> bool {
    matches!(text, "stdout" | "stderr") || text.contains(['{', '/', ' '])
}

/// The classes of the directive's block; all without any.
fn classes(directive: &Directive, problems: &mut Problems) -> Classes {
    let mut classes = Classes(0);
    for option in directive.options() {
        if option.name != "class" {
            problems.push(option.unknown_property(&["class"]));
            continue;
        }
        problems.keep(option.no_block());
        for word in problems.keep(option.at_least(1)).unwrap_or_default() {
            let class = word.one_of(&CLASSES, format!("invalid Class: {}", word.text));
            classes.0 |= problems.keep(class.map_err(Diagnostic::unlocated)).map_or(0, |class| class.0);
        }
    }
    if classes.0 == 0 { Classes::ALL } else { classes }
}
