//! The stream of words the parser reads: the words of a file, with those of imports spliced in.

use super::lexer::Token;
use super::source::Span;
use std::rc::Rc;

/// Words of one configuration after all imports: bounds the memory that imports of imports can take.
const WORDS_MAX: usize = 4_000_000;

/// Imports inside imports. A chain of different files or snippets this long is surely made by a machine gone wrong.
const DEPTH_MAX: usize = 100;

/// Where words come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The file of the command line or an imported one, by its path from the root.
    File(String),
    /// A snippet.
    Snippet(String),
}

/// An origin with the one that imported it, and so on up to the file of the command line.
#[derive(Debug)]
pub(super) struct Lineage {
    origin: Origin,
    depth: usize,
    parent: Option<Rc<Self>>,
}

/// Why something cannot be imported here.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is being imported already: it would contain itself.
    Itself,
    /// It would be deeper than [`DEPTH_MAX`].
    TooDeep,
}

impl Lineage {
    pub(super) fn root(origin: Origin) -> Rc<Self> {
        Rc::new(Self { origin, depth: 0, parent: None })
    }

    /// The lineage of what is imported from a word of this one.
    ///
    /// # Errors
    /// If it is among its own ancestors, or the chain gets too long.
    pub(super) fn import(self: &Rc<Self>, origin: Origin) -> Result<Rc<Self>, Refusal> {
        let mut ancestor = Some(self);
        while let Some(lineage) = ancestor {
            if lineage.origin == origin {
                return Err(Refusal::Itself);
            }
            ancestor = lineage.parent.as_ref();
        }
        let depth = self.depth + 1;
        if depth > DEPTH_MAX {
            return Err(Refusal::TooDeep);
        }
        Ok(Rc::new(Self { origin, depth, parent: Some(Rc::clone(self)) }))
    }

    /// The file, if the words are a file's own.
    pub(super) fn file(&self) -> Option<&str> {
        match &self.origin {
            Origin::File(path) => Some(path),
            Origin::Snippet(_) => None,
        }
    }
}

struct Splice {
    tokens: Rc<[Token]>,
    next: usize,
    number: u32,
    lineage: Rc<Lineage>,
}

/// The words still to be read, innermost import last.
pub(super) struct Stream {
    splices: Vec<Splice>,
    splices_made: u32,
    words_read: usize,
    last: Option<Token>,
    lineage: Rc<Lineage>,
}

impl Stream {
    pub(super) fn new(tokens: Rc<[Token]>, lineage: Rc<Lineage>) -> Self {
        let mut stream = Self {
            splices: Vec::new(),
            splices_made: 0,
            words_read: 0,
            last: None,
            lineage: Rc::clone(&lineage),
        };
        stream.splice(tokens, lineage);
        stream
    }

    /// Puts words before all that are still to be read.
    pub(super) fn splice(&mut self, tokens: Rc<[Token]>, lineage: Rc<Lineage>) {
        self.splices_made = self.splices_made.wrapping_add(1);
        self.splices.push(Splice { tokens, next: 0, number: self.splices_made, lineage });
    }

    /// The next word; `None` at the end, or when too many were read.
    pub(super) fn next(&mut self) -> Option<Token> {
        if self.overflown() {
            return None;
        }
        loop {
            let splice = self.splices.last_mut()?;
            if let Some(token) = splice.tokens.get(splice.next) {
                splice.next += 1;
                self.words_read += 1;
                let token = Token { splice: splice.number, ..token.clone() };
                self.lineage = Rc::clone(&splice.lineage);
                self.last = Some(token.clone());
                return Some(token);
            }
            self.splices.pop();
        }
    }

    /// The next word, left where it is.
    pub(super) fn peek(&self) -> Option<Peeked<'_>> {
        if self.overflown() {
            return None;
        }
        self.splices.iter().rev().find_map(|splice| {
            let token = splice.tokens.get(splice.next)?;
            let same_line = self.last.as_ref().is_some_and(|last| {
                splice.number == last.splice
                    && last.word.span.file == token.word.span.file
                    && last.line_end == token.word.span.line
            });
            Some(Peeked { token, same_line })
        })
    }

    /// The word read last.
    pub(super) fn last(&self) -> Option<&Token> {
        self.last.as_ref()
    }

    /// Replaces the word read last, as it is shown in errors: by its expanded form, or by what stood before an import.
    pub(super) fn set_last(&mut self, last: Option<Token>) {
        self.last = last;
    }

    /// Where the word read last stands.
    pub(super) fn last_span(&self) -> Span {
        self.last.as_ref().map(|token| token.word.span).unwrap_or_default()
    }

    /// Where the word read last came from.
    pub(super) fn lineage(&self) -> &Rc<Lineage> {
        &self.lineage
    }

    /// Whether more words were read than a configuration may have.
    pub(super) fn overflown(&self) -> bool {
        self.words_read >= WORDS_MAX
    }
}

/// A look at the next word.
pub(super) struct Peeked<'a> {
    pub(super) token: &'a Token,
    /// Whether it stands on the line of the word read last.
    pub(super) same_line: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::lexer::tokenize;
    use crate::config::source::FileId;

    fn words(text: &str) -> Rc<[Token]> {
        tokenize(FileId::MAIN, text).0.into()
    }

    #[test]
    fn spliced_words_come_first_and_on_lines_of_their_own() {
        let root = Lineage::root(Origin::File("/a".into()));
        let mut stream = Stream::new(words("a b c"), Rc::clone(&root));
        assert_eq!(stream.next().unwrap().word.text, "a");
        assert!(stream.peek().unwrap().same_line);
        stream.splice(words("x y"), root.import(Origin::File("/x".into())).unwrap());
        assert!(!stream.peek().unwrap().same_line);
        let rest: Vec<String> = std::iter::from_fn(|| stream.next()).map(|token| token.word.text).collect();
        assert_eq!(rest, ["x", "y", "b", "c"]);
        assert_eq!(stream.lineage().file(), Some("/a"));
        assert!(stream.peek().is_none());
    }

    #[test]
    fn nothing_imports_itself() {
        let root = Lineage::root(Origin::File("/a".into()));
        let child = root.import(Origin::Snippet("/a".into())).unwrap();
        assert_eq!(child.import(Origin::File("/a".into())).unwrap_err(), Refusal::Itself);
        let mut deepest = root;
        let refusal = loop {
            match deepest.import(Origin::File(format!("/{}", deepest.depth))) {
                Ok(deeper) => deepest = deeper,
                Err(refusal) => break refusal,
            }
        };
        assert_eq!(refusal, Refusal::TooDeep);
    }
}
