//! The words of one directive into its tree: arguments to the end of the line, options between braces.

use super::diagnostic::Diagnostic;
use super::lexer::Token;
use super::source::Span;
use super::tree::{Directive, Word};
use std::iter::Peekable;
use std::vec::IntoIter;

/// Blocks inside blocks. CoreDNS's own plugins know one level.
const NESTING_MAX: usize = 32;

/// Builds the tree of a directive from its words, which are those up to the end of its line or of its block.
///
/// A `}` after an option on one line is an argument of the option, as it is for CoreDNS: `log { class denial }` asks for the
/// classes `denial` and `}`. At the end of the words every block is closed.
///
/// What is left after the end of the directive counts, as for CoreDNS, as further directives of the same name, whatever it
/// says: with a warning, as that is hardly ever meant.
pub(super) fn directives(
    words: Vec<Token>,
    errors: &mut Vec<Diagnostic>,
    warnings: &mut Vec<Diagnostic>,
) -> Vec<Directive> {
    let Some(name) = words.first().map(|first| first.word.text.clone()) else { return Vec::new() };
    let mut builder = Builder { words: words.into_iter().peekable(), errors };
    let mut directives: Vec<Directive> = Vec::new();
    while let Some(first) = builder.words.next() {
        if directives.len() == 1 {
            warnings.push(leftover(&first.word, &name));
        }
        let named =
            if directives.is_empty() { first.word } else { Word::new(name.as_str(), first.word.span) };
        let line = builder.line(Token { word: named, ..first }, 0);
        directives.push(line);
    }
    directives
}

/// A word after the end of a directive that still counts as part of it.
fn leftover(word: &Word, directive: &str) -> Diagnostic {
    if word.raw() == "{" {
        let message =
            format!("this '{{' opens no block of '{directive}': it and what follows count as more of them");
        return Diagnostic::warning(word.span, message).help("put it at the end of the directive's own line");
    }
    let message =
        format!("'{}' follows the end of '{directive}' on its line and counts as another one", word.text);
    Diagnostic::warning(word.span, message).help("begin a new line after the '}'")
}

struct Builder<'a> {
    words: Peekable<IntoIter<Token>>,
    errors: &'a mut Vec<Diagnostic>,
}

impl Builder<'_> {
    /// One line and the block it opens.
    fn line(&mut self, first: Token, depth: usize) -> Directive {
        let mut args: Vec<Word> = Vec::new();
        let mut end = first.word.span;
        let mut block = None;
        let mut last = Token { word: Word::new("", first.word.span), ..first };
        let name = first.word;
        while let Some(token) = self.words.next_if(|next| last.same_line(next)) {
            end = token.word.span;
            if token.is("{") {
                block = Some(self.block(depth + 1, &mut end));
                break;
            }
            last = Token { word: Word::new("", token.word.span), ..token };
            args.push(token.word);
        }
        Directive { span: name.span, name, args, block, end }
    }

    /// The lines up to the closing brace, whose place becomes `end`.
    fn block(&mut self, depth: usize, end: &mut Span) -> Vec<Directive> {
        let mut lines = Vec::new();
        while let Some(first) = self.words.next() {
            if first.is("}") {
                *end = first.word.span;
                break;
            }
            if depth > NESTING_MAX {
                self.errors.push(first.word.error(format!("blocks are nested deeper than {NESTING_MAX}")));
                // Nothing sensible can follow.
                self.words.by_ref().for_each(drop);
                break;
            }
            if first.is("{") {
                let error = first.word.error("Unexpected token '{', expecting argument");
                self.errors
                    .push(error.help("an opening brace belongs at the end of the line it opens a block for"));
            }
            let line = self.line(first, depth);
            *end = line.end;
            lines.push(line);
        }
        lines
    }
}
