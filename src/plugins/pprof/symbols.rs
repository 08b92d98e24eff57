//! The names of the functions that addresses of this process lie in. The files' tables are read for a moment and are gone afterwards.

use std::collections::BTreeMap;
use std::fs::File;

use super::elf::Elf;
use super::mappings::Mapping;

/// What is known of a mapping's file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Source {
    /// The build ID in hexadecimal digits, by which files with more about the program are found; empty if there is none.
    pub(super) build_id: String,
    /// Whether the file has names of functions.
    pub(super) has_symbols: bool,
}

/// What a function is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// As Rust's programmers write it.
    pub(super) readable: String,
    /// As the file has it. Where the two are the same, `pprof` takes the first for C++, and leaves out what stands between `<` and `>`.
    pub(super) symbol: String,
}

/// What the file of `mapping` says of itself.
pub(super) fn source(mapping: &Mapping) -> Source {
    let read = |path| {
        let file = File::open(path).ok()?;
        let elf = Elf::open(&file)?;
        Some(Source { build_id: elf.build_id().unwrap_or_default(), has_symbols: elf.has_symbols() })
    };
    mapping.file().and_then(read).unwrap_or_default()
}

/// The names of functions by the address; for those of `addresses` for which one is known.
pub(super) fn names(mappings: &[Mapping], addresses: impl IntoIterator<Item = u64>) -> BTreeMap<u64, Name> {
    let mut wanted: Vec<u64> = addresses.into_iter().collect();
    wanted.sort_unstable();
    wanted.dedup();
    let mut names = BTreeMap::new();
    for mapping in mappings {
        let first = wanted.partition_point(|address| *address < mapping.memory.start);
        let end = wanted.partition_point(|address| *address < mapping.memory.end);
        let here = &wanted[first..end.max(first)];
        if !here.is_empty() {
            names.extend(of_mapping(mapping, here).unwrap_or_default());
        }
    }
    names
}

fn of_mapping(mapping: &Mapping, addresses: &[u64]) -> Option<Vec<(u64, Name)>> {
    let Some(path) = mapping.file() else {
        // The kernel's, as `[vdso]`: that is as good as a name.
        let named = !mapping.path.is_empty();
        return named
            .then(|| addresses.iter().map(|address| (*address, name(mapping.path.clone()))).collect());
    };
    let file = File::open(path).ok()?;
    let elf = Elf::open(&file)?;
    // Where the file wants to be, wherever the kernel has put it.
    let in_file = |address: u64| elf.address((address - mapping.memory.start).checked_add(mapping.offset)?);
    let (here, there): (Vec<u64>, Vec<u64>) =
        addresses.iter().filter_map(|address| Some((*address, in_file(*address)?))).unzip();
    // One segment of the file, so in the same order.
    let functions = there.is_sorted().then(|| elf.functions(&there))?;
    let named = here.into_iter().zip(functions);
    Some(named.filter_map(|(address, symbol)| Some((address, name(symbol?)))).collect())
}

fn name(symbol: String) -> Name {
    // Without what the compiler adds to tell versions apart.
    Name { readable: format!("{:#}", rustc_demangle::demangle(&symbol)), symbol }
}

#[cfg(test)]
mod tests {
    use super::super::mappings;
    use super::*;

    #[test]
    fn names_are_those_of_the_source() {
        let check = |symbol: &str, want: &str| {
            let want = Name { readable: want.to_owned(), symbol: symbol.to_owned() };
            assert_eq!(name(symbol.to_owned()), want);
        };
        check("_ZN7waypost6server6worker3run17h0123456789abcdefE", "waypost::server::worker::run");
        check("recvmmsg", "recvmmsg");
        check("", "");
    }

    #[test]
    fn this_function_has_its_name() {
        let here = this_function_has_its_name as fn() as usize as u64;
        let mappings = mappings::of_process();
        let names = names(&mappings, [here + 1, here, 0, u64::MAX]);
        let want = format!("{}::this_function_has_its_name", module_path!());
        let found: Vec<_> = names.iter().map(|(address, name)| (*address, name.readable.as_str())).collect();
        assert_eq!(found, [(here, want.as_str()), (here + 1, want.as_str())]);
        assert!(source(&mappings[0]).has_symbols);
    }
}
