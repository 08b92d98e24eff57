//! Command lines of the form `--name value` and `--switch`.

use std::fmt::Display;
use std::str::FromStr;

/// The words of a command line that were not asked for yet.
pub struct Args {
    words: Vec<String>,
}

impl Args {
    /// Those of this process.
    pub fn of_process() -> Self {
        Self { words: std::env::args().skip(1).collect() }
    }

    /// The value after `name`, parsed; none when the name is not there.
    ///
    /// # Errors
    /// A sentence, when the value is missing or cannot be parsed.
    pub fn value<T: FromStr<Err: Display>>(&mut self, name: &str) -> Result<Option<T>, String> {
        let Some(at) = self.words.iter().position(|word| word == name) else { return Ok(None) };
        if at + 1 >= self.words.len() {
            return Err(format!("{name} needs a value"));
        }
        let value = self.words.remove(at + 1);
        self.words.remove(at);
        value.parse().map(Some).map_err(|error| format!("{name} {value}: {error}"))
    }

    /// Whether `name` is there.
    pub fn switch(&mut self, name: &str) -> bool {
        let at = self.words.iter().position(|word| word == name);
        at.map(|at| self.words.remove(at)).is_some()
    }

    /// What is left and does not begin with `-`.
    ///
    /// # Errors
    /// A sentence naming the first option nobody asked for.
    pub fn rest(self) -> Result<Vec<String>, String> {
        match self.words.iter().find(|word| word.starts_with('-')) {
            Some(word) => Err(format!("{word} is not an option here")),
            None => Ok(self.words),
        }
    }

    /// That nothing is left.
    ///
    /// # Errors
    /// A sentence naming the first word nobody asked for.
    pub fn end(self) -> Result<(), String> {
        match self.rest()?.first() {
            Some(word) => Err(format!("{word:?} is not expected here")),
            None => Ok(()),
        }
    }
}
