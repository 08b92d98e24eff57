//! Rust source as tokens, and the paths that stand in it: as much of the language as the house rules need.

use std::fmt;

use super::File;

/// A token with the line it begins on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) line: usize,
}

/// What a token is. Comments are left out, numbers and lifetimes are words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Word(String),
    /// The contents of a string or character, as written.
    Text(String),
    /// Any other character; `::` is one token.
    Sign(char),
    PathSep,
}

impl Kind {
    fn is_word(&self, word: &str) -> bool {
        matches!(self, Self::Word(w) if w == word)
    }
}

/// A path as it stands in the source, with the module it stands in taken into account: it starts at the crate's root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) segments: Vec<String>,
    pub(super) line: usize,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.segments.join("::"))
    }
}

/// Takes source apart.
pub(super) fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(&c) = chars.get(at) {
        let rest = &chars[at..];
        let (length, kind) = match c {
            '/' if rest.get(1) == Some(&'/') => {
                (rest.iter().position(|&c| c == '\n').unwrap_or(rest.len()), None)
            }
            '/' if rest.get(1) == Some(&'*') => (block_comment(rest), None),
            '"' => quoted(rest, 0),
            'b' | 'c' if rest.get(1) == Some(&'"') => quoted(rest, 1),
            'r' | 'b' | 'c' if raw_string(rest).is_some() => {
                let (length, text) = raw_string(rest).unwrap_or_default();
                (length, Some(Kind::Text(text)))
            }
            '\'' => character_or_lifetime(rest),
            c if c.is_alphanumeric() || c == '_' => {
                let length = rest.iter().take_while(|c| c.is_alphanumeric() || **c == '_').count();
                (length, Some(Kind::Word(rest[..length].iter().collect())))
            }
            ':' if rest.get(1) == Some(&':') => (2, Some(Kind::PathSep)),
            c if c.is_whitespace() => (1, None),
            c => (1, Some(Kind::Sign(c))),
        };
        tokens.extend(kind.map(|kind| Token { kind, line }));
        line += rest[..length].iter().filter(|c| **c == '\n').count();
        at += length;
    }
    tokens
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted(rest: &[char], prefix: usize) -> (usize, Option<Kind>) {
    let mut at = prefix + 1;
    while at < rest.len() && rest[at] != '"' {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    let end = at.min(rest.len());
    ((end + 1).min(rest.len()), Some(Kind::Text(rest[prefix + 1..end].iter().collect())))
}

/// `r"…"`, `br#"…"#` and the like; also tells whether it is one.
fn raw_string(rest: &[char]) -> Option<(usize, String)> {
    let letters = rest.iter().take_while(|c| matches!(c, 'r' | 'b' | 'c')).count();
    if !rest[..letters].contains(&'r') {
        return None;
    }
    let hashes = rest[letters..].iter().take_while(|c| **c == '#').count();
    let begin = letters + hashes + 1;
    if rest.get(begin - 1) != Some(&'"') {
        return None;
    }
    let closing: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let length = rest[begin..].windows(closing.len()).position(|window| window == closing)?;
    Some((begin + length + closing.len(), rest[begin..begin + length].iter().collect()))
}

fn character_or_lifetime(rest: &[char]) -> (usize, Option<Kind>) {
    match rest {
        ['\'', '\\', _, tail @ ..] => {
            let length = tail.iter().position(|c| *c == '\'').unwrap_or(tail.len());
            (4 + length, Some(Kind::Text(rest[1..3 + length].iter().collect())))
        }
        ['\'', c, '\'', ..] => (3, Some(Kind::Text(c.to_string()))),
        _ => {
            let length = rest[1..].iter().take_while(|c| c.is_alphanumeric() || **c == '_').count();
            (1 + length, Some(Kind::Word(rest[..1 + length].iter().collect())))
        }
    }
}

/// The place of each token among modules: for each, the names of the inline modules around it.
fn inline_modules(tokens: &[Token]) -> Vec<Vec<String>> {
    let mut open: Vec<(String, usize)> = Vec::new();
    let mut depth = 0;
    let mut coming = None;
    tokens
        .iter()
        .enumerate()
        .map(|(i, token)| {
            match &token.kind {
                Kind::Word(w) if w == "mod" => {
                    if let (Some(Kind::Word(name)), Some(Kind::Sign('{'))) =
                        (tokens.get(i + 1).map(|t| &t.kind), tokens.get(i + 2).map(|t| &t.kind))
                    {
                        coming = Some(name.clone());
                    }
                }
                Kind::Sign('{') => {
                    depth += 1;
                    if let Some(name) = coming.take() {
                        open.push((name, depth));
                    }
                }
                Kind::Sign('}') => {
                    open.pop_if(|(_, at)| *at == depth);
                    depth -= 1;
                }
                _ => {}
            }
            open.iter().map(|(name, _)| name.clone()).collect()
        })
        .collect()
}

/// The files that `file` makes its modules by `#[path = "…"]`, with the modules that they are.
pub(super) fn placed_modules(file: &File) -> Vec<(String, Vec<String>)> {
    let tokens = file.tokens();
    let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut found = Vec::new();
    for (i, token) in tokens.iter().enumerate() {
        let Kind::Text(path) = &token.kind else { continue };
        if i < 2 || !tokens[i - 2].kind.is_word("path") || tokens[i - 1].kind != Kind::Sign('=') {
            continue;
        }
        let mut rest = tokens[i..].iter().skip_while(|t| !t.kind.is_word("mod")).skip(1);
        if let Some(Kind::Word(name)) = rest.next().map(|t| &t.kind) {
            let module = file.module.iter().cloned().chain([name.clone()]).collect();
            found.push((format!("{folder}/{path}"), module));
        }
    }
    found
}

/// Whether each token stands in a module that is only there for tests, by its name: `tests`, `testing`.
pub(super) fn in_test_module(tokens: &[Token]) -> Vec<bool> {
    inline_modules(tokens).into_iter().map(|modules| modules.iter().any(|name| is_for_tests(name))).collect()
}

/// Whether a module of that name is only there for tests.
pub(super) fn is_for_tests(name: &str) -> bool {
    matches!(name, "tests" | "testing") || name.ends_with("_tests")
}

/// All paths that begin with `crate`, `self` or `super`, in `use` declarations and anywhere else, of a file that is `module`.
pub(super) fn paths(tokens: &[Token], module: &[String]) -> Vec<Path> {
    let around = inline_modules(tokens);
    let mut found = Vec::new();
    for (i, token) in tokens.iter().enumerate() {
        let begins = ["crate", "self", "super"].iter().any(|word| token.kind.is_word(word));
        let follows = i > 0 && tokens[i - 1].kind == Kind::PathSep;
        if !begins || follows || tokens.get(i + 1).is_none_or(|t| t.kind != Kind::PathSep) {
            continue;
        }
        let here: Vec<String> = module.iter().chain(&around[i]).cloned().collect();
        let mut trees = Vec::new();
        tree(tokens, i, &mut Vec::new(), &mut trees);
        found.extend(
            trees.into_iter().map(|path| Path { segments: from_root(&path, &here), line: token.line }),
        );
    }
    found
}

/// All other paths, as they are written, with their lines.
pub(super) fn foreign_paths(tokens: &[Token]) -> Vec<(Vec<String>, usize)> {
    let mut found = Vec::new();
    for (i, token) in tokens.iter().enumerate() {
        let Kind::Word(first) = &token.kind else { continue };
        let follows = i > 0 && tokens[i - 1].kind == Kind::PathSep;
        let own = matches!(first.as_str(), "crate" | "self" | "super");
        if own || follows || tokens.get(i + 1).is_none_or(|t| t.kind != Kind::PathSep) {
            continue;
        }
        let mut trees = Vec::new();
        tree(tokens, i, &mut Vec::new(), &mut trees);
        found.extend(trees.into_iter().map(|path| (path, token.line)));
    }
    found
}

/// Reads the path or tree of paths at `at`, with `prefix` before it; returns where it ends.
fn tree(tokens: &[Token], mut at: usize, prefix: &mut Vec<String>, found: &mut Vec<Vec<String>>) -> usize {
    let depth = prefix.len();
    loop {
        match tokens.get(at).map(|t| &t.kind) {
            Some(Kind::Word(word)) => {
                prefix.push(word.clone());
                at += 1;
            }
            Some(Kind::Sign('{')) => {
                at += 1;
                while tokens.get(at).is_some_and(|t| t.kind != Kind::Sign('}')) {
                    let end = tree(tokens, at, prefix, found);
                    at = end.max(at + 1);
                }
                prefix.truncate(depth);
                return at + 1;
            }
            _ => break,
        }
        if tokens.get(at).is_none_or(|t| t.kind != Kind::PathSep) {
            break;
        }
        at += 1;
    }
    if prefix.len() > depth {
        found.push(prefix.clone());
    }
    prefix.truncate(depth);
    if tokens.get(at).is_some_and(|t| t.kind.is_word("as")) { at + 2 } else { at }
}

/// `path` as seen from the crate's root, for one that stands in `module`.
fn from_root(path: &[String], module: &[String]) -> Vec<String> {
    let mut base = module.to_vec();
    let mut rest = path;
    while let [first, tail @ ..] = rest {
        match first.as_str() {
            "crate" => base.clear(),
            "self" => {}
            "super" => drop(base.pop()),
            _ => break,
        }
        rest = tail;
    }
    base.extend(rest.iter().cloned());
    base
}

#[test]
fn comments_and_texts_are_told_from_code() {
    let source = r###"
        // use crate::a;
        /* use crate::b; /* nested */ use crate::c; */
        let x = "use crate::d; \" {"; let y = r#"use crate::e "{"#; let z = b"{"; let c = '{'; let q = '\''; let u = '\u{7b}';
        fn f<'a>(x: &'a str) { crate::g::h(x) }
    "###;
    let found: Vec<String> = paths(&tokens(source), &[]).iter().map(Path::to_string).collect();
    assert_eq!(found, ["g::h"]);
}

#[test]
fn trees_of_paths_are_taken_apart() {
    let source = "
        use crate::{a::{self, b as c}, d as _};
        use super::{e, f::*};
        mod tests { use super::g; use super::super::h; fn x() { crate::i::j() } }
        use self::k;
    ";
    let module = ["m".to_owned(), "n".to_owned()];
    let found: Vec<String> = paths(&tokens(source), &module).iter().map(Path::to_string).collect();
    assert_eq!(found, ["a::self", "a::b", "d", "m::e", "m::f", "m::n::g", "m::h", "i::j", "m::n::k"]);
}
