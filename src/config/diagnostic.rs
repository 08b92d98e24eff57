//! Errors and warnings about a configuration, and how they are shown.
//!
//! CoreDNS's users, and the tools they built, match on its error lines, so the first line of a rendered error is
//! CoreDNS's own: `Corefile:3 - Error during parsing: Unknown directive 'x'`. What follows it (column, source line,
//! caret, help) is ours.

use super::source::{SourceMap, Span};
use serde::Serialize;
use std::fmt;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// The configuration can be used, but probably says something else than was meant.
    Warning,
}

/// Which of CoreDNS's wordings the first line follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wording {
    /// `FILE:LINE - Error during parsing: MESSAGE`, the usual one.
    Parsing,
    /// `FILE:LINE - Syntax error: MESSAGE`.
    Syntax,
    /// `MESSAGE` alone: where CoreDNS gives no place (ours is still shown on the second line). A warning in this wording has CoreDNS's words.
    Bare,
}

/// One error or warning: what is wrong, where, and what would be right.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Where.
    pub span: Span,
    /// What is wrong, in CoreDNS's words where it has some.
    pub message: String,
    /// What is allowed or probably meant; each a line of its own.
    pub help: Vec<String>,
    /// Other places that matter, each with a sentence.
    pub notes: Vec<(Span, String)>,
    /// The form of the first line.
    pub wording: Wording,
    /// What stands before the first line, such as `plugin/hosts: `.
    pub prefix: String,
    /// No plugin's name is put before the first line.
    pub unnamed: bool,
}

/// Shorthand for what reads one value.
pub type Result<T> = std::result::Result<T, Diagnostic>;

impl Diagnostic {
    /// An error in the usual wording.
    pub fn error(span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            span,
            message: message.into(),
            help: Vec::new(),
            notes: Vec::new(),
            wording: Wording::Parsing,
            prefix: String::new(),
            unnamed: false,
        }
    }

    /// An error that CoreDNS reports without a place: its message is the whole first line.
    pub fn bare(span: Span, message: impl Into<String>) -> Self {
        Self { wording: Wording::Bare, ..Self::error(span, message) }
    }

    /// `FILE:LINE - Syntax error: Unexpected token 'FOUND', expecting 'EXPECTED'`.
    pub fn syntax(span: Span, found: &str, expected: &str) -> Self {
        let message = format!("Unexpected token '{found}', expecting '{expected}'");
        Self { wording: Wording::Syntax, ..Self::error(span, message) }
    }

    /// A warning.
    pub fn warning(span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(span, message) }
    }

    /// Adds a line of help: what is allowed, what was probably meant, what to do.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// Adds "did you mean", if one of the candidates is close to what was found, and else lists them as allowed.
    pub fn choices(self, found: &str, candidates: &[&str]) -> Self {
        match did_you_mean(found, candidates.iter().copied()) {
            Some(close) => self.help(format!("did you mean '{close}'?")),
            None if candidates.is_empty() => self,
            None => self.help(format!("allowed: {}", candidates.join(", "))),
        }
    }

    /// Adds another place with a sentence, such as where a name was first defined.
    pub fn note(mut self, span: Span, message: impl Into<String>) -> Self {
        self.notes.push((span, message.into()));
        self
    }

    /// The same error with another message, for plugins whose wording wraps that of the value.
    pub fn reworded(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    /// The same error with CoreDNS's usual first line, place included, even if the value's own has none.
    pub fn located(mut self) -> Self {
        self.wording = Wording::Parsing;
        self
    }

    /// The same error without a place in its first line.
    pub fn unlocated(mut self) -> Self {
        self.wording = Wording::Bare;
        self
    }

    /// The same finding as a warning.
    pub fn as_warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// The same error without its plugin's name, for plugins whose errors CoreDNS shows so.
    pub fn unnamed(mut self) -> Self {
        self.unnamed = true;
        self
    }

    /// Marks the finding as that of a plugin: `plugin/NAME: ` goes before it, as CoreDNS does.
    pub fn in_plugin(mut self, name: &str) -> Self {
        if self.unnamed {
            return self;
        }
        self.prefix.insert_str(0, &format!("plugin/{name}: "));
        self
    }

    /// Whether it is an error rather than a warning.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The first line: what CoreDNS would print, and nothing more.
    pub fn headline(&self, sources: &SourceMap) -> String {
        let place = || format!("{}:{}", sources.name(self.span.file), self.span.line);
        let text = match (self.severity, self.wording) {
            (Severity::Warning, _) => format!("{} - Warning: {}", place(), self.message),
            (_, Wording::Parsing) => format!("{} - Error during parsing: {}", place(), self.message),
            (_, Wording::Syntax) => format!("{} - Syntax error: {}", place(), self.message),
            (_, Wording::Bare) => self.message.clone(),
        };
        format!("{}{text}", self.prefix)
    }

    /// A warning as a line of the log, behind the level: `plugin/NAME: MESSAGE`, as CoreDNS has it, and the place where its words are ours.
    pub fn log_line(&self, sources: &SourceMap) -> String {
        let Self { prefix, message, span, .. } = self;
        match self.wording {
            Wording::Bare => format!("{prefix}{message}"),
            Wording::Parsing | Wording::Syntax => {
                format!("{prefix}{message} ({}:{})", sources.name(span.file), span.line)
            }
        }
    }

    /// The whole message over several lines: first line, place, source line, caret, help, notes. Ends without a newline.
    pub fn render<'a>(&'a self, sources: &'a SourceMap) -> impl fmt::Display + 'a {
        Rendered { diagnostic: self, sources }
    }

    /// The form for `--json`, with names instead of file numbers.
    pub fn to_json(&self, sources: &SourceMap) -> JsonDiagnostic {
        JsonDiagnostic {
            severity: self.severity,
            headline: self.headline(sources),
            message: self.message.clone(),
            place: JsonPlace::new(self.span, sources),
            help: self.help.clone(),
            notes: self
                .notes
                .iter()
                .map(|(span, message)| JsonNote {
                    message: message.clone(),
                    place: JsonPlace::new(*span, sources),
                })
                .collect(),
        }
    }
}

/// The closest of the candidates, if it is close enough to be a slip of the fingers.
///
/// Close is up to a third of the letters wrong, left out, added, or swapped with a neighbour, but at least one.
pub fn did_you_mean<'a>(found: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Nobody misspells a longer word than this into one of ours, and the comparison costs its square.
    const WORD_LENGTH_MAX: usize = 40;
    let found: Vec<char> = found.chars().take(WORD_LENGTH_MAX + 1).flat_map(char::to_lowercase).collect();
    if found.is_empty() || found.len() > WORD_LENGTH_MAX {
        return None;
    }
    candidates
        .into_iter()
        .map(|candidate| {
            (
                edit_distance(&found, &candidate.chars().flat_map(char::to_lowercase).collect::<Vec<_>>()),
                candidate,
            )
        })
        .filter(|&(distance, candidate)| distance <= (found.len().max(candidate.len()) / 3).max(1))
        // One letter changed into another is no slip if the whole word is that letter.
        .filter(|&(distance, candidate)| distance < candidate.chars().count())
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// Damerau-Levenshtein distance in its "optimal string alignment" form.
fn edit_distance(a: &[char], b: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let changed = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + changed);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before_last[j - 2] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

/// Several errors gathered while reading one thing, so that all of them are reported at once.
///
/// ```
/// use waypost::config::{Diagnostic, Problems, Span};
/// let mut problems = Problems::default();
/// let value = problems.keep(Err::<u32, _>(Diagnostic::error(Span::default(), "ttl needs a number of second")));
/// assert_eq!(value, None);
/// assert_eq!(problems.finish(()).unwrap_err().len(), 1);
/// ```
#[derive(Debug, Default)]
pub struct Problems {
    found: Vec<Diagnostic>,
}

impl Problems {
    /// The value of a good result; the error of a bad one is kept for later.
    pub fn keep<T>(&mut self, result: Result<T>) -> Option<T> {
        result.map_err(|problem| self.found.push(problem)).ok()
    }

    /// Keeps an error. Warnings are no problems: they go to whoever gathers them.
    pub fn push(&mut self, problem: Diagnostic) {
        self.found.push(problem);
    }

    /// Whether nothing was kept so far.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The value if no error was kept.
    ///
    /// # Errors
    /// Everything that was kept.
    pub fn finish<T>(self, value: T) -> std::result::Result<T, Vec<Diagnostic>> {
        if self.found.is_empty() { Ok(value) } else { Err(self.found) }
    }

    /// Everything that was kept.
    pub fn into_vec(self) -> Vec<Diagnostic> {
        self.found
    }
}

/// Sorts findings by where they stand: by file, in the order in which files were read, then by line. Those of one line stay in the order in
/// which they were found, which is that of CoreDNS.
pub fn sort_by_place(findings: &mut [Diagnostic]) {
    findings.sort_by_key(|finding| (finding.span.file, finding.span.line));
}

/// A configuration that was refused: everything that is wrong with it, and the texts to show it with.
#[derive(Clone, Debug, Default)]
pub struct Refused {
    /// The errors, never none; that of CoreDNS is among them.
    pub errors: Vec<Diagnostic>,
    /// What would have been warned about besides.
    pub warnings: Vec<Diagnostic>,
    /// The texts behind all spans.
    pub sources: SourceMap,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            write!(f, "{}", error.render(&self.sources))?;
        }
        Ok(())
    }
}

impl std::error::Error for Refused {}

/// A [`Diagnostic`] as `waypost check --json` prints it.
#[derive(Clone, Debug, Serialize)]
pub struct JsonDiagnostic {
    /// `error` or `warning`.
    pub severity: Severity,
    /// The first line of the printed form.
    pub headline: String,
    /// The message alone.
    pub message: String,
    /// Where.
    #[serde(flatten)]
    pub place: JsonPlace,
    /// What is allowed or probably meant.
    pub help: Vec<String>,
    /// Other places that matter.
    pub notes: Vec<JsonNote>,
}

/// A note of a [`JsonDiagnostic`].
#[derive(Clone, Debug, Serialize)]
pub struct JsonNote {
    /// The sentence.
    pub message: String,
    /// Where.
    #[serde(flatten)]
    pub place: JsonPlace,
}

/// A [`Span`] with the file's name.
#[derive(Clone, Debug, Serialize)]
pub struct JsonPlace {
    /// The file as messages call it.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Length in characters.
    pub length: u32,
}

impl JsonPlace {
    fn new(span: Span, sources: &SourceMap) -> Self {
        let Span { file, line, column, length } = span;
        Self { file: sources.name(file).to_owned(), line, column, length }
    }
}

struct Rendered<'a> {
    diagnostic: &'a Diagnostic,
    sources: &'a SourceMap,
}

impl fmt::Display for Rendered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { diagnostic, sources } = *self;
        write!(f, "{}", printable(&diagnostic.headline(sources)))?;
        show_place(f, sources, diagnostic.span)?;
        for help in &diagnostic.help {
            write!(f, "\n   = help: {}", printable(help))?;
        }
        for (span, message) in &diagnostic.notes {
            write!(f, "\n   = note: {}", printable(message))?;
            show_place(f, sources, *span)?;
        }
        Ok(())
    }
}

/// Columns shown of a source line: enough for a wide terminal, and a line of 64 KiB stays one line.
const SHOWN_COLUMNS: usize = 140;

/// The place, the line of the source and a caret below the span.
fn show_place(f: &mut fmt::Formatter<'_>, sources: &SourceMap, span: Span) -> fmt::Result {
    write!(f, "\n  --> {}", printable(&sources.place(span).to_string()))?;
    let Some(line) = sources.line(span.file, span.line) else { return Ok(()) };
    let start = usize::try_from(span.column).unwrap_or(usize::MAX).saturating_sub(1);
    let length = usize::try_from(span.length).unwrap_or(usize::MAX);
    let left = if start < SHOWN_COLUMNS / 2 { 0 } else { start - SHOWN_COLUMNS / 4 };
    let shown: Vec<char> = line.chars().skip(left).take(SHOWN_COLUMNS).collect();
    let before = (start - left).min(shown.len());
    let under = length.min(shown.len() - before).max(1);
    let number = span.line.to_string();
    let gutter = " ".repeat(number.len());
    let text: String = shown.iter().map(|&c| printable_char(c)).collect();
    // A tab keeps its width above and below, so the caret stands right whatever the terminal makes of it.
    let indent: String = shown[..before].iter().map(|&c| if c == '\t' { '\t' } else { ' ' }).collect();
    write!(f, "\n {gutter} |\n {number} | {text}\n {gutter} | {indent}{}", "^".repeat(under))
}

/// What a terminal may be shown of text that came from outside: no control characters.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c == '\n' { c } else { printable_char(c) }).collect()
}

fn printable_char(c: char) -> char {
    if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c }
}

#[cfg(test)]
#[path = "diagnostic_tests.rs"]
mod tests;
