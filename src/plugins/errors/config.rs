//! `errors [stdout] { stacktrace; consolidate DURATION REGEXP [LEVEL] [show_first] }`

use super::consolidate::{Consolidation, Level};
use crate::config::{Diagnostic, Directive, Problems, Word, pattern};

/// Bytes of a pattern at most: what it compiles to takes memory many times as large.
const PATTERN_LEN_MAX: usize = 10_000;

const LEVELS: [(&str, Level); 4] =
    [("warning", Level::Warning), ("error", Level::Error), ("info", Level::Info), ("debug", Level::Debug)];

/// What an `errors` directive says.
#[derive(Debug)]
pub(super) struct Config {
    pub(super) stacktrace: bool,
    pub(super) patterns: Vec<Consolidation>,
}

/// Reads the directive.
pub(super) fn configure(directive: &Directive) -> Result<Config, Vec<Diagnostic>> {
    let mut problems = Problems::default();
    if let Some(Some(word)) = problems.keep(directive.optional_arg())
        && *word != "stdout"
    {
        let error = word.error(format!("invalid log file: {}", word.text));
        problems.push(error.help("errors are logged to standard output: 'stdout' or nothing"));
    }
    let mut config = Config { stacktrace: false, patterns: Vec::new() };
    for option in directive.options() {
        if option.name == "consolidate" {
            config.patterns.extend(consolidation(option, &mut problems));
            continue;
        }
        // CoreDNS takes what follows `stacktrace` for further options.
        let unknown = if option.name == "stacktrace" { option.args.first() } else { Some(&option.name) };
        match unknown {
            Some(unknown) => problems.push(unknown_field(unknown)),
            None => config.stacktrace = true,
        }
        problems.keep(option.no_block());
    }
    problems.finish(config)
}

fn unknown_field(word: &Word) -> Diagnostic {
    let error = Diagnostic::syntax(word.span, &word.text, &format!("Unknown field {}", word.text));
    error.choices(&word.text, &["stacktrace", "consolidate"])
}

fn consolidation(option: &Directive, problems: &mut Problems) -> Option<Consolidation> {
    problems.keep(option.no_block());
    let [period, regex, options @ ..] = problems.keep(option.between(2, 4))? else { return None };
    let duration = problems.keep(period.signed_duration().map_err(Diagnostic::located));
    let compiled = problems.keep(compile(regex));
    let mut level = None;
    let mut show_first = false;
    for word in options {
        match LEVELS.iter().find(|(name, _)| word == name) {
            _ if *word == "show_first" => show_first = true,
            Some(_) if level.is_some() => {
                problems.push(word.error("multiple log levels specified in consolidate"));
            }
            Some(_) if show_first => {
                problems.push(word.error("log level must come before show_first in consolidate"));
            }
            Some((_, found)) => level = Some(*found),
            None => {
                let error = word.error(format!("unknown option in consolidate: {}", word.text));
                let known: Vec<&str> = LEVELS.iter().map(|(name, _)| *name).chain(["show_first"]).collect();
                problems.push(error.choices(&word.text, &known));
            }
        }
    }
    Some(Consolidation::new(duration?, compiled?, &regex.text, level.unwrap_or(Level::Error), show_first))
}

fn compile(word: &Word) -> Result<regex::Regex, Diagnostic> {
    let length = word.text.len();
    if length > PATTERN_LEN_MAX {
        return Err(word.error(format!("regex pattern too long: {length} > {PATTERN_LEN_MAX}")));
    }
    pattern::compile(&word.text).map_err(|message| word.error(message))
}
