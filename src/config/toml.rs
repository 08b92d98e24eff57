#![doc = include_str!("TOML.md")]

use super::context::{Context, Input};
use super::diagnostic::{Diagnostic, Refused};
use super::fingerprint::Fingerprint;
use super::source::{FileId, Span};
use super::stream::{Lineage, Origin, Refusal};
use super::tree::{Config, Directive, ServerBlock, Word};
use std::ops::Range;
use std::rc::Rc;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The key of a table that holds a directive's arguments.
pub(super) const ARGS: &str = "args";
/// The key of a table that holds options as lines, where their order or their names need it.
pub(super) const LINES: &str = "lines";
/// The key of a server that holds the keys of its block.
pub(super) const KEYS: &str = "keys";
/// The key that imports files, at the top or in a server.
pub(super) const IMPORT: &str = "import";
/// The array of servers.
pub(super) const SERVER: &str = "server";

/// Reads a configuration written in TOML.
///
/// # Errors
/// All its errors, with the texts to show them. What a key or a directive means is not looked at here.
pub fn parse_toml(input: &Input<'_>) -> Result<Config, Refused> {
    let path = input.loader.absolute(input.name).unwrap_or_else(|_| input.name.to_owned());
    let mut reader = Reader { context: Context::new(*input), blocks: Vec::new() };
    reader.file(input.name, input.text, &Lineage::root(Origin::File(path)), Reader::document);
    let Reader { mut context, mut blocks } = reader;
    let mut fingerprint = Fingerprint::default();
    for block in &blocks {
        fingerprint.begin_block();
        for directive in &block.directives {
            fingerprint.directive(directive, &context.sources);
        }
        fingerprint.end_block(&block.keys);
    }
    context.default_if_empty(&mut blocks);
    context.finish(blocks, fingerprint.finish())
}

struct Reader<'a> {
    context: Context<'a>,
    blocks: Vec<ServerBlock>,
}

/// One file being read.
struct File {
    id: FileId,
    text: Rc<str>,
    line_starts: Vec<usize>,
    lineage: Rc<Lineage>,
}

impl File {
    fn new(id: FileId, text: &str, lineage: &Rc<Lineage>) -> Self {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { id, text: text.into(), line_starts, lineage: Rc::clone(lineage) }
    }

    /// The span of a range of bytes; of one over several lines, the first.
    fn span(&self, range: Range<usize>) -> Span {
        let line = self.line_starts.partition_point(|&start| start <= range.start).max(1);
        let start = self.line_starts.get(line - 1).copied().unwrap_or(0);
        let count = |range: Range<usize>| {
            let text = self.text.get(range).unwrap_or_default();
            u32::try_from(text.split('\n').next().unwrap_or_default().chars().count()).unwrap_or(u32::MAX)
        };
        Span {
            file: self.id,
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: count(start..range.start).saturating_add(1),
            length: count(range.start..range.end.max(range.start)),
        }
    }

    fn span_of<T>(&self, spanned: &Spanned<T>) -> Span {
        self.span(spanned.span())
    }

    /// Where a value ends: its last character.
    fn end_of<T>(&self, spanned: &Spanned<T>) -> Span {
        let Range { start, end } = spanned.span();
        self.span(end.saturating_sub(1).max(start)..end)
    }
}

/// A table's entries in the order of the file.
type Entries<'t, 'i> = Vec<(&'t Spanned<std::borrow::Cow<'i, str>>, &'t Spanned<DeValue<'i>>)>;

fn in_order<'t, 'i>(table: &'t DeTable<'i>) -> Entries<'t, 'i> {
    let mut entries: Entries<'t, 'i> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

/// What a file is read as.
type Read<'a> = fn(&mut Reader<'a>, &File, &DeTable<'_>, &mut ServerBlock);

impl<'a> Reader<'a> {
    fn error(&mut self, error: Diagnostic) {
        self.context.errors.push(error);
    }

    /// Reads one file as a whole document; its servers are added to the blocks.
    fn file(&mut self, name: &str, bytes: &[u8], lineage: &Rc<Lineage>, read: Read<'a>) {
        self.file_into(name, bytes, lineage, read, &mut ServerBlock::default());
    }

    /// Reads one file; directives that stand in no server of its own are added to the block.
    fn file_into(
        &mut self,
        name: &str,
        bytes: &[u8],
        lineage: &Rc<Lineage>,
        read: Read<'a>,
        block: &mut ServerBlock,
    ) {
        let id = self.context.add_source(name, bytes);
        let file = File::new(id, self.context.sources.text(id), lineage);
        let text = Rc::clone(&file.text);
        let (document, errors) = DeTable::parse_recoverable(&text);
        let broken = !errors.is_empty();
        for error in errors {
            let span = file.span(error.span().unwrap_or_default());
            self.error(Diagnostic::error(span, error.message().trim_end()));
            if self.context.hopeless() {
                return;
            }
        }
        // What the recovery made of a broken text would only be wrong in ways its author cannot see.
        if !broken {
            read(self, &file, document.get_ref(), block);
        }
    }

    /// The top of a file: servers and imports.
    fn document(&mut self, file: &File, table: &DeTable<'_>, _: &mut ServerBlock) {
        for (key, value) in in_order(table) {
            let span = file.span_of(key);
            match (key.get_ref().as_ref(), value.get_ref()) {
                (SERVER, DeValue::Table(server)) => self.server(file, span, server),
                (SERVER, DeValue::Array(servers)) => {
                    for server in servers.iter() {
                        match server.get_ref() {
                            DeValue::Table(table) => self.server(file, file.span_of(server), table),
                            other => {
                                self.error(expected(file.span_of(server), other, "a table: write [[server]]"))
                            }
                        }
                    }
                }
                (SERVER, other) => {
                    self.error(expected(file.span_of(value), other, "tables: write [[server]]"))
                }
                (IMPORT, _) => self.import(file, value, Reader::document, &mut ServerBlock::default()),
                (other, _) => {
                    let error = Diagnostic::error(span, format!("Unknown key '{other}'"));
                    self.error(
                        error
                            .help("allowed here: [[server]] and import; directives belong into a [[server]]"),
                    );
                }
            }
        }
    }

    fn server(&mut self, file: &File, span: Span, table: &DeTable<'_>) {
        let mut block = ServerBlock::default();
        match table.get(KEYS) {
            Some(keys) => {
                let words = self.words(file, keys);
                block.keys = words.into_iter().filter(|key| !key.text.is_empty()).collect();
            }
            None => {
                let error = Diagnostic::error(span, "a server needs keys");
                self.error(error.help("such as keys = [\".:53\"]"));
            }
        }
        self.directives(file, table, &mut block);
        if !block.keys.is_empty() {
            self.blocks.push(block);
        }
    }

    /// An imported file of directives alone.
    fn fragment(&mut self, file: &File, table: &DeTable<'_>, block: &mut ServerBlock) {
        for reserved in [KEYS, SERVER] {
            if let Some((key, _)) = table.get_key_value(reserved) {
                let message = format!("'{reserved}' has no place in a file that a server imports");
                self.error(
                    Diagnostic::error(file.span_of(key), message).help("such a file holds directives alone"),
                );
                return;
            }
        }
        self.directives(file, table, block);
    }

    /// The directives of a server, in the order of the file.
    fn directives(&mut self, file: &File, table: &DeTable<'_>, block: &mut ServerBlock) {
        for (key, value) in in_order(table) {
            match key.get_ref().as_ref() {
                KEYS => {}
                IMPORT => self.import(file, value, Reader::fragment, block),
                _ if self.context.hopeless() => return,
                _ => {
                    let name = self.name(file, key);
                    if self.context.check_name(&name) {
                        self.repeated(file, &name, value, &mut block.directives);
                    }
                }
            }
        }
    }

    fn name(&mut self, file: &File, key: &Spanned<std::borrow::Cow<'_, str>>) -> Word {
        self.context.expand(Word::new(key.get_ref().as_ref(), file.span_of(key)))
    }

    /// All the directives that one key stands for: one, several for an array of arrays or tables, none for `false`.
    fn repeated(
        &mut self,
        file: &File,
        name: &Word,
        value: &Spanned<DeValue<'_>>,
        into: &mut Vec<Directive>,
    ) {
        match value.get_ref() {
            DeValue::Boolean(false) => {}
            DeValue::Array(items)
                if !items.is_empty()
                    && items.iter().all(|item| item.get_ref().is_array() || item.get_ref().is_table()) =>
            {
                for item in items.iter() {
                    let directive = self.one(file, name.clone(), item);
                    into.push(directive);
                }
            }
            _ => {
                let directive = self.one(file, name.clone(), value);
                into.push(directive);
            }
        }
    }

    /// One directive from its value.
    fn one(&mut self, file: &File, name: Word, value: &Spanned<DeValue<'_>>) -> Directive {
        let mut directive =
            Directive { span: name.span, end: file.end_of(value), name, args: Vec::new(), block: None };
        match value.get_ref() {
            DeValue::Boolean(true) => {}
            DeValue::Table(table) => self.table(file, table, &mut directive),
            DeValue::Array(items) => self.items(file, &items.iter().collect::<Vec<_>>(), &mut directive),
            _ => directive.args = self.words(file, value),
        }
        directive
    }

    /// Arguments, the last of which may be a table with the options.
    fn items(&mut self, file: &File, items: &[&Spanned<DeValue<'_>>], directive: &mut Directive) {
        let (args, table) = match items.split_last() {
            Some((last, args)) => match last.get_ref() {
                DeValue::Table(table) => (args, Some(table)),
                _ => (items, None),
            },
            None => (items, None),
        };
        directive.args = args.iter().filter_map(|arg| self.word(file, arg)).collect();
        if let Some(table) = table {
            if let Some((key, _)) = table.get_key_value(ARGS) {
                let error =
                    Diagnostic::error(file.span_of(key), "the arguments stand before the table already");
                self.error(error.help("in an array, the last table holds options alone"));
                return;
            }
            self.table(file, table, directive);
            directive.block.get_or_insert_default();
        }
    }

    /// A table of options, with the arguments under a key of their own.
    fn table(&mut self, file: &File, table: &DeTable<'_>, directive: &mut Directive) {
        for (key, value) in in_order(table) {
            match key.get_ref().as_ref() {
                ARGS => directive.args = self.words(file, value),
                LINES => {
                    let mut lines = directive.block.take().unwrap_or_default();
                    self.lines(file, value, &mut lines);
                    directive.block = Some(lines);
                }
                _ => {
                    let name = self.name(file, key);
                    let mut lines = directive.block.take().unwrap_or_default();
                    self.repeated(file, &name, value, &mut lines);
                    directive.block = Some(lines);
                }
            }
        }
    }

    /// Options as lines: each an array of a name, arguments and perhaps a table with options of its own.
    fn lines(&mut self, file: &File, value: &Spanned<DeValue<'_>>, into: &mut Vec<Directive>) {
        const FORM: &str =
            "an array of lines, such as lines = [[\"allow\", \"net\", \"10.0.0.0/8\"], [\"block\"]]";
        let DeValue::Array(lines) = value.get_ref() else {
            return self.error(expected(file.span_of(value), value.get_ref(), FORM));
        };
        for line in lines.iter() {
            let items: Vec<&Spanned<DeValue<'_>>> = match line.get_ref() {
                DeValue::Array(items) => items.iter().collect(),
                DeValue::String(_) => vec![line],
                other => {
                    self.error(expected(file.span_of(line), other, FORM));
                    continue;
                }
            };
            let Some((first, rest)) = items.split_first() else {
                self.error(Diagnostic::error(file.span_of(line), "a line needs a name").help(FORM));
                continue;
            };
            let Some(name) = self.word(file, first) else { continue };
            let mut directive =
                Directive { span: name.span, end: file.end_of(line), name, args: Vec::new(), block: None };
            self.items(file, rest, &mut directive);
            into.push(directive);
        }
    }

    /// One word, or an array of them.
    fn words(&mut self, file: &File, value: &Spanned<DeValue<'_>>) -> Vec<Word> {
        match value.get_ref() {
            DeValue::Array(items) => items.iter().filter_map(|item| self.word(file, item)).collect(),
            _ => self.word(file, value).into_iter().collect(),
        }
    }

    fn word(&mut self, file: &File, value: &Spanned<DeValue<'_>>) -> Option<Word> {
        let span = file.span_of(value);
        let word = match value.get_ref() {
            DeValue::String(text) => Word::new(text.as_ref(), span).in_quotes(),
            DeValue::Boolean(value) => Word::new(value.to_string(), span),
            DeValue::Float(number) => Word::new(number.as_str(), span),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Word::new(number.to_string(), span),
                Err(_) => {
                    self.error(Diagnostic::error(span, format!("number out of range: {number}")));
                    return None;
                }
            },
            other => {
                self.error(expected(span, other, "a string, a number or a truth value"));
                return None;
            }
        };
        Some(self.context.expand(word))
    }

    /// Reads the files of an import as documents or as fragments of a server.
    fn import(&mut self, file: &File, value: &Spanned<DeValue<'_>>, read: Read<'a>, block: &mut ServerBlock) {
        for pattern in self.words(file, value) {
            if let Err(error) = self.import_one(file, &pattern, read, block) {
                self.error(error);
            }
        }
    }

    fn import_one(
        &mut self,
        file: &File,
        pattern: &Word,
        read: Read<'a>,
        block: &mut ServerBlock,
    ) -> Result<(), Diagnostic> {
        if pattern.text.is_empty() {
            return Err(pattern.error("Import requires a non-empty filepath"));
        }
        let importing_file = file.lineage.file().unwrap_or_default().to_owned();
        for path in self.context.import_files(pattern, &importing_file)? {
            let lineage =
                file.lineage.import(Origin::File(path.clone())).map_err(|refusal| match refusal {
                    Refusal::Itself => pattern.error(format!("'{}' imports itself", pattern.text)),
                    Refusal::TooDeep => pattern.error("imports are nested too deep"),
                })?;
            let bytes = self.context.read(&path, pattern)?;
            self.file_into(&path, &bytes, &lineage, read, block);
        }
        Ok(())
    }
}

fn expected(span: Span, found: &DeValue<'_>, what: &str) -> Diagnostic {
    let found = match found {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "a truth value",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    };
    Diagnostic::error(span, format!("found {found}, expected {what}"))
}

#[cfg(test)]
#[path = "toml_tests.rs"]
mod tests;
