//! `header { query|response set|clear FLAG... }`

use crate::config::{Diagnostic, Directive, Problems, Word};
use crate::wire::Flags;

const SELECTORS: [&str; 2] = ["query", "response"];
const ACTIONS: [(&str, bool); 2] = [("set", true), ("clear", false)];
const FLAGS: [(&str, u16); 3] = [("aa", Flags::AA), ("ra", Flags::RA), ("rd", Flags::RD)];

/// What becomes of a header's flags: some are set, some are cleared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    set: u16,
    clear: u16,
}

impl Change {
    /// The flags after the change.
    pub(super) const fn applied_to(self, flags: Flags) -> Flags {
        Flags(flags.0 & !self.clear | self.set)
    }

    /// True if it changes something.
    pub(super) const fn is_any(self) -> bool {
        self.set | self.clear != 0
    }

    /// Adds a rule, which has precedence over those before it.
    fn then(&mut self, mask: u16, on: bool) {
        let (more, less) =
            if on { (&mut self.set, &mut self.clear) } else { (&mut self.clear, &mut self.set) };
        *more |= mask;
        *less &= !mask;
    }
}

/// What a `header` directive says: at least one rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Config {
    pub(super) query: Change,
    pub(super) response: Change,
}

impl Config {
    /// Reads the first directive that has rules, as CoreDNS does; what else there is, is warned about.
    pub(super) fn read(
        directives: &[&Directive],
        warnings: &mut Vec<Diagnostic>,
    ) -> Result<Self, Vec<Diagnostic>> {
        let found = directives.iter().position(|directive| !directive.options().is_empty());
        let Some(found) = found else { return Err(vec![no_rules(directives)]) };
        for (place, directive) in directives.iter().enumerate() {
            if place != found {
                warnings.push(directive.error("only the first 'header' with rules counts").as_warning());
            } else if let Some(surplus) = directive.args.first() {
                let warning = surplus.error(format!("'{}' is ignored", surplus.text));
                warnings.push(warning.help("'header' takes its rules as a block").as_warning());
            }
        }
        let mut config = Self::default();
        let mut problems = Problems::default();
        for rule in directives[found].options() {
            config.add(rule, &mut problems);
        }
        problems.finish(config)
    }

    fn add(&mut self, rule: &Directive, problems: &mut Problems) {
        let change = match rule.name.text.to_lowercase().as_str() {
            "query" => &mut self.query,
            "response" => &mut self.response,
            selector => return problems.push(wrong_selector(rule, selector)),
        };
        problems.keep(rule.no_block());
        let action = rule.args.first().filter(|action| !action.text.is_empty());
        let Some(action) = action else {
            let error = wrong(rule.last_word(), "no flag action provided");
            return problems.push(error.help("allowed: set, clear"));
        };
        let flags = &rule.args[1..];
        if flags.is_empty() {
            let error = wrong(action, "invalid length for flags, at least one should be provided");
            return problems.push(error.help("allowed: aa, ra, rd"));
        }
        let on = problems.keep(one_of(action, &ACTIONS, |action| {
            format!("unknown flag action={action}, should be set or clear")
        }));
        for flag in flags {
            let mask = problems.keep(one_of(flag, &FLAGS, |flag| format!("unknown/unsupported flag={flag}")));
            if let (Some(on), Some(mask)) = (on, mask) {
                change.then(mask, on);
            }
        }
    }
}

/// The value of a word, whatever its case.
fn one_of<T: Copy>(
    word: &Word,
    choices: &[(&str, T)],
    message: impl FnOnce(&str) -> String,
) -> Result<T, Diagnostic> {
    let lower = word.text.to_lowercase();
    match choices.iter().find(|(name, _)| *name == lower) {
        Some(&(_, value)) => Ok(value),
        None => {
            let names: Vec<&str> = choices.iter().map(|&(name, _)| name).collect();
            Err(wrong(word, &message(&lower)).choices(&lower, &names))
        }
    }
}

/// Older versions of CoreDNS took rules without a selector, too, and applied them to responses.
fn wrong_selector(rule: &Directive, selector: &str) -> Diagnostic {
    let error = wrong(&rule.name, &format!("invalid selector={selector} should be query or response"));
    match ACTIONS.iter().any(|(action, _)| *action == selector) {
        true => error.help(format!("a rule begins with what it is for: 'response {selector} …'")),
        false => error.choices(selector, &SELECTORS),
    }
}

/// CoreDNS notices at the end of all directives that no rule has come.
fn no_rules(directives: &[&Directive]) -> Diagnostic {
    let last = directives[directives.len() - 1];
    let error = match last.block {
        Some(_) => Word::new("}", last.end).in_quotes().arg_error(),
        None => last.arg_error(),
    };
    error.help("'header' takes rules in a block: query|response set|clear FLAGS...")
}

fn wrong(word: &Word, what: &str) -> Diagnostic {
    word.bare_error(format!("setting up rule: {what}"))
}
