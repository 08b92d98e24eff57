//! For the tests of this room and of the plugins: a configuration from a text, without a file.

use super::imports::tests::Memory;
use super::{Config, Diagnostic, Directive, Input, Refused, parse_corefile};

/// Reads a Corefile called `Corefile`; any directive is known, no variable is set, no file can be imported.
pub(crate) fn corefile(text: &str) -> Result<Config, Refused> {
    let input = Input {
        name: "Corefile",
        text: text.as_bytes(),
        loader: &Memory::default(),
        environment: &|_| None,
        vocabulary: None,
    };
    parse_corefile(&input)
}

/// Reads the directives of one server block, such as `cache 30 {⏎ prefetch 10⏎ }`, on lines of their own from line 2.
///
/// # Panics
/// If the text is no such thing.
pub(crate) fn directives(text: &str) -> Vec<Directive> {
    let mut config = corefile(&format!(". {{\n{text}\n}}\n")).unwrap_or_else(|refused| panic!("{refused}"));
    config.blocks.remove(0).directives
}

/// Reads one directive as [`directives`] does.
///
/// # Panics
/// If the text is not exactly one directive.
pub(crate) fn directive(text: &str) -> Directive {
    let mut directives = directives(text);
    assert_eq!(directives.len(), 1, "{text}");
    directives.remove(0)
}

/// The first line of an error about a directive read by this module.
pub(crate) fn headline(error: &Diagnostic) -> String {
    let mut sources = super::SourceMap::default();
    sources.add("Corefile", "");
    error.headline(&sources)
}
