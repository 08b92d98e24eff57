//! As much of ELF, the form of Linux's programs, as profiles need: where its parts are in memory, its build ID, and the names of its
//! functions. All is read where it is, nothing is kept, and no number in a file is believed.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// A file that is read in places.
pub(super) trait ReadAt {
    /// Fills `into` from `offset` on; `None` if that much is not there.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> Option<()>;
}

impl ReadAt for File {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> Option<()> {
        self.read_exact_at(into, offset).ok()
    }
}

impl ReadAt for [u8] {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> Option<()> {
        let begin = usize::try_from(offset).ok()?;
        into.copy_from_slice(self.get(begin..begin.checked_add(into.len())?)?);
        Some(())
    }
}

/// A program or a library of 64 bits, little endian.
pub(super) struct Elf<'a, R: ?Sized> {
    file: &'a R,
    segments: Vec<Segment>,
    symbols: Option<Symbols>,
}

/// What is to be loaded (`PT_LOAD`), or notes (`PT_NOTE`).
struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    size: u64,
    align: u64,
}

/// The table of symbols, and that of their names.
#[derive(Clone, Copy)]
struct Symbols {
    offset: u64,
    count: u64,
    names: u64,
    names_size: u64,
}

/// A function that an address lies in.
#[derive(Clone)]
struct Function {
    begin: u64,
    name: u64,
}

impl<'a, R: ReadAt + ?Sized> Elf<'a, R> {
    /// `None` if `file` is something else, or is damaged.
    pub(super) fn open(file: &'a R) -> Option<Self> {
        let mut head = [0; HEAD_BYTES];
        file.read_at(0, &mut head)?;
        // 64 bits, little endian, version 1.
        if !head.starts_with(b"\x7fELF\x02\x01\x01") {
            return None;
        }
        let mut segments = Vec::new();
        let (count, size) = (u16_at(&head, 56), u16_at(&head, 54));
        for i in 0..u64::from(count.min(SEGMENTS_MAX)) {
            let mut entry = [0; 56];
            file.read_at(u64_at(&head, 32).checked_add(i * u64::from(size))?, &mut entry)?;
            segments.push(Segment {
                kind: u32_at(&entry, 0),
                offset: u64_at(&entry, 8),
                address: u64_at(&entry, 16),
                size: u64_at(&entry, 32),
                align: u64_at(&entry, 48),
            });
        }
        let symbols = symbols(file, &head);
        Some(Self { file, segments, symbols })
    }

    /// The address that the byte at `offset` of the file has where the file says that it wants to be loaded: symbols are told by these.
    pub(super) fn address(&self, offset: u64) -> Option<u64> {
        self.segments.iter().filter(|segment| segment.kind == LOAD).find_map(|segment| {
            let inside = offset.checked_sub(segment.offset).filter(|inside| *inside < segment.size)?;
            segment.address.checked_add(inside)
        })
    }

    /// The build ID in hexadecimal digits.
    pub(super) fn build_id(&self) -> Option<String> {
        self.segments.iter().filter(|segment| segment.kind == NOTE).find_map(|segment| {
            let mut notes = vec![0; usize::try_from(segment.size).ok()?.min(NOTES_BYTES_MAX)];
            self.file.read_at(segment.offset, &mut notes)?;
            build_id(&notes, if segment.align == 8 { 8 } else { 4 })
        })
    }

    /// Whether it has names of functions.
    pub(super) const fn has_symbols(&self) -> bool {
        self.symbols.is_some()
    }

    /// The names of the functions that `addresses` lie in, which are as [`Self::address`] has them, in ascending order.
    pub(super) fn functions(&self, addresses: &[u64]) -> Vec<Option<String>> {
        let mut found: Vec<Option<Function>> = vec![None; addresses.len()];
        let Some(symbols) = self.symbols else { return vec![None; addresses.len()] };
        let mut chunk = vec![0; CHUNK_SYMBOLS * SYMBOL_BYTES];
        let mut done = 0;
        while done < symbols.count {
            let now = (symbols.count - done).min(CHUNK_SYMBOLS as u64);
            let bytes = &mut chunk[..now as usize * SYMBOL_BYTES];
            if self.file.read_at(symbols.offset + done * SYMBOL_BYTES as u64, bytes).is_none() {
                break;
            }
            for symbol in bytes.chunks_exact(SYMBOL_BYTES) {
                meet(symbol, addresses, &mut found);
            }
            done += now;
        }
        found.into_iter().map(|function| self.name(symbols, function?.name)).collect()
    }

    fn name(&self, symbols: Symbols, at: u64) -> Option<String> {
        let room = symbols.names_size.checked_sub(at)?.min(NAME_BYTES_MAX);
        let mut bytes = vec![0; room as usize];
        self.file.read_at(symbols.names.checked_add(at)?, &mut bytes)?;
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        let name = String::from_utf8_lossy(&bytes[..end]);
        (!name.is_empty()).then(|| name.into_owned())
    }
}

/// Keeps the function `symbol` for those of `addresses` that lie in it, unless a smaller one was found.
fn meet(symbol: &[u8], addresses: &[u64], found: &mut [Option<Function>]) {
    let (kind, section) = (symbol[4] & 0xf, u16_at(symbol, 6));
    let (begin, size) = (u64_at(symbol, 8), u64_at(symbol, 16));
    if !matches!(kind, FUNCTION | INDIRECT_FUNCTION) || section == 0 {
        return;
    }
    let first = addresses.partition_point(|address| *address < begin);
    let inside = addresses[first..].iter().take_while(|address| **address - begin < size).count();
    for place in &mut found[first..first + inside] {
        if place.as_ref().is_none_or(|other| other.begin < begin) {
            *place = Some(Function { begin, name: u64::from(u32_at(symbol, 0)) });
        }
    }
}

/// The table of all symbols, or else that of those that other files use.
fn symbols<R: ReadAt + ?Sized>(file: &R, head: &[u8; HEAD_BYTES]) -> Option<Symbols> {
    let (table, size) = (u64_at(head, 40), u64::from(u16_at(head, 58)));
    let section = |i: u64| {
        let mut entry = [0; 64];
        file.read_at(table.checked_add(i * size)?, &mut entry)?;
        Some(entry)
    };
    let count = u64::from(u16_at(head, 60).min(SECTIONS_MAX));
    let wanted = |kind: u32| (0..count).filter_map(section).find(|entry| u32_at(entry, 4) == kind);
    let entry = wanted(SYMBOLS).or_else(|| wanted(DYNAMIC_SYMBOLS))?;
    let names = section(u64::from(u32_at(&entry, 40)))?;
    let (offset, bytes) = (u64_at(&entry, 24), u64_at(&entry, 32));
    offset.checked_add(bytes)?;
    let count = (bytes / SYMBOL_BYTES as u64).min(SYMBOLS_MAX);
    // The first stands for none; a static program whose names were taken away still has that one, in the table for others.
    (count > 1).then_some(())?;
    Some(Symbols { offset, count, names: u64_at(&names, 24), names_size: u64_at(&names, 32) })
}

/// The build ID among `notes`, whose parts begin at multiples of `align`.
fn build_id(mut notes: &[u8], align: usize) -> Option<String> {
    loop {
        let (head, rest) = notes.split_at_checked(12)?;
        let (name_len, len) = (u32_at(head, 0) as usize, u32_at(head, 4) as usize);
        // What stands behind the head is aligned as seen from the note's begin.
        let begin = (12 + name_len).next_multiple_of(align) - 12;
        let name = rest.get(..name_len)?;
        let description = rest.get(begin..begin.checked_add(len)?)?;
        if name == b"GNU\0" && u32_at(head, 8) == BUILD_ID && (1..=BUILD_ID_BYTES_MAX).contains(&len) {
            return Some(description.iter().map(|byte| format!("{byte:02x}")).collect());
        }
        notes = notes.get((12 + begin + len).next_multiple_of(align)..)?;
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u16::from_le_bytes(*word))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u32::from_le_bytes(*word))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u64::from_le_bytes(*word))
}

const LOAD: u32 = 1;
const NOTE: u32 = 4;
const SYMBOLS: u32 = 2;
const DYNAMIC_SYMBOLS: u32 = 11;
const FUNCTION: u8 = 2;
const INDIRECT_FUNCTION: u8 = 10;
const BUILD_ID: u32 = 3;

const HEAD_BYTES: usize = 64;
const SYMBOL_BYTES: usize = 24;
/// Symbols that are read in one call: 48 KiB.
const CHUNK_SYMBOLS: usize = 2048;

/// Far more than programs have: 10 or so.
const SEGMENTS_MAX: u16 = 128;
/// Programs have 40 or so.
const SECTIONS_MAX: u16 = 4096;
/// Two seconds of reading; waypost built for debugging has 100,000.
const SYMBOLS_MAX: u64 = 4 << 20;
/// A name that is longer is cut.
const NAME_BYTES_MAX: u64 = 4096;
const NOTES_BYTES_MAX: usize = 16 << 10;
const BUILD_ID_BYTES_MAX: usize = 64;

#[cfg(test)]
#[path = "elf_tests.rs"]
mod tests;
