//! Words into server blocks: the grammar of a Corefile.
//!
//! ```text
//! corefile  := (import | snippet | block)*
//! block     := key [","] key … ( "{" directive* "}" | directive* end of file )
//! snippet   := "(" name ")" "{" word* "}"
//! directive := name argument* [ "{" directive* "}" ]
//! ```
//!
//! An error never ends the reading: the rest of the directive or block is passed over and the next one is looked at, so
//! that all errors of a file are told at once. Whatever is found first is what CoreDNS would have said.

use super::context::{Context, Input};
use super::diagnostic::{Diagnostic, Refused};
use super::env;
use super::fingerprint::Fingerprint;
use super::lexer::{Token, tokenize};
use super::source::{FileId, Span};
use super::stream::{Lineage, Origin, Refusal, Stream};
use super::structure;
use super::tree::{Config, ServerBlock, Word};
use std::collections::HashMap;
use std::rc::Rc;

/// Snippets expanded in one configuration; CoreDNS's limit.
const SNIPPET_IMPORTS_MAX: usize = 10_000;

/// Reads a Corefile.
///
/// # Errors
/// All its errors, with the texts to show them. What a key or a directive means is not looked at here.
pub fn parse_corefile(input: &Input<'_>) -> Result<Config, Refused> {
    let mut parser = Parser::new(*input);
    let tokens = parser.add_file(input.name, input.text);
    let path = input.loader.absolute(input.name).unwrap_or_else(|_| input.name.to_owned());
    let mut stream = Stream::new(tokens, Lineage::root(Origin::File(path)));
    parser.blocks(&mut stream);
    parser.context.default_if_empty(&mut parser.blocks);
    parser.context.finish(parser.blocks, parser.fingerprint.finish())
}

struct Parser<'a> {
    context: Context<'a>,
    files: HashMap<String, Rc<[Token]>>,
    snippets: HashMap<String, (Span, Rc<[Token]>)>,
    snippet_imports: usize,
    blocks: Vec<ServerBlock>,
    fingerprint: Fingerprint,
    /// Set when an error was told that makes another one about the end of the file pointless.
    end_explained: bool,
}

impl<'a> Parser<'a> {
    fn new(input: Input<'a>) -> Self {
        Self {
            context: Context::new(input),
            files: HashMap::new(),
            snippets: HashMap::new(),
            snippet_imports: 0,
            blocks: Vec::new(),
            fingerprint: Fingerprint::default(),
            end_explained: false,
        }
    }

    fn error(&mut self, error: Diagnostic) {
        self.context.errors.push(error);
    }

    fn add_file(&mut self, name: &str, bytes: &[u8]) -> Rc<[Token]> {
        let file = self.context.add_source(name, bytes);
        let (tokens, warnings) = tokenize(file, self.context.sources.text(file));
        self.context.warnings.extend(warnings);
        tokens.into()
    }

    fn blocks(&mut self, stream: &mut Stream) {
        while stream.peek().is_some() && !self.context.hopeless() {
            self.block(stream);
        }
        if stream.overflown() {
            self.error(Diagnostic::error(stream.last_span(), "the configuration is too long"));
        }
    }

    fn block(&mut self, stream: &mut Stream) {
        let mut block = ServerBlock { keys: self.keys(stream), directives: Vec::new() };
        self.fingerprint.begin_block();
        let Some(next) = stream.peek() else {
            // Keys and nothing else: zones that nothing serves.
            return self.end_block(block);
        };
        let brace = next.token.is("{");
        if let [key] = block.keys.as_slice()
            && let Some(name) = key.text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'))
        {
            let (name, span) = (name.to_owned(), key.span);
            return self.snippet(stream, name, span);
        }
        if brace {
            let opening = stream.next();
            if block.keys.is_empty()
                && let Some(opening) = opening
            {
                let warning = Diagnostic::warning(opening.word.span, "a block without a key is passed over");
                self.context
                    .warnings
                    .push(warning.help("write the zones it serves before the '{', '.' for all"));
            }
        }
        self.directives(stream, &mut block, brace);
        self.end_block(block);
    }

    fn end_block(&mut self, block: ServerBlock) {
        if !block.keys.is_empty() {
            self.fingerprint.end_block(&block.keys);
            self.blocks.push(block);
        }
    }

    /// The keys of a block, up to its brace or the end of the line.
    fn keys(&mut self, stream: &mut Stream) -> Vec<Word> {
        let mut keys = Vec::new();
        let mut comma = false;
        let mut line_matters = false;
        loop {
            let Some(next) = stream.peek() else {
                if comma {
                    self.end_explained = true;
                    let error = Diagnostic::error(stream.last_span(), "Unexpected EOF");
                    self.error(error.help("a comma says that another key follows"));
                }
                return keys;
            };
            if line_matters && !comma && !next.same_line {
                return keys;
            }
            line_matters = true;
            let (word, same_line) = (next.token.word.clone(), next.same_line);
            let mut word = self.context.expand(word);
            if word.text == "import" && !same_line {
                self.import(stream);
                line_matters = false;
                continue;
            }
            if word.text == "{" {
                if comma {
                    let message = "Expected another address but had '{' - check for extra comma";
                    self.error(word.error(message));
                }
                return keys;
            }
            stream.next();
            if word.text.is_empty() {
                continue;
            }
            comma = word.pop_comma();
            keys.push(word);
        }
    }

    /// The directives of a block, up to its closing brace.
    fn directives(&mut self, stream: &mut Stream, block: &mut ServerBlock, brace: bool) {
        while !self.context.hopeless() {
            let Some(next) = stream.peek() else {
                if brace && !self.end_explained && !stream.overflown() {
                    self.missing_brace(stream, block.span());
                }
                return;
            };
            if next.token.is("}") {
                stream.next();
                return;
            }
            if next.token.is("import") {
                self.import(stream);
                continue;
            }
            self.directive(stream, block);
        }
    }

    /// The file ended inside a block. CoreDNS looks only at the last word, which may be the brace of something else.
    fn missing_brace(&mut self, stream: &Stream, block: Span) {
        let Some(last) = stream.last() else { return };
        let help = "every '{' needs a '}' on a line of its own";
        if last.is("}") {
            let message = "the last block of the file has no '}' of its own";
            let warning = Diagnostic::warning(last.word.span, message).note(block, "the block begins here");
            self.context.warnings.push(warning.help(help));
        } else {
            let error = Diagnostic::syntax(last.word.span, &last.word.text, "}");
            self.error(error.note(block, "the block begins here").help(help));
        }
    }

    /// One directive of a server block with everything that belongs to it.
    fn directive(&mut self, stream: &mut Stream, block: &mut ServerBlock) {
        let Some(first) = stream.next() else { return };
        let name = self.context.expand(first.word.clone());
        let known = self.context.check_name(&name);
        self.fingerprint.word(&name.text, &first.word, &self.context.sources);
        let mut words = vec![Token { word: name, ..first }];
        let mut open: Vec<Span> = Vec::new();
        loop {
            let Some(next) = stream.peek() else {
                if let Some(&brace) = open.last()
                    && !stream.overflown()
                {
                    self.end_explained = true;
                    let error = Diagnostic::error(stream.last_span(), "Unexpected EOF");
                    self.error(error.note(brace, "this '{' is never closed"));
                }
                break;
            };
            let token = next.token;
            if token.is("{") {
                open.push(token.word.span);
            } else if open.is_empty() && !next.same_line {
                break;
            } else if token.is("}") {
                if open.pop().is_none() {
                    let error = token.word.error("Unexpected '}' because no matching opening brace");
                    self.error(error.help("a closing brace must stand on a line of its own"));
                    // The brace is left to close the server block, which is what it was most likely meant for.
                    break;
                }
            } else if token.is("import") && !next.same_line {
                self.import(stream);
                continue;
            }
            if let Some(token) = stream.next() {
                let word = self.context.expand(token.word.clone());
                let token = Token { word, ..token };
                stream.set_last(Some(token.clone()));
                self.fingerprint.word(&words[0].word.text, &token.word, &self.context.sources);
                words.push(token);
            }
        }
        // What a directive that there is not contains needs no second error.
        if known {
            let Context { errors, warnings, .. } = &mut self.context;
            block.directives.extend(structure::directives(words, errors, warnings));
        }
    }

    /// A snippet: its words are kept as they are, to be put where it is imported.
    fn snippet(&mut self, stream: &mut Stream, name: String, span: Span) {
        let first = stream.next();
        if let Some(&(first, _)) = self.snippets.get(&name) {
            let message = format!("redeclaration of previously declared snippet {name}");
            self.error(Diagnostic::error(stream.last_span(), message).note(first, "first declared here"));
        }
        if let Some(first) = first.filter(|first| !first.is("{")) {
            let error = Diagnostic::syntax(first.word.span, &first.word.text, "{");
            self.error(error.help("a snippet needs braces around its body"));
            while stream.peek().is_some_and(|next| !next.token.is("}")) {
                stream.next();
            }
            stream.next();
            return;
        }
        let mut depth = 1_usize;
        let mut body: Vec<Token> = Vec::new();
        while let Some(token) = stream.next() {
            if token.is("{") {
                depth += 1;
            } else if token.is("}") {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            body.push(token);
        }
        if depth > 0
            && let Some(last) = stream.last()
        {
            let error = Diagnostic::syntax(last.word.span, &last.word.text, "}");
            self.error(error.note(span, "the snippet begins here"));
        }
        if let Some(own) = self.own_import(&body, &name) {
            let message = format!("maximum snippet import depth ({SNIPPET_IMPORTS_MAX}) exceeded");
            let error = Diagnostic::error(stream.last_span(), message);
            self.error(error.note(own, format!("snippet '{name}' imports itself")));
            body.clear();
        }
        self.snippets.entry(name).or_insert((span, body.into()));
    }

    /// Where the body of a snippet imports the snippet itself.
    fn own_import(&mut self, body: &[Token], name: &str) -> Option<Span> {
        let own = body.windows(2).enumerate().find(|(index, pair)| {
            let line_start = *index == 0 || !body[index - 1].same_line(&pair[0]);
            let imported = || env::expand(&pair[1].word.text, self.context.input.environment);
            line_start && pair[0].is("import") && imported().is_ok_and(|imported| imported.text == name)
        });
        own.map(|(_, pair)| pair[1].word.span)
    }

    /// Replaces the line of an import, whose first word is the next one, by what it imports.
    fn import(&mut self, stream: &mut Stream) {
        let before = stream.last().cloned();
        let Some(import) = stream.next() else { return };
        let mut words = Vec::new();
        while stream.peek().is_some_and(|next| next.same_line) {
            words.extend(stream.next());
        }
        if let Err(error) = self.import_line(stream, &import.word, words) {
            self.error(error);
        }
        stream.set_last(before);
    }

    fn import_line(
        &mut self,
        stream: &mut Stream,
        import: &Word,
        words: Vec<Token>,
    ) -> Result<(), Diagnostic> {
        let mut words = words.into_iter();
        let Some(pattern) = words.next() else { return Err(import.arg_error()) };
        let mut pattern = self.context.expand(pattern.word);
        if pattern.text.is_empty() {
            return Err(pattern.error("Import requires a non-empty filepath"));
        }
        if let Some(surplus) = words.next() {
            let message = "Import takes only one argument (glob pattern or file)";
            return Err(surplus.word.error(message).help("snippets take no arguments"));
        }
        let lineage = Rc::clone(stream.lineage());
        let too_deep = |pattern: &Word, limit: usize, kind: &str, refusal: Refusal| {
            let error = pattern.error(format!("maximum {kind} import depth ({limit}) exceeded"));
            match refusal {
                Refusal::Itself => error.help(format!("'{}' imports itself", pattern.text)),
                Refusal::TooDeep => error.help("imports are nested too deep"),
            }
        };
        if let Some((_, body)) = self.snippets.get(&pattern.text) {
            self.snippet_imports += 1;
            if self.snippet_imports > SNIPPET_IMPORTS_MAX {
                let message = format!("maximum snippet import depth ({SNIPPET_IMPORTS_MAX}) exceeded");
                return Err(pattern.error(message));
            }
            let inner = lineage
                .import(Origin::Snippet(pattern.text.clone()))
                .map_err(|refusal| too_deep(&pattern, SNIPPET_IMPORTS_MAX, "snippet", refusal))?;
            stream.splice(Rc::clone(body), inner);
            return Ok(());
        }
        let importing_file = self.path_of(import.span, &lineage);
        let mut splices = Vec::new();
        for path in self.context.import_files(&pattern, &importing_file)? {
            if path == importing_file {
                pattern.span.file = self.as_imported(pattern.span.file, &path);
            }
            // CoreDNS counts to its limit before it notices, and prints the other limit.
            let inner = lineage
                .import(Origin::File(path.clone()))
                .map_err(|refusal| too_deep(&pattern, SNIPPET_IMPORTS_MAX, "file", refusal))?;
            let tokens = match self.files.get(&path) {
                Some(tokens) => Rc::clone(tokens),
                None => {
                    let bytes = self.context.read(&path, &pattern)?;
                    let tokens = self.add_file(&path, &bytes);
                    self.files.insert(path, Rc::clone(&tokens));
                    tokens
                }
            };
            splices.push((tokens, inner));
        }
        for (tokens, inner) in splices.into_iter().rev() {
            stream.splice(tokens, inner);
        }
        Ok(())
    }

    /// The main file, where it imports itself, by the path under which it would be imported: CoreDNS notices it only there.
    fn as_imported(&mut self, file: FileId, path: &str) -> FileId {
        if file != FileId::MAIN || self.context.sources.name(file) == path {
            return file;
        }
        let text = self.context.sources.text(file).to_owned();
        self.context.sources.add(path, text)
    }

    /// The path of the file a word stands in: for a word of a snippet the file that defines it.
    fn path_of(&self, span: Span, lineage: &Lineage) -> String {
        if let Some(path) = lineage.file() {
            return path.to_owned();
        }
        let name = self.context.sources.name(span.file);
        self.context.input.loader.absolute(name).unwrap_or_else(|_| name.to_owned())
    }
}

#[cfg(test)]
#[path = "parser_tests.rs"]
mod tests;
