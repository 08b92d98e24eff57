//! A hash of what a configuration says, to see whether it changed.
//!
//! It is CoreDNS's: the SHA-512 of the blocks' keys and words with their lines, written as JSON the way Go does. So
//! `coredns_reload_version_info` and the log line of `reload` show the same value for the same Corefile.

use super::source::{FileId, SourceMap, Span};
use super::tree::{Directive, Word};
use sha2::{Digest, Sha512};
use std::collections::BTreeMap;

/// The hash while it is being made.
#[derive(Clone, Debug, Default)]
pub(super) struct Fingerprint {
    hash: Sha512,
    blocks: usize,
    /// The words of the block being read, as JSON, by the name of their directive.
    words: BTreeMap<String, String>,
}

impl Fingerprint {
    pub(super) fn begin_block(&mut self) {
        self.words.clear();
    }

    /// Adds a word of a directive. The name itself counts as it is spelled, what follows it with variables replaced.
    pub(super) fn word(&mut self, directive: &str, word: &Word, sources: &SourceMap) {
        let Word { ref text, span, .. } = *word;
        // Words of the main file have no file name.
        let file = if span.file == FileId::MAIN { "" } else { sources.name(span.file) };
        let words = self.words.entry(directive.to_owned()).or_default();
        words.push_str(if words.is_empty() { "{\"File\":" } else { ",{\"File\":" });
        json_string(words, file);
        words.push_str(&format!(",\"Line\":{},\"Text\":", span.line));
        json_string(words, text);
        words.push('}');
    }

    /// Adds a directive that was not read as single words.
    pub(super) fn directive(&mut self, directive: &Directive, sources: &SourceMap) {
        let mut lines = vec![Step::Line(directive)];
        while let Some(step) = lines.pop() {
            let brace = |text, span| Word::new(text, span);
            match step {
                Step::Close(span) => self.word(&directive.name.text, &brace("}", span), sources),
                Step::Line(line) => {
                    for word in std::iter::once(&line.name).chain(&line.args) {
                        self.word(&directive.name.text, word, sources);
                    }
                    if let Some(block) = &line.block {
                        self.word(&directive.name.text, &brace("{", line.span), sources);
                        lines.push(Step::Close(line.end));
                        lines.extend(block.iter().rev().map(Step::Line));
                    }
                }
            }
        }
    }

    pub(super) fn end_block(&mut self, keys: &[Word]) {
        let mut json = String::from(if self.blocks == 0 { "[" } else { "," });
        self.blocks += 1;
        json.push_str("{\"Keys\":[");
        for (index, key) in keys.iter().enumerate() {
            if index > 0 {
                json.push(',');
            }
            json_string(&mut json, &key.text);
        }
        json.push_str("],\"Tokens\":{");
        for (index, (directive, words)) in self.words.iter().enumerate() {
            if index > 0 {
                json.push(',');
            }
            json_string(&mut json, directive);
            json.push_str(":[");
            json.push_str(words);
            json.push(']');
        }
        json.push_str("}}");
        self.hash.update(json);
    }

    pub(super) fn finish(mut self) -> [u8; 64] {
        self.hash.update(if self.blocks == 0 { "null" } else { "]" });
        self.hash.finalize().into()
    }
}

/// What is still to be added of a directive.
enum Step<'a> {
    Line(&'a Directive),
    Close(Span),
}

/// A JSON string as Go writes it: with `<`, `>` and `&` escaped for the sake of web pages.
fn json_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..' ' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)))
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped_as_go_does() {
        let mut out = String::new();
        json_string(&mut out, "a\"\\\n\u{1}<&>\u{2028}\u{e9}\u{7f}");
        assert_eq!(out, "\"a\\\"\\\\\\n\\u0001\\u003c\\u0026\\u003e\\u2028\u{e9}\u{7f}\"");
    }
}
