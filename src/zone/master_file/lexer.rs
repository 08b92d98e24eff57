//! The words of a master file (RFC 1035 5.1), entry by entry.

/// A word of an entry: a slice of the file, escapes left as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word<'a> {
    /// Its bytes, without the quotation marks around them.
    pub text: &'a [u8],
    /// Whether it stood in quotation marks.
    pub is_quoted: bool,
    /// Its line, from 1.
    pub line: u32,
    /// Its first byte's place in the line, from 1.
    pub column: u32,
}

/// What is wrong with the text itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LexError {
    /// A quotation mark that is never closed.
    OpenQuote,
    /// An opening parenthesis that is never closed.
    OpenParenthesis,
    /// A closing parenthesis that was not opened.
    StrayParenthesis,
    /// An opening parenthesis between parentheses.
    NestedParenthesis,
}

/// Reads a file from the beginning to the end.
pub struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    line: u32,
    /// Where the current line begins.
    line_start: usize,
}

/// Bytes that end a word.
static ENDS_WORD: [bool; 256] = {
    let mut ends = [false; 256];
    let special = b" \t\r\n;()\"";
    let mut at = 0;
    while at < special.len() {
        ends[special[at] as usize] = true;
        at += 1;
    }
    ends
};

impl<'a> Lexer<'a> {
    /// Reads `text`.
    pub const fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, line: 1, line_start: 0 }
    }

    /// The line that is being read, from 1.
    pub const fn line(&self) -> u32 {
        self.line
    }

    /// The line that begins at or before that word, without its end.
    pub fn line_of(&self, word: &Word<'_>) -> &'a [u8] {
        let mut lines = self.text.split(|byte| *byte == b'\n').skip(word.line.saturating_sub(1) as usize);
        let line = lines.next().unwrap_or_default();
        line.strip_suffix(b"\r").unwrap_or(line)
    }

    /// Reads the next entry that has words into `words`; `None` at the end of the file, else whether the entry begins with a blank, so that
    /// its owner is that of the one before.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn entry(&mut self, words: &mut Vec<Word<'a>>) -> Result<Option<bool>, (LexError, Word<'a>)> {
        words.clear();
        let mut starts_blank = matches!(self.text.get(self.at), Some(b' ' | b'\t'));
        let mut open: Option<Word<'a>> = None;
        loop {
            let Some(&byte) = self.text.get(self.at) else {
                return match open {
                    Some(parenthesis) => Err((LexError::OpenParenthesis, parenthesis)),
                    None => Ok((!words.is_empty()).then_some(starts_blank)),
                };
            };
            match byte {
                b' ' | b'\t' | b'\r' => self.at += 1,
                b'\n' => {
                    self.at += 1;
                    self.line += 1;
                    self.line_start = self.at;
                    if open.is_none() {
                        if !words.is_empty() {
                            return Ok(Some(starts_blank));
                        }
                        starts_blank = matches!(self.text.get(self.at), Some(b' ' | b'\t'));
                    }
                }
                b';' => {
                    let rest = &self.text[self.at..];
                    self.at += rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
                }
                b'(' => {
                    let word = self.word(self.at, self.at + 1, false);
                    if open.is_some() {
                        return Err((LexError::NestedParenthesis, word));
                    }
                    open = Some(word);
                    self.at += 1;
                }
                b')' => {
                    if open.take().is_none() {
                        return Err((LexError::StrayParenthesis, self.word(self.at, self.at + 1, false)));
                    }
                    self.at += 1;
                }
                b'"' => words.push(self.quoted()?),
                _ => words.push(self.plain()),
            }
        }
    }

    fn word(&self, start: usize, end: usize, is_quoted: bool) -> Word<'a> {
        let column = (start - self.line_start) as u32 + 1;
        Word { text: &self.text[start..end], is_quoted, line: self.line, column }
    }

    fn plain(&mut self) -> Word<'a> {
        let start = self.at;
        while let Some(&byte) = self.text.get(self.at) {
            if byte == b'\\' && self.text.get(self.at + 1).is_some_and(|next| *next != b'\n') {
                self.at += 2;
            } else if ENDS_WORD[usize::from(byte)] {
                break;
            } else {
                self.at += 1;
            }
        }
        self.word(start, self.at, false)
    }

    fn quoted(&mut self) -> Result<Word<'a>, (LexError, Word<'a>)> {
        let mark = self.word(self.at, self.at + 1, false);
        let start = self.at + 1;
        let mut at = start;
        loop {
            match self.text.get(at) {
                Some(b'"') => break,
                None => return Err((LexError::OpenQuote, mark)),
                Some(byte) => {
                    at += if *byte == b'\\' && at + 1 < self.text.len() { 2 } else { 1 };
                }
            }
        }
        self.at = at + 1;
        // A string may go on over lines, as CoreDNS reads it.
        let inside = &self.text[start..at];
        if let Some(last) = inside.iter().rposition(|byte| *byte == b'\n') {
            self.line += inside.iter().filter(|byte| **byte == b'\n').count() as u32;
            self.line_start = start + last + 1;
        }
        Ok(Word { text: inside, is_quoted: true, ..mark })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The entries of `text`, each as its words, with `_` in front where it begins with a blank.
    fn entries(text: &str) -> Result<Vec<String>, (LexError, u32, u32)> {
        let mut lexer = Lexer::new(text.as_bytes());
        let mut words = Vec::new();
        let mut all = Vec::new();
        while let Some(blank) =
            lexer.entry(&mut words).map_err(|(error, word)| (error, word.line, word.column))?
        {
            let text = |word: &Word<'_>| {
                let text = String::from_utf8_lossy(word.text).into_owned();
                if word.is_quoted { format!("<{text}>") } else { text }
            };
            let line: Vec<String> =
                blank.then(|| "_".to_owned()).into_iter().chain(words.iter().map(text)).collect();
            all.push(line.join(" "));
        }
        Ok(all)
    }

    #[test]
    fn entries_are_lines_unless_parentheses_hold_them_together() {
        for (text, want) in [
            ("a b\nc", &["a b", "c"][..]),
            ("\n\n  ; only a comment\n\t a ; b\n", &["_ a"]),
            ("a ( b ; c\n d )\n e\r\n", &["a b d", "_ e"]),
            ("a (b)c(\n)d", &["a b c d"]),
            (r#"a "b ; ( \" c" d"#, &[r#"a <b ; ( \" c> d"#]),
            (r"a\;b\ c d\\ e", &[r"a\;b\ c d\\ e"]),
            ("a\"b\"c", &["a <b> c"]),
            ("\"\"", &["<>"]),
            ("a \"b\nc\" d\n e", &["a <b\nc> d", "_ e"]),
            (" \n(\n)\n \n x", &["_ x"]),
        ] {
            assert_eq!(entries(text).unwrap(), want, "{text:?}");
        }
    }

    #[test]
    fn what_is_not_closed_is_named_with_its_place() {
        for (text, want) in [
            ("a \"b\n\\\"", (LexError::OpenQuote, 1, 3)),
            ("a\n b \"c", (LexError::OpenQuote, 2, 4)),
            ("a\n (b\nc", (LexError::OpenParenthesis, 2, 2)),
            ("a )", (LexError::StrayParenthesis, 1, 3)),
            ("a ( b\n ( c ) )", (LexError::NestedParenthesis, 2, 2)),
        ] {
            assert_eq!(entries(text), Err(want), "{text:?}");
        }
    }

    #[test]
    fn words_know_their_line() {
        let mut lexer = Lexer::new(b"a b\r\nc (\n  d)\n");
        let mut words = Vec::new();
        lexer.entry(&mut words).unwrap();
        lexer.entry(&mut words).unwrap();
        assert_eq!((words[1].line, words[1].column), (3, 3));
        assert_eq!(lexer.line_of(&words[1]), b"  d)");
        let first = Word { line: 1, ..words[0] };
        assert_eq!(lexer.line_of(&first), b"a b");
    }
}
