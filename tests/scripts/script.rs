//! The form of a script: steps, each a line, and what belongs to them, indented below.

use std::time::Duration;

use super::Failure;

/// A script: its steps in their order.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) steps: Vec<Step>,
}

/// One step.
#[derive(Debug)]
pub(super) struct Step {
    /// Its line, counted from 1.
    pub(super) line: usize,
    /// Its words, at least one.
    pub(super) words: Vec<String>,
    /// The lines below it, without their indentation by four.
    pub(super) body: Vec<String>,
}

impl Script {
    /// Reads the script `text`. Lines that begin with `#` are comments, empty lines mean nothing.
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let mut steps: Vec<Step> = Vec::new();
        for (content, line) in text.lines().zip(1..) {
            if content.trim().is_empty() || content.starts_with('#') {
                continue;
            }
            if !content.starts_with(' ') {
                let words = content.split_whitespace().map(str::to_owned).collect();
                steps.push(Step { line, words, body: Vec::new() });
                continue;
            }
            let Some(step) = steps.last_mut() else {
                return Err(Failure::new(line, "a script begins with a step, at the beginning of a line"));
            };
            let Some(content) = content.strip_prefix("    ") else {
                return Err(Failure::new(line, "what belongs to a step is indented by four spaces"));
            };
            // So that the line of a failure can be told from the place in the body.
            let skipped = line - step.line - 1 - step.body.len();
            step.body.extend(std::iter::repeat_n(String::new(), skipped));
            step.body.push(content.trim_end().to_owned());
        }
        Ok(Self { steps })
    }
}

impl Step {
    /// The word at `place`, counted from the step's name.
    pub(super) fn word(&self, place: usize) -> Result<&str, Failure> {
        let missing = || Failure::new(self.line, format!("`{}` needs {place} words or more", self.words[0]));
        self.words.get(place).map(String::as_str).ok_or_else(missing)
    }

    /// The word at `place` as a count.
    pub(super) fn count(&self, place: usize) -> Result<usize, Failure> {
        let word = self.word(place)?;
        word.parse().map_err(|_| Failure::new(self.line, format!("`{word}` is no count")))
    }

    /// The word at `place` as a time.
    pub(super) fn duration(&self, place: usize) -> Result<Duration, Failure> {
        let word = self.word(place)?;
        let no_time = || Failure::new(self.line, format!("`{word}` is no time: a number and ms, s, m or h"));
        let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let number: u64 = digits.parse().map_err(|_| no_time())?;
        let ms = match &word[digits.len()..] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(no_time()),
        };
        Ok(Duration::from_millis(number * ms))
    }

    /// The lines of the body that say something, each with its line in the script.
    pub(super) fn lines(&self) -> impl Iterator<Item = (&str, usize)> {
        self.body.iter().map(String::as_str).zip(self.line + 1..).filter(|(text, _)| !text.is_empty())
    }
}
