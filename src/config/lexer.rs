//! Text into words, by the rules of a Corefile.
//!
//! White space separates words. A double quote at the start of a word begins a quoted one, which ends at the next quote
//! that has no backslash before it; `\"` is the only escape. `#` begins a comment up to the end of the line, except for
//! one oddity that is kept: a comment glued to the end of a word ends with the next blank.

use super::address::is_no_text;
use super::diagnostic::Diagnostic;
use super::source::{FileId, Span};
use super::tree::Word;

/// A word as the lexer finds it: no variable is replaced yet.
#[derive(Clone, Debug)]
pub(super) struct Token {
    /// The word.
    pub(super) word: Word,
    /// The line on which it ends: a quoted word may go over several.
    pub(super) line_end: u32,
    /// Which splice of the token stream it came from; words of two splices are never on one line.
    pub(super) splice: u32,
}

impl Token {
    /// Whether `next`, which follows this token, stands on the same line.
    pub(super) fn same_line(&self, next: &Self) -> bool {
        self.splice == next.splice
            && self.word.span.file == next.word.span.file
            && self.line_end == next.word.span.line
    }

    /// Whether the word is that text as the file spells it, before variables.
    pub(super) fn is(&self, text: &str) -> bool {
        self.word.raw() == text
    }
}

/// Splits a file into words. Nothing is an error here; the warnings are about what was surely not meant.
///
/// `text` must be without its byte order mark.
pub(super) fn tokenize(file: FileId, text: &str) -> (Vec<Token>, Vec<Diagnostic>) {
    let mut lexer = Lexer {
        file,
        chars: text.chars().peekable(),
        line: 1,
        column: 1,
        glued: None,
        odd_said: false,
        warnings: Vec::new(),
    };
    let mut tokens: Vec<Token> = Vec::new();
    let mut after_quote = false;
    while let Some(token) = lexer.token() {
        if after_quote && tokens.last().is_some_and(|last| touches(last, &token)) {
            let message = "a quoted word ends at its second quote: what follows is a word of its own";
            lexer.warnings.push(Diagnostic::warning(token.word.span, message).help(QUOTE_HELP));
        }
        after_quote = token.word.quoted;
        lexer.warn(&token);
        tokens.push(token);
    }
    (tokens, lexer.warnings)
}

const QUOTE_HELP: &str = "put quotes around the whole word, and write a quote inside it as \\\"";

/// Whether the second word begins where the first, on one line, ends.
fn touches(first: &Token, second: &Token) -> bool {
    let span = first.word.span;
    first.line_end == span.line
        && second.word.span.line == span.line
        && span.column + span.length == second.word.span.column
}

struct Lexer<'a> {
    file: FileId,
    chars: std::iter::Peekable<std::str::Chars<'a>>,
    line: u32,
    column: u32,
    /// Line of the last comment that was glued to a word and ended at a blank.
    glued: Option<(u32, Span)>,
    /// Something that is no text was warned about: once is enough.
    odd_said: bool,
    warnings: Vec<Diagnostic>,
}

impl Lexer<'_> {
    fn next_char(&mut self) -> Option<char> {
        let c = self.chars.next()?;
        if c == '\n' {
            self.line = self.line.saturating_add(1);
            self.column = 1;
        } else {
            self.column = self.column.saturating_add(1);
        }
        Some(c)
    }

    fn here(&self) -> Span {
        Span { file: self.file, line: self.line, column: self.column, length: 0 }
    }

    /// The next word, with everything before it skipped.
    fn token(&mut self) -> Option<Token> {
        loop {
            match *self.chars.peek()? {
                '#' => self.skip_line(),
                c if c.is_whitespace() => drop(self.next_char()),
                '"' => return self.quoted(),
                _ => return Some(self.bare()),
            }
        }
    }

    fn skip_line(&mut self) {
        while self.chars.peek().is_some_and(|&c| c != '\n') {
            self.next_char();
        }
    }

    /// A word without quotes. A carriage return inside it is dropped and does not end it.
    fn bare(&mut self) -> Token {
        let start = self.here();
        let mut text = String::new();
        let mut comment: Option<Span> = None;
        let mut length = 0;
        while let Some(&c) = self.chars.peek() {
            if c.is_whitespace() && c != '\r' {
                break;
            }
            if c == '#' && comment.is_none() {
                comment = Some(self.here());
            }
            if comment.is_none() && c != '\r' {
                text.push(c);
                length = self.column + 1 - start.column;
            }
            self.next_char();
        }
        if let Some(comment) = comment {
            self.glued = Some((self.line, comment));
        }
        Token { word: Word::new(text, Span { length, ..start }), line_end: start.line, splice: 0 }
    }

    /// A word in quotes. Without a closing quote it goes to the end of the file, and is none if nothing is in it.
    fn quoted(&mut self) -> Option<Token> {
        let start = self.here();
        self.next_char();
        let mut text = String::new();
        let mut closed = false;
        // Characters of the first line, all that a span can show.
        let mut length = 1;
        while let Some(c) = self.next_char() {
            if self.line == start.line {
                length = self.column - start.column;
            }
            match c {
                '"' => {
                    closed = true;
                    break;
                }
                '\\' => match self.chars.peek() {
                    Some('"') => text.extend(self.next_char()),
                    // A backslash keeps its follower from closing or escaping anything, and both stay.
                    Some(_) => text.extend([Some('\\'), self.next_char()].into_iter().flatten()),
                    None => {}
                },
                c => text.push(c),
            }
        }
        if self.line == start.line {
            length = self.column - start.column;
        }
        let span = Span { length, ..start };
        if !closed {
            let message = "this quote is never closed: the word goes to the end of the file";
            self.warnings.push(Diagnostic::warning(span, message).help(QUOTE_HELP));
            if text.is_empty() {
                return None;
            }
        }
        Some(Token { word: Word::new(text, span).in_quotes(), line_end: self.line, splice: 0 })
    }

    /// Warns of spellings that make something else of a word than its author saw.
    fn warn(&mut self, token: &Token) {
        let word = &token.word;
        if !self.odd_said && word.text.contains(is_no_text) {
            self.odd_said = true;
            let message = "the word has control characters, or bytes that are no UTF-8: is the file damaged?";
            self.warnings.push(Diagnostic::warning(word.span, message));
        }
        if let Some((line, comment)) = self.glued.take_if(|_| !word.text.is_empty() || word.quoted) {
            // The comment may belong to this very word.
            if comment.column > word.span.column && line == word.span.line {
                self.glued = Some((line, comment));
            } else if line == word.span.line {
                let message =
                    format!("'{}' counts: a comment glued to a word ends at the next blank", word.text);
                let warning =
                    Diagnostic::warning(word.span, message).note(comment, "the comment begins here");
                self.warnings.push(warning.help("put a blank before the '#'"));
            }
        }
        if word.quoted {
            if matches!(word.text.as_str(), "{" | "}") {
                let message = format!("'{}' opens or closes a block even in quotes", word.text);
                self.warnings.push(Diagnostic::warning(word.span, message));
            }
            return;
        }
        if word.text.contains(['\u{201c}', '\u{201d}', '\u{201e}']) {
            let message = format!("'{}' has typographic quotes, which are letters here", word.text);
            self.warnings.push(Diagnostic::warning(word.span, message).help("use \" instead"));
        } else if word.text.contains('"') {
            let message =
                format!("the quotes in '{}' are part of the word and hold nothing together", word.text);
            self.warnings.push(Diagnostic::warning(word.span, message).help(QUOTE_HELP));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<(u32, String)> {
        let tokens = tokenize(FileId::MAIN, text).0;
        tokens.into_iter().map(|token| (token.word.span.line, token.word.text)).collect()
    }

    fn check(text: &str, expected: &[(u32, &str)]) {
        let expected: Vec<(u32, String)> =
            expected.iter().map(|&(line, word)| (line, word.to_owned())).collect();
        assert_eq!(words(text), expected, "{text:?}");
    }

    #[test]
    fn white_space_separates_words() {
        check("a b\tc\n d\u{a0}e\u{2003}f", &[(1, "a"), (1, "b"), (1, "c"), (2, "d"), (2, "e"), (2, "f")]);
        check(".:53{ }", &[(1, ".:53{"), (1, "}")]);
        check("", &[]);
        check("\n\n", &[]);
    }

    #[test]
    fn a_carriage_return_is_nothing_outside_quotes() {
        check("a\r\nb\r\n", &[(1, "a"), (2, "b")]);
        check("foo\rbar", &[(1, "foobar")]);
        check("\"a\rb\"", &[(1, "a\rb")]);
    }

    #[test]
    fn quotes_hold_a_word_together_over_lines() {
        check("\"a b\" c", &[(1, "a b"), (1, "c")]);
        check("\"a\nb\" c", &[(1, "a\nb"), (2, "c")]);
        check("\"\" x", &[(1, ""), (1, "x")]);
        check("\"a\"b", &[(1, "a"), (1, "b")]);
        check("a\"b c\"", &[(1, "a\"b"), (1, "c\"")]);
        assert_eq!(tokenize(FileId::MAIN, "\"a\nb\"").0[0].line_end, 2);
    }

    #[test]
    fn only_a_quote_can_be_escaped() {
        check(r#""a \"b\" c""#, &[(1, r#"a "b" c"#)]);
        check(r#""\n \. \\" x"#, &[(1, r"\n \. \\"), (1, "x")]);
        check(r#""\\\"" x"#, &[(1, r#"\\""#), (1, "x")]);
        check("\"a\\\nb\" c", &[(1, "a\\\nb"), (2, "c")]);
    }

    #[test]
    fn a_quote_that_is_never_closed_takes_the_rest() {
        check("a \"b c\nd", &[(1, "a"), (1, "b c\nd")]);
        check("a \"", &[(1, "a")]);
        check("a \"\\", &[(1, "a")]);
        check("a \"b\\", &[(1, "a"), (1, "b")]);
    }

    #[test]
    fn a_comment_goes_to_the_end_of_the_line() {
        check("a # b \"c\nd", &[(1, "a"), (2, "d")]);
        check("# a\r\nb", &[(2, "b")]);
        check("\"#\" a", &[(1, "#"), (1, "a")]);
    }

    #[test]
    fn a_comment_glued_to_a_word_ends_at_a_blank() {
        check("whoami#x log", &[(1, "whoami"), (1, "log")]);
        check("whoami#x\nlog", &[(1, "whoami"), (2, "log")]);
        check("whoami#x # y", &[(1, "whoami")]);
    }

    #[test]
    fn spans_count_characters_and_cover_the_spelling() {
        let tokens = tokenize(FileId::MAIN, "\u{e9}\u{e9} \"a \\\" b\" c#d\n  \"x\ny\"").0;
        let spans: Vec<(u32, u32, u32)> =
            tokens.iter().map(|t| (t.word.span.line, t.word.span.column, t.word.span.length)).collect();
        assert_eq!(spans, [(1, 1, 2), (1, 4, 8), (1, 13, 1), (2, 3, 2)]);
    }

    #[test]
    fn spellings_that_say_something_else_are_warned_about() {
        let warned = |text: &str| tokenize(FileId::MAIN, text).1.len();
        for text in [
            "a\u{1}",
            "\0 \0",
            "a\u{fffd}b",
            "\"a\u{7f}\"",
            "a#b c",
            "\"a\"b",
            "a\"b",
            "\"abc",
            "\u{201c}a\u{201d}",
            "x \"{\"",
        ] {
            assert_eq!(warned(text), 1, "{text}");
        }
        for text in [
            "\"a\n\tb\"",
            "# \0",
            "a#b\nc",
            "a # b c",
            "a#b # c",
            "\"a\" b",
            "\"a\n\"b",
            "\"\\\"\"",
            "\"a\" \"b\"",
        ] {
            assert_eq!(warned(text), 0, "{text}");
        }
    }
}
