//! The files a configuration was read from, and places inside them.

use std::fmt;

/// One of the files of a [`SourceMap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(u32);

impl FileId {
    /// The first file of every map: the one named on the command line.
    pub const MAIN: Self = Self(0);
}

/// A stretch of one line of one file: where a word stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// Line, counted from 1.
    pub line: u32,
    /// Column of the first character, counted in characters from 1.
    pub column: u32,
    /// Number of characters; a stretch that goes over several lines ends, for a span, with its first line.
    pub length: u32,
}

impl Span {
    /// The first character of a file, for errors that concern all of it.
    pub const fn start_of(file: FileId) -> Self {
        Self { file, line: 1, column: 1, length: 0 }
    }

    /// The part of this span that begins `skip` characters into it and is `length` long, as far as it exists.
    pub fn part(self, skip: usize, length: usize) -> Self {
        let skip = u32::try_from(skip).unwrap_or(u32::MAX).min(self.length);
        let length = u32::try_from(length).unwrap_or(u32::MAX).min(self.length - skip);
        Self { column: self.column.saturating_add(skip), length, ..self }
    }
}

impl Default for Span {
    fn default() -> Self {
        Self::start_of(FileId::MAIN)
    }
}

/// The name and text of one file.
#[derive(Clone, Debug)]
struct Source {
    name: String,
    text: String,
}

/// Names and texts of every file read for one configuration, so that an error can show the line it is about.
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    files: Vec<Source>,
}

impl SourceMap {
    /// Keeps a file; `name` is what messages call it.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> FileId {
        let id = u32::try_from(self.files.len()).unwrap_or(u32::MAX);
        self.files.push(Source { name: name.into(), text: text.into() });
        FileId(id)
    }

    /// What messages call the file; `?` for an id of another map.
    pub fn name(&self, file: FileId) -> &str {
        self.get(file).map_or("?", |source| &source.name)
    }

    /// The text of the file; empty for an id of another map.
    pub fn text(&self, file: FileId) -> &str {
        self.get(file).map_or("", |source| &source.text)
    }

    /// One line of the file without its line ending, `line` counted from 1.
    pub fn line(&self, file: FileId, line: u32) -> Option<&str> {
        let index = usize::try_from(line.checked_sub(1)?).ok()?;
        let text = self.text(file).split('\n').nth(index)?;
        Some(text.strip_suffix('\r').unwrap_or(text))
    }

    /// The names of all files, the main one first, each once.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|source| source.name.as_str())
    }

    /// `FILE:LINE:COLUMN` of the span's first character.
    pub fn place(&self, span: Span) -> impl fmt::Display + '_ {
        struct Place<'a>(&'a SourceMap, Span);
        impl fmt::Display for Place<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}:{}:{}", self.0.name(self.1.file), self.1.line, self.1.column)
            }
        }
        Place(self, span)
    }

    fn get(&self, file: FileId) -> Option<&Source> {
        self.files.get(usize::try_from(file.0).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_by_its_number_without_its_ending() {
        let mut map = SourceMap::default();
        let file = map.add("Corefile", "a\r\nb\n");
        assert_eq!(map.line(file, 1), Some("a"));
        assert_eq!(map.line(file, 2), Some("b"));
        assert_eq!(map.line(file, 3), Some(""));
        assert_eq!(map.line(file, 4), None);
        assert_eq!(map.line(file, 0), None);
        assert_eq!(map.name(FileId(7)), "?");
    }

    #[test]
    fn a_part_stays_inside_its_span() {
        let span = Span { file: FileId::MAIN, line: 1, column: 5, length: 4 };
        assert_eq!(span.part(1, 2), Span { column: 6, length: 2, ..span });
        assert_eq!(span.part(3, 9), Span { column: 8, length: 1, ..span });
        assert_eq!(span.part(9, 9), Span { column: 9, length: 0, ..span });
    }
}
