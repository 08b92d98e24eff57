//! Entries of a master file: directives, and records with what they leave out.

use std::fmt;

use super::generate;
use super::lexer::{LexError, Lexer, Word};
use crate::wire::{Class, Name, Rtype};
use crate::zone::rdata;

/// How deep files include files at most, as in CoreDNS.
const INCLUDE_DEPTH_MAX: usize = 7;

/// Mistakes that are told of one file at most.
const ERRORS_MAX: usize = 20;

/// A record as a master file has it.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Its owner.
    pub owner: &'a Name,
    /// Its TTL, seconds.
    pub ttl: u32,
    /// Its type.
    pub rtype: Rtype,
    /// Its RDATA, names in it uncompressed.
    pub rdata: &'a [u8],
    /// The file it stands in.
    pub file: &'a str,
    /// The line of its first word, from 1.
    pub line: u32,
}

/// A mistake in a master file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The place in the line, from 1.
    pub column: u32,
    /// What is wrong, and what would be right.
    pub message: String,
    /// The line as it stands in the file.
    pub text: String,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)
    }
}

impl std::error::Error for FileError {}

/// Where included files come from.
pub trait Files {
    /// The path and the contents of `name`, which `from` includes.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn include(&mut self, name: &str, from: &str) -> Result<(String, Vec<u8>), String>;
}

/// Reads `text`, the contents of `file`, and gives each record to `each`, whose errors are mistakes of that record's line. Names without a dot
/// at the end are below `origin`.
///
/// # Errors
/// The mistakes, in the order of the file, up to a number; records without mistakes were given all the same.
pub fn parse(
    text: &[u8],
    file: &str,
    origin: &Name,
    files: &mut dyn Files,
    each: &mut dyn FnMut(&Entry<'_>) -> Result<(), String>,
) -> Result<(), Vec<FileError>> {
    let mut state =
        State { ttl: None, default_ttl: None, errors: Vec::new(), files, each, rdata: Vec::new() };
    state.file(text, file, origin, 0);
    if state.errors.is_empty() { Ok(()) } else { Err(state.errors) }
}

/// What goes on from file to file.
struct State<'f> {
    /// The last TTL that was given.
    ttl: Option<u32>,
    /// `$TTL` (RFC 2308 4).
    default_ttl: Option<u32>,
    errors: Vec<FileError>,
    files: &'f mut dyn Files,
    each: &'f mut dyn FnMut(&Entry<'_>) -> Result<(), String>,
    rdata: Vec<u8>,
}

/// What goes on from entry to entry of one file.
struct Here<'a> {
    file: &'a str,
    origin: Name,
    owner: Option<Name>,
    depth: usize,
    /// For an entry that `$GENERATE` made, the line that says so.
    generated_at: Option<(u32, u32)>,
}

/// A mistake: the word that is wrong, or the last one if something is missing behind it, and what is wrong.
struct Mistake<'a> {
    word: Word<'a>,
    message: String,
}

impl<'a> Mistake<'a> {
    fn at(word: &Word<'a>, message: impl Into<String>) -> Self {
        Self { word: *word, message: message.into() }
    }
}

impl State<'_> {
    fn file(&mut self, text: &[u8], file: &str, origin: &Name, depth: usize) {
        let mut here = Here { file, origin: origin.clone(), owner: None, depth, generated_at: None };
        self.entries(text, &mut here);
    }

    fn entries(&mut self, text: &[u8], here: &mut Here<'_>) {
        let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
        let mut lexer = Lexer::new(text);
        let mut words = Vec::new();
        while self.errors.len() < ERRORS_MAX {
            let mistake = match lexer.entry(&mut words) {
                Ok(None) => return,
                Ok(Some(starts_blank)) => match self.entry(&words, starts_blank, here) {
                    Ok(()) => continue,
                    Err(mistake) => mistake,
                },
                Err((error, word)) => {
                    // What comes behind cannot be told apart any more.
                    self.note(here, &lexer, &Mistake::at(&word, lex_message(error)));
                    return;
                }
            };
            self.note(here, &lexer, &mistake);
        }
    }

    fn note(&mut self, here: &Here<'_>, lexer: &Lexer<'_>, mistake: &Mistake<'_>) {
        let word = &mistake.word;
        let text = String::from_utf8_lossy(lexer.line_of(word)).into_owned();
        let (line, column, message) = match here.generated_at {
            Some((line, column)) => {
                (line, column, format!("{}, in the generated line: {text}", mistake.message))
            }
            None => (word.line, word.column, mistake.message.clone()),
        };
        self.errors.push(FileError { file: here.file.to_owned(), line, column, message, text });
    }

    fn entry<'w>(
        &mut self,
        words: &[Word<'w>],
        starts_blank: bool,
        here: &mut Here<'_>,
    ) -> Result<(), Mistake<'w>> {
        let Some((first, rest)) = words.split_first() else { return Ok(()) };
        if first.text.first() == Some(&b'$') && !first.is_quoted && !starts_blank {
            return self.directive(first, rest, here);
        }
        if starts_blank {
            return self.record(words, here);
        }
        let owner = name(first, &here.origin)?;
        here.owner = Some(owner);
        if rest.is_empty() {
            return Err(Mistake::at(first, "expected a record behind the owner"));
        }
        self.record(rest, here)
    }

    /// `[TTL] [class] type RDATA`, or with TTL and class the other way round.
    fn record<'w>(&mut self, words: &[Word<'w>], here: &Here<'_>) -> Result<(), Mistake<'w>> {
        let Some(owner) = &here.owner else {
            return Err(Mistake::at(&words[0], "expected an owner: no entry before has one"));
        };
        let (mut ttl, mut class) = (None, None);
        let mut at = 0;
        let rtype = loop {
            let Some(word) = words.get(at) else {
                return Err(Mistake::at(&words[words.len() - 1], "expected a record type behind this"));
            };
            at += 1;
            if ttl.is_none() && word.text.first().is_some_and(u8::is_ascii_digit) {
                let read = rdata::seconds(word.text)
                    .ok_or_else(|| Mistake::at(word, "expected a TTL in seconds, such as 3600 or 1h30m"))?;
                ttl = Some(read);
            } else if class.is_none()
                && let Some(read) = class_of(word.text)
            {
                if read != Class::IN {
                    return Err(Mistake::at(word, "expected class IN: no other is served from files"));
                }
                class = Some(read);
            } else if let Some(rtype) = rtype_of(word.text) {
                break rtype;
            } else {
                let text = String::from_utf8_lossy(word.text);
                return Err(Mistake::at(word, format!("expected a record type, not '{text}'")));
            }
        };
        let type_word = words[at - 1];
        if is_never_stored(rtype) {
            return Err(Mistake::at(&type_word, format!("{rtype} is for messages, not for zones")));
        }
        // Bit 31 makes a TTL count as none (RFC 2181 8).
        let ttl = ttl.map(|ttl| if ttl > i32::MAX as u32 { 0 } else { ttl });
        let words = &words[at..];
        self.rdata.clear();
        if let Err(error) = rdata::parse(rtype, words, &here.origin, &mut self.rdata) {
            let word = words.get(error.word).or(words.last()).unwrap_or(&type_word);
            let missing = if error.word >= words.len() { " behind this" } else { "" };
            let given = if missing.is_empty() {
                format!(", not '{}'", String::from_utf8_lossy(word.text))
            } else {
                String::new()
            };
            return Err(Mistake::at(word, format!("{rtype}: {error}{missing}{given}")));
        }
        let Some(ttl) = ttl.or(self.default_ttl).or(self.ttl) else {
            return Err(Mistake::at(&type_word, "missing TTL with no previous value: give one, or $TTL"));
        };
        self.ttl = Some(ttl);
        let line = here.generated_at.map_or(type_word.line, |(line, _)| line);
        let entry = Entry { owner, ttl, rtype, rdata: &self.rdata, file: here.file, line };
        (self.each)(&entry).map_err(|message| Mistake::at(&type_word, message))
    }

    fn directive<'w>(
        &mut self,
        name_of: &Word<'w>,
        arguments: &[Word<'w>],
        here: &mut Here<'_>,
    ) -> Result<(), Mistake<'w>> {
        let argument = |number: usize, expected: &str| match arguments.get(number) {
            Some(word) => Ok(word),
            None => {
                let last = arguments.last().unwrap_or(name_of);
                Err(Mistake::at(last, format!("expected {expected} behind this")))
            }
        };
        let no_more = |most: usize| match arguments.get(most) {
            Some(word) => Err(Mistake::at(word, "expected the end of the line")),
            None => Ok(()),
        };
        match name_of.text.to_ascii_uppercase().as_slice() {
            b"$ORIGIN" => {
                here.origin = name(argument(0, "a domain name")?, &here.origin)?;
                no_more(1)
            }
            b"$TTL" => {
                const EXPECTED: &str = "a TTL in seconds, such as 3600 or 1h30m";
                let word = argument(0, EXPECTED)?;
                let ttl = rdata::seconds(word.text)
                    .ok_or_else(|| Mistake::at(word, format!("expected {EXPECTED}")))?;
                self.default_ttl = Some(ttl);
                no_more(1)
            }
            b"$INCLUDE" => {
                let file = argument(0, "the name of a file")?;
                let origin = match arguments.get(1) {
                    Some(word) => name(word, &here.origin)?,
                    None => here.origin.clone(),
                };
                no_more(2)?;
                self.include(file, &origin, here)
            }
            b"$GENERATE" if here.generated_at.is_some() => {
                Err(Mistake::at(name_of, "$GENERATE cannot make another $GENERATE"))
            }
            b"$GENERATE" => {
                let range = argument(0, "a range, such as 1-100 or 0-255/8")?;
                argument(1, "an owner")?;
                let template = &arguments[1..];
                let steps = generate::range(range.text).ok_or_else(|| {
                    Mistake::at(range, "expected a range such as 1-100 or 0-255/8, of at most 65536 steps")
                })?;
                self.generate(name_of, steps, template, here)
            }
            _ => {
                let text = String::from_utf8_lossy(name_of.text);
                Err(Mistake::at(
                    name_of,
                    format!("expected $ORIGIN, $TTL, $INCLUDE or $GENERATE, not '{text}'"),
                ))
            }
        }
    }

    fn include<'w>(&mut self, word: &Word<'w>, origin: &Name, here: &Here<'_>) -> Result<(), Mistake<'w>> {
        if here.depth == INCLUDE_DEPTH_MAX {
            let message = format!("files include files more than {INCLUDE_DEPTH_MAX} deep");
            return Err(Mistake::at(word, message));
        }
        let named = String::from_utf8_lossy(word.text);
        let read = self.files.include(&named, here.file);
        let (path, text) =
            read.map_err(|why| Mistake::at(word, format!("cannot include '{named}': {why}")))?;
        let default_ttl = self.default_ttl;
        self.file(&text, &path, origin, here.depth + 1);
        self.default_ttl = default_ttl;
        Ok(())
    }

    fn generate<'w>(
        &mut self,
        directive: &Word<'w>,
        steps: impl Iterator<Item = i64>,
        template: &[Word<'w>],
        here: &mut Here<'_>,
    ) -> Result<(), Mistake<'w>> {
        let mut line = Vec::new();
        let before = here.generated_at.replace((directive.line, directive.column));
        for step in steps {
            line.clear();
            if let Err((word, message)) = generate::line(template, step, &mut line) {
                here.generated_at = before;
                return Err(Mistake::at(&template[word], message));
            }
            let errors = self.errors.len();
            self.entries(&line, here);
            if self.errors.len() > errors {
                // The others would be wrong in the same way.
                break;
            }
        }
        here.generated_at = before;
        Ok(())
    }
}

fn name<'a>(word: &Word<'a>, origin: &Name) -> Result<Name, Mistake<'a>> {
    let mut wire = Vec::with_capacity(64);
    let read =
        rdata::name(word.text, origin, true, &mut wire).then(|| Name::parse_plain(&wire, 0).ok()).flatten();
    read.map(|(name, _)| name).ok_or_else(|| {
        Mistake::at(word, format!("expected a domain name, not '{}'", String::from_utf8_lossy(word.text)))
    })
}

fn class_of(text: &[u8]) -> Option<Class> {
    // The usual case first.
    if text.eq_ignore_ascii_case(b"IN") {
        return Some(Class::IN);
    }
    Class::from_text(&std::str::from_utf8(text).ok()?.to_ascii_uppercase())
}

fn rtype_of(text: &[u8]) -> Option<Rtype> {
    let text = std::str::from_utf8(text).ok()?;
    Rtype::from_text(text).or_else(|| Rtype::from_text(&text.to_ascii_uppercase()))
}

/// Types that only messages have (RFC 6895 3.1).
const fn is_never_stored(rtype: Rtype) -> bool {
    matches!(rtype.0, 0 | 41 | 128..=255 | 65_535)
}

const fn lex_message(error: LexError) -> &'static str {
    match error {
        LexError::OpenQuote => "this quotation mark is never closed",
        LexError::OpenParenthesis => "this parenthesis is never closed",
        LexError::StrayParenthesis => "this parenthesis was never opened",
        LexError::NestedParenthesis => "a parenthesis is open already",
    }
}
