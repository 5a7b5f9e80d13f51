//! docs/doctor.md and the code name the same findings.

use super::*;

#[test]
fn the_document_explains_every_finding_and_no_other() {
    let document = include_str!("../../../../docs/doctor.md");
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut written: Vec<(&str, &str)> = rows
        .filter_map(|row| {
            let (name, rest) = row.split_once("` | ")?;
            let (level, _) = rest.split_once(" | ")?;
            Some((name, level))
        })
        .collect();
    let mut known: Vec<(&str, &str)> =
        Code::ALL.iter().map(|code| (code.name(), code.level().word())).collect();
    written.sort_unstable();
    known.sort_unstable();
    assert_eq!(written, known);
}
