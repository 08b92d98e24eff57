//! Patterns: the `regex` crate's, its errors in the words of Go where Go has some.

use regex::Regex;

/// Compiles a pattern.
///
/// # Errors
/// `error parsing regexp: WHAT: `PLACE`` as Go says it.
pub fn compile(pattern: &str) -> Result<Regex, String> {
    Regex::new(pattern).map_err(|error| {
        let (what, place) = match &error {
            regex::Error::Syntax(shown) => explain(pattern, shown),
            regex::Error::CompiledTooBig(_) => ("expression too large".to_owned(), pattern),
            _ => (error.to_string(), pattern),
        };
        format!("error parsing regexp: {what}: `{place}`")
    })
}

/// Turns the crate's drawing of an error (the pattern, a line with carets below it, `error: …`) into what is wrong and where.
fn explain<'a>(pattern: &'a str, shown: &str) -> (String, &'a str) {
    let why = shown.lines().rev().find_map(|line| line.strip_prefix("error: ")).unwrap_or("invalid pattern");
    let marked = marked(pattern, shown);
    let from_mark = marked.as_ref().map_or(pattern, |range| &pattern[range.start..]);
    let mark = marked.map_or(pattern, |range| &pattern[range]);
    match why {
        "unclosed character class" => ("missing closing ]".to_owned(), from_mark),
        "unclosed group" => ("missing closing )".to_owned(), pattern),
        "unopened group" => ("unexpected )".to_owned(), pattern),
        "repetition operator missing expression" => {
            ("missing argument to repetition operator".to_owned(), mark)
        }
        "unrecognized escape sequence" => ("invalid escape sequence".to_owned(), mark),
        "incomplete escape sequence, reached end of pattern prematurely" => {
            ("trailing backslash at end of expression".to_owned(), "")
        }
        other if other.starts_with("look-around") => ("invalid or unsupported Perl syntax".to_owned(), mark),
        other => (other.to_owned(), mark),
    }
}

/// The part of the pattern above the carets, as byte offsets; `None` if the drawing is not of one line.
fn marked(pattern: &str, shown: &str) -> Option<std::ops::Range<usize>> {
    const INDENT: usize = 4;
    let mut lines = shown.lines().skip_while(|line| line.get(INDENT..) != Some(pattern)).skip(1);
    let carets = lines.next()?;
    let (before, from) = carets.split_at(carets.find('^')?);
    let offset =
        |characters: usize| pattern.char_indices().map(|(at, _)| at).chain([pattern.len()]).nth(characters);
    let start = before.chars().count().checked_sub(INDENT)?;
    let length = from.chars().take_while(|c| *c == '^').count();
    Some(offset(start)?..offset(start + length).unwrap_or(pattern.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_in_the_words_of_go() {
        let check = |pattern: &str, want: &str| {
            assert_eq!(compile(pattern).unwrap_err(), format!("error parsing regexp: {want}"), "{pattern}");
        };
        check("[", "missing closing ]: `[`");
        check("ab[c", "missing closing ]: `[c`");
        check("a(b", "missing closing ): `a(b`");
        check("())", "unexpected ): `())`");
        check("*a", "missing argument to repetition operator: `*`");
        check(r"ä\yb", r"invalid escape sequence: `\y`");
        check("a\\", "trailing backslash at end of expression: ``");
        check("a(?=b)", "invalid or unsupported Perl syntax: `(?=`");
        assert!(compile("a\n[").unwrap_err().starts_with("error parsing regexp: missing closing ]: `"));
        assert!(compile(&"\\pL{1000}".repeat(100)).unwrap_err().contains("expression too large"));
        assert!(compile(".* i/o timeout$").is_ok());
    }
}
