//! The module as a file: what it exports, what it needs, how large it is.

use std::collections::BTreeSet;
use std::fs;

use pam_harness::site::module;

/// The strings in a table of NUL-terminated names that a little ELF reader finds in the dynamic section.
struct Dynamic {
    exported: BTreeSet<String>,
    needed: BTreeSet<String>,
    flags_1: u64,
}

const DT_NEEDED: u64 = 1;
const DT_FLAGS_1: u64 = 0x6fff_fffb;
const DF_1_NOW: u64 = 0x1;
const DF_1_NODELETE: u64 = 0x8;
const SHT_DYNAMIC: u32 = 6;
const SHT_DYNSYM: u32 = 11;

/// Reads a 64-bit little-endian ELF file (System V ABI, chapters 4 and 5).
fn read(bytes: &[u8]) -> Dynamic {
    let number = |at: usize, length: usize| {
        bytes[at..at + length].iter().rev().fold(0_u64, |value, byte| value << 8 | u64::from(*byte))
    };
    let at = |value: u64| usize::try_from(value).unwrap();
    assert_eq!(&bytes[..6], b"\x7fELF\x02\x01");
    let (sections, size, count) = (at(number(0x28, 8)), at(number(0x3a, 2)), at(number(0x3c, 2)));
    let header = |index: usize| sections + index * size;
    let find =
        |kind: u32| (0..count).map(header).find(|head| number(head + 4, 4) == u64::from(kind)).unwrap();
    let text = |head: usize, offset: u64| {
        let strings = header(at(number(head + 40, 4)));
        let start = at(number(strings + 24, 8) + offset);
        let length = bytes[start..].iter().position(|byte| *byte == 0).unwrap();
        String::from_utf8(bytes[start..start + length].to_vec()).unwrap()
    };
    let entries = |head: usize, size: usize| {
        let (start, length) = (at(number(head + 24, 8)), at(number(head + 32, 8)));
        (start..start + length).step_by(size)
    };
    let (symbols, dynamic) = (find(SHT_DYNSYM), find(SHT_DYNAMIC));
    let is_defined = |entry: &usize| number(entry + 6, 2) != 0;
    let tag = |entry: usize| (number(entry, 8), number(entry + 8, 8));
    Dynamic {
        exported: entries(symbols, 24)
            .filter(is_defined)
            .map(|entry| text(symbols, number(entry, 4)))
            .collect(),
        needed: entries(dynamic, 16)
            .map(tag)
            .filter(|(tag, _)| *tag == DT_NEEDED)
            .map(|(_, name)| text(dynamic, name))
            .collect(),
        flags_1: entries(dynamic, 16)
            .map(tag)
            .find(|(tag, _)| *tag == DT_FLAGS_1)
            .map_or(0, |(_, flags)| flags),
    }
}

#[test]
fn the_module_exports_the_six_entry_points_and_nothing_else() {
    let names = ["acct_mgmt", "authenticate", "chauthtok", "close_session", "open_session", "setcred"];
    let expected = names.map(|name| format!("pam_sm_{name}")).into();
    assert_eq!(read(&fs::read(module()).unwrap()).exported, expected);
}

#[test]
fn the_module_needs_libpam_and_the_c_library_alone() {
    let needed = read(&fs::read(module()).unwrap()).needed;
    assert!(needed.contains("libpam.so.0") && needed.contains("libc.so.6"), "{needed:?}");
    let allowed = ["libpam.so.0", "libc.so.6", "libgcc_s.so.1"];
    let other: Vec<_> = needed
        .iter()
        .filter(|name| !allowed.contains(&name.as_str()) && !name.starts_with("ld-linux"))
        .collect();
    assert!(other.is_empty(), "{other:?}");
}

// covers: E15
#[test]
fn the_module_stays_loaded_and_is_bound_at_once() {
    let flags = read(&fs::read(module()).unwrap()).flags_1;
    assert_eq!(flags & (DF_1_NODELETE | DF_1_NOW), DF_1_NODELETE | DF_1_NOW);
}

#[test]
fn the_released_module_is_small_and_cannot_be_made_to_panic() {
    let file = module();
    let bytes = fs::read(&file).unwrap();
    let contains = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    assert!(!contains(b"POSTERN_FAULT"));
    if file.components().any(|part| part.as_os_str() == "release") {
        // Every login maps it: docs/decisions/0030.
        assert!(bytes.len() < 640 * 1024, "{} bytes", bytes.len());
    }
}
