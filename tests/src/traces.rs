//! Looks for what should have left no trace, in the bytes of files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Files of a folder and of those in it, by their paths. They are read as bytes: among them are a data base and its log.
///
/// # Panics
/// When one cannot be read.
pub fn files(folder: &str) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    collect(Path::new(folder), &mut found);
    found
}

fn collect(folder: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => collect(&path, found),
            Ok(kind) if kind.is_file() => {
                found.insert(path.display().to_string(), fs::read(&path).expect("a file"));
            }
            _ => {}
        }
    }
}

/// Whether bytes hold a text, in any case.
pub fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text.as_bytes()))
}
