//! `erratic { drop [AMOUNT]; truncate [AMOUNT]; delay [AMOUNT [DURATION]]; large }`

use std::time::Duration;

use crate::config::{Diagnostic, Directive, Problems, Word, quote};

/// Every how many queries, where an option says nothing.
const AMOUNT: u64 = 2;
const DELAY: Duration = Duration::from_millis(100);

/// What goes wrong how often: of so many queries one; 0 for none.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Config {
    pub(super) drop: u64,
    pub(super) truncate: u64,
    pub(super) delay: u64,
    /// How late.
    pub(super) duration: Duration,
    /// Answers for A are large.
    pub(super) large: bool,
}

/// Reads all directives of a block, which count as one.
pub(super) fn configure(
    directives: &[&Directive],
    warnings: &mut Vec<Diagnostic>,
) -> Result<Config, Vec<Diagnostic>> {
    let mut config = Config { drop: AMOUNT, truncate: 0, delay: 0, duration: Duration::ZERO, large: false };
    let mut problems = Problems::default();
    let mut drops = false;
    for directive in directives {
        if let Some(word) = directive.args.first() {
            warnings.push(word.error("'erratic' takes no argument; it is ignored").as_warning());
        }
        for option in directive.options() {
            problems.keep(option.no_block());
            match option.name.as_str() {
                "drop" => {
                    let words = problems.keep(option.between(0, 1)).unwrap_or_default();
                    if let Some(amount) = words.first().and_then(|word| problems.keep(amount(word))) {
                        config.drop = amount;
                        drops = true;
                    }
                }
                "truncate" => {
                    let words = problems.keep(option.between(0, 1)).unwrap_or_default();
                    let given = words.first().and_then(|word| problems.keep(amount(word)));
                    config.truncate = given.unwrap_or(AMOUNT);
                }
                "delay" => {
                    let words = problems.keep(option.between(0, 2)).unwrap_or_default();
                    let given = words.first().and_then(|word| problems.keep(amount(word)));
                    config.delay = given.unwrap_or(AMOUNT);
                    let late = words.get(1).and_then(|word| problems.keep(word.signed_duration()));
                    config.duration = late.map_or(DELAY, |late| late.positive().unwrap_or_default());
                }
                "large" => {
                    config.large = true;
                    // For CoreDNS it is the next option.
                    let next = option.args.first();
                    problems.keep(next.map_or(Ok(()), |word| Err(unknown_property(word))));
                }
                _ => problems.push(unknown_property(&option.name)),
            }
        }
    }
    if (config.delay > 0 || config.truncate > 0) && !drops {
        config.drop = 0;
    }
    problems.finish(config)
}

fn unknown_property(word: &Word) -> Diagnostic {
    let error = word.error(format!("unknown property '{}'", word.text));
    error.choices(&word.text, &["drop", "truncate", "delay", "large"])
}

/// Every how many queries.
fn amount(word: &Word) -> Result<u64, Diagnostic> {
    let help = "allowed: 0 to 2147483647";
    let refuse = |why: &str| {
        let message = format!("strconv.ParseInt: parsing {}: {why}", quote(&word.text));
        word.bare_error(message).help(help)
    };
    let digits = word.text.strip_prefix(['+', '-']).unwrap_or(&word.text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(refuse("invalid syntax"));
    }
    let number: i32 = word.text.parse().map_err(|_| refuse("value out of range"))?;
    u64::try_from(number)
        .map_err(|_| word.bare_error(format!("illegal amount value given {}", quote(&word.text))).help(help))
}
