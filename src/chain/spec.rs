//! A plugin as one value: the row it has in the table of plugins.

use super::{Built, Setup};
use crate::config::Diagnostic;

/// How often a directive may stand in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// A second one is an error.
    Once,
    /// As often as one likes; all of them are handed to one build.
    Many,
}

/// Everything there is to know of a plugin before it is built.
pub struct PluginSpec {
    /// The directive's name.
    pub name: &'static str,
    /// What it does, in half a sentence.
    pub summary: &'static str,
    /// Its manual: the README of its folder.
    pub manual: &'static str,
    /// How often its directive may stand in a block.
    pub repeat: Repeat,
    /// The metrics it fills, by name.
    pub metrics: &'static [&'static str],
    /// Turns its directives into what stands in the chain; all errors at once.
    pub build: fn(&mut Setup<'_>) -> Result<Built, Vec<Diagnostic>>,
}
