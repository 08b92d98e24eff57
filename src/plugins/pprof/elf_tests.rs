use super::*;

/// A small program: a head, two segments, a note, three sections, symbols `first` (0x1010, 16 bytes), `inner` (0x1018, 4 bytes), `datum`.
fn program() -> Vec<u8> {
    let mut file = vec![0; 0x400];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"\x7fELF\x02\x01\x01");
    put(32, &64_u64.to_le_bytes());
    put(40, &0x200_u64.to_le_bytes());
    put(54, &56_u16.to_le_bytes());
    put(56, &2_u16.to_le_bytes());
    put(58, &64_u16.to_le_bytes());
    put(60, &3_u16.to_le_bytes());
    // To be loaded: 0x100 bytes from 0x300 on, at 0x1000.
    for (at, value) in [(64, LOAD), (64 + 56, NOTE)] {
        put(at, &value.to_le_bytes());
    }
    for (at, value) in [(64 + 8, 0x300_u64), (64 + 16, 0x1000), (64 + 32, 0x100), (64 + 48, 0x1000)] {
        put(at, &value.to_le_bytes());
    }
    for (at, value) in [(120 + 8, 0x1c0_u64), (120 + 32, 20), (120 + 48, 4)] {
        put(at, &value.to_le_bytes());
    }
    put(0x1c0, b"\x04\0\0\0\x04\0\0\0\x03\0\0\0GNU\0\xc0\xff\xee\x01");
    // Sections: none, symbols (named by the third), names.
    put(0x240 + 4, &SYMBOLS.to_le_bytes());
    put(0x240 + 24, &0x300_u64.to_le_bytes());
    put(0x240 + 32, &(4 * 24_u64).to_le_bytes());
    put(0x240 + 40, &2_u32.to_le_bytes());
    put(0x280 + 24, &0x3a0_u64.to_le_bytes());
    put(0x280 + 32, &0x20_u64.to_le_bytes());
    for (i, (name, kind, begin, size)) in
        [(1_u32, FUNCTION, 0x1010_u64, 16_u64), (7, FUNCTION, 0x1018, 4), (13, 1, 0x1010, 64)]
            .iter()
            .enumerate()
    {
        let at = 0x300 + 24 * (i + 1);
        put(at, &name.to_le_bytes());
        put(at + 4, &[*kind, 0, 1, 0]);
        put(at + 8, &begin.to_le_bytes());
        put(at + 16, &size.to_le_bytes());
    }
    put(0x3a0, b"\0first\0inner\0datum\0");
    file
}

#[test]
fn a_program_tells_its_build_its_places_and_its_functions() {
    let file = program();
    let elf = Elf::open(file.as_slice()).unwrap();
    assert!(elf.has_symbols());
    assert_eq!(elf.build_id().as_deref(), Some("c0ffee01"));
    let places = [0x2ff, 0x300, 0x3ff, 0x400, u64::MAX].map(|offset| elf.address(offset));
    assert_eq!(places, [None, Some(0x1000), Some(0x10ff), None, None]);
    let names = elf.functions(&[0, 0x100f, 0x1010, 0x1017, 0x1018, 0x101b, 0x101c, 0x1020, u64::MAX]);
    let names: Vec<_> = names.iter().map(Option::as_deref).collect();
    let (first, inner) = (Some("first"), Some("inner"));
    assert_eq!(names, [None, None, first, first, inner, inner, first, None, None]);
}

#[test]
fn what_is_no_program_is_none() {
    for file in [&b""[..], b"\x7fELF", b"#!/bin/sh\n", &[0; 200]] {
        assert!(Elf::open(file).is_none());
    }
    let mut of_32_bits = program();
    of_32_bits[4] = 1;
    assert!(Elf::open(of_32_bits.as_slice()).is_none());
    // Without a table of symbols, or with one that has none.
    for (at, byte) in [(0x244, 0), (0x260, 24)] {
        let mut stripped = program();
        stripped[at] = byte;
        let elf = Elf::open(stripped.as_slice()).unwrap();
        assert!(!elf.has_symbols());
        assert_eq!(elf.functions(&[0x1010]), [None]);
    }
}

/// Reads all that there is to be read, whatever it says.
fn read(file: &[u8]) {
    if let Some(elf) = Elf::open(file) {
        let addresses = [0, 0x1010, 0x1018, 0x2000, u64::MAX / 2, u64::MAX];
        assert_eq!(elf.functions(&addresses).len(), addresses.len());
        let _ = (elf.build_id(), elf.has_symbols());
        assert!(addresses.iter().filter_map(|offset| elf.address(*offset)).count() <= addresses.len());
    }
}

#[test]
fn no_garbled_or_truncated_program_makes_it_fail() {
    let file = program();
    (0..file.len()).for_each(|len| read(&file[..len]));
    let mut random = 1_u64;
    let mut next = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        random >> 33
    };
    for _ in 0..20_000 {
        let mut garbled = file.clone();
        for _ in 0..next() % 6 + 1 {
            let at = next() as usize % garbled.len();
            match next() % 3 {
                0 => garbled[at] = next() as u8,
                1 => garbled[at] = 0xff,
                // A number as large, or as small, as it can be.
                _ => {
                    let at = at & !7;
                    let word = [u64::MAX, 1 << 63, 0, u64::MAX - 7, 0xffff_ffff][next() as usize % 5];
                    garbled[at..at + 8].copy_from_slice(&word.to_le_bytes());
                }
            }
        }
        read(&garbled);
    }
}
