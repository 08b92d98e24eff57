//! The executable parts of this process's memory, and the files they are of.

use std::fs;
use std::ops::Range;

/// An executable part of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapping {
    /// Where it is.
    pub(super) memory: Range<u64>,
    /// Where it begins in its file.
    pub(super) offset: u64,
    /// The file, or what else it is, as `[vdso]`; empty for neither.
    pub(super) path: String,
    /// Whether the file is the program of this process.
    pub(super) is_program: bool,
}

impl Mapping {
    /// Where the file can be read: that of the program also after another one has taken its name.
    pub(super) fn file(&self) -> Option<&str> {
        if self.is_program {
            Some(PROGRAM)
        } else {
            Some(self.path.as_str()).filter(|path| path.starts_with('/'))
        }
    }
}

/// All executable parts of memory, those of the program first; none where the kernel does not show them.
pub(super) fn of_process() -> Vec<Mapping> {
    let program = fs::read_link(PROGRAM).unwrap_or_default();
    read(&fs::read_to_string(MAPS).unwrap_or_default(), &program.to_string_lossy())
}

/// Reads the kernel's list.
fn read(maps: &str, program: &str) -> Vec<Mapping> {
    let mut mappings: Vec<Mapping> =
        maps.lines().filter_map(|line| mapping(line, program)).take(MAPPINGS_MAX).collect();
    mappings.sort_by_key(|mapping| !mapping.is_program);
    mappings
}

/// A line as `7f0000000000-7f0000001000 r-xp 00002000 fe:00 1234   /usr/bin/a program`.
fn mapping(line: &str, program: &str) -> Option<Mapping> {
    let mut words = line.splitn(6, ' ');
    let (begin, end) = words.next()?.split_once('-')?;
    let rights = words.next()?;
    let offset = words.next()?;
    let path = words.nth(2).unwrap_or_default().trim_start();
    let number = |word| u64::from_str_radix(word, 16).ok();
    let memory = number(begin)?..number(end)?;
    (rights.contains('x') && !memory.is_empty()).then_some(())?;
    let is_program = !path.is_empty() && path == program;
    Some(Mapping { memory, offset: number(offset)?, path: path.to_owned(), is_program })
}

const MAPS: &str = "/proc/self/maps";
/// The program, whatever has become of its name.
const PROGRAM: &str = "/proc/self/exe";
/// More than a process without plugins of its own loads: the program, the C library, two of the kernel's.
const MAPPINGS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executable_parts_are_read_and_the_program_is_first() {
        let maps = "\
7f00-8000 r-xp 00002000 fe:00 12 /lib/libc.so.6
400000-401000 r--p 00000000 fe:00 13     /srv/a program (deleted)
401000-402000 r-xp 00001000 fe:00 13     /srv/a program (deleted)
500000-501000 rwxp 00000000 00:00 0
600000-601000 r-xp 00000000 00:00 0      [vdso]
700000-700000 r-xp 00000000 00:00 0
x-y r-xp
garbage
";
        let found = read(maps, "/srv/a program (deleted)");
        let shown: Vec<_> = found
            .iter()
            .map(|m| (m.memory.start, m.memory.end, m.offset, m.path.as_str(), m.file()))
            .collect();
        assert_eq!(
            shown,
            [
                (0x40_1000, 0x40_2000, 0x1000, "/srv/a program (deleted)", Some(PROGRAM)),
                (0x7f00, 0x8000, 0x2000, "/lib/libc.so.6", Some("/lib/libc.so.6")),
                (0x50_0000, 0x50_1000, 0, "", None),
                (0x60_0000, 0x60_1000, 0, "[vdso]", None),
            ]
        );
    }

    #[test]
    fn this_function_is_in_the_program() {
        let here = this_function_is_in_the_program as fn() as usize as u64;
        let first = of_process().into_iter().next().unwrap();
        assert!(first.is_program && first.memory.contains(&here));
    }
}
