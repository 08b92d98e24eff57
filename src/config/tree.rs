//! The tree that both syntaxes, Corefile and TOML, are read into.

use super::diagnostic::Diagnostic;
use super::source::{SourceMap, Span};

/// One word of the configuration, after environment variables were put in.
#[derive(Clone, Debug, Default)]
pub struct Word {
    /// The word as it counts: without quotes, variables replaced.
    pub text: String,
    /// Where it stands.
    pub span: Span,
    /// Whether it was written in quotes.
    pub quoted: bool,
    /// The spelling before variables were replaced, if that differs.
    raw: Option<Box<str>>,
}

impl Word {
    /// A word whose spelling is its text.
    pub fn new(text: impl Into<String>, span: Span) -> Self {
        Self { text: text.into(), span, quoted: false, raw: None }
    }

    /// The same word, marked as written in quotes.
    pub fn in_quotes(mut self) -> Self {
        self.quoted = true;
        self
    }

    /// The word with another text, remembering how it was spelled.
    pub fn expanded(mut self, text: String) -> Self {
        if text != self.text {
            let spelled = std::mem::replace(&mut self.text, text);
            self.raw.get_or_insert_with(|| spelled.into());
        }
        self
    }

    /// Takes a comma off the end and says whether there was one.
    pub(super) fn pop_comma(&mut self) -> bool {
        let comma = self.text.ends_with(',');
        if comma {
            self.text.pop();
            let spelled = self.raw.as_deref().is_none_or(|raw| raw.ends_with(','));
            self.span.length = self.span.length.saturating_sub(u32::from(spelled));
            // A comma that comes out of a variable cannot be taken out of the spelling.
            self.raw = self.raw.as_deref().and_then(|raw| raw.strip_suffix(',')).map(Into::into);
        }
        comma
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// How the file spells it: before variables were replaced (quotes are never part of it).
    pub fn raw(&self) -> &str {
        self.raw.as_deref().unwrap_or(&self.text)
    }
}

impl PartialEq<str> for Word {
    fn eq(&self, other: &str) -> bool {
        self.text == other
    }
}

impl PartialEq<&str> for Word {
    fn eq(&self, other: &&str) -> bool {
        self.text == *other
    }
}

/// One directive with its arguments and block: a plugin, or an option inside a plugin's block.
#[derive(Clone, Debug)]
pub struct Directive {
    /// The first word of the line.
    pub name: Word,
    /// The words after it, up to the end of the line or the opening brace.
    pub args: Vec<Word>,
    /// The lines between braces; `None` without braces, so an empty block can be told from none.
    pub block: Option<Vec<Self>>,
    /// Where the name stands.
    pub span: Span,
    /// Where the directive ends: its closing brace, or its last word. CoreDNS reports what it notices only
    /// after a whole block, such as an option that is missing, at this line.
    pub end: Span,
}

impl Directive {
    /// The options: the directives of the block, none if there is no block.
    pub fn options(&self) -> &[Self] {
        self.block.as_deref().unwrap_or_default()
    }

    /// The first option of that name.
    pub fn option(&self, name: &str) -> Option<&Self> {
        self.options().iter().find(|option| option.name.text == name)
    }

    /// Whether both say the same, wherever they stand and however they are quoted. An empty block counts as none.
    pub fn same_as(&self, other: &Self) -> bool {
        let same_args = self.args.len() == other.args.len()
            && self.args.iter().zip(&other.args).all(|(a, b)| a.text == b.text);
        let (mine, theirs) = (self.options(), other.options());
        self.name.text == other.name.text
            && same_args
            && mine.len() == theirs.len()
            && mine.iter().zip(theirs).all(|(a, b)| a.same_as(b))
    }
}

/// One server block: the keys it serves and what it does for them.
#[derive(Clone, Debug, Default)]
pub struct ServerBlock {
    /// The keys as written, such as `example.org:1053`; [`addresses`](super::addresses) gives them their meaning. Never empty.
    pub keys: Vec<Word>,
    /// The directives in the order of the file. Their order means nothing, but several of one name keep theirs.
    pub directives: Vec<Directive>,
}

impl ServerBlock {
    /// All directives of that name, in the order of the file: what one plugin is built from.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Directive> {
        self.directives.iter().filter(move |directive| directive.name.text == name)
    }

    /// Whether the block has a directive of that name.
    pub fn has(&self, name: &str) -> bool {
        self.named(name).next().is_some()
    }

    /// Where the block begins: its first key.
    pub fn span(&self) -> Span {
        self.keys.first().map(|key| key.span).unwrap_or_default()
    }
}

/// A whole configuration, read without errors.
#[derive(Clone, Debug)]
pub struct Config {
    /// The server blocks in the order of the file; at least one, as an empty file means the default configuration.
    pub blocks: Vec<ServerBlock>,
    /// True if no file had a block, so that the blocks are those of the default configuration.
    pub is_default: bool,
    /// The texts behind all spans.
    pub sources: SourceMap,
    /// What was accepted but is probably not what was meant.
    pub warnings: Vec<Diagnostic>,
    /// SHA-512 of what the files say, by which a change is noticed: for a Corefile the same value as CoreDNS's, which
    /// changes with words and their lines, but not with a comment at the end of a line.
    pub fingerprint: [u8; 64],
}

impl Config {
    /// The fingerprint in hexadecimal, as the `reload` plugin logs it.
    pub fn fingerprint_hex(&self) -> String {
        self.fingerprint.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
