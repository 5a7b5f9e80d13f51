//! docs/performance.md: made from a report, with what each row measures and both sides' absolute figures.

use std::fmt::Write as _;

use serde::Deserialize;

use super::report::{Line, Report, rounded};
use super::rows::ROWS;

/// What people wrote about rows: why one is not reached, what a profile shows.
const NOTES: &str = include_str!("notes.toml");

/// The notes, by row.
#[derive(Deserialize)]
struct Notes {
    #[serde(default)]
    general: Vec<String>,
    #[serde(default)]
    rows: std::collections::BTreeMap<String, String>,
}

/// The page.
pub fn page(report: &Report) -> String {
    let notes: Notes = toml::from_str(NOTES).expect("a test reads the notes");
    let mut text = String::from("# Performance\n\n");
    let how = if report.quick { " --quick" } else { "" };
    let times = match report.reports {
        1 => "once".to_owned(),
        times => format!("{times} times"),
    };
    let mut line = |words: &str| {
        text.push_str(words);
        text.push('\n');
    };
    line(&format!(
        "Measured by `cargo xtask bench{how} --peers --json FILE`, {times}; made of the files by\n\
         `cargo xtask bench --from FILE.. --markdown docs/performance.md`. Edit `xtask/src/bench/notes.toml` for its prose.\n"
    ));
    line(
        "Both sides of a ratio take turns, one pair of turns is a run, and the figure is the median of the runs' ratios:\n\
         what else a machine does weighs on both. Absolute figures hold for this machine only, where client and server\n\
         share the cores.\n",
    );
    line(&format!("Machine: {}. Commit: {}.", report.machine, report.commit));
    for (name, value) in &report.facts {
        line(&format!("{name}: {value}."));
    }
    for note in &notes.general {
        line(&format!("\n{}", note.trim()));
    }
    line(
        "\n| row | median | least | most | runs | target | met |\n| --- | --- | --- | --- | --- | --- | --- |",
    );
    for row in ROWS {
        let told = report.rows.iter().find(|line| line.id == row.id);
        line(&format!("| `{}` | {} | {} |", row.id, cells(told), row.target_and_met(told)));
    }
    for row in ROWS {
        let told = report.rows.iter().find(|line| line.id == row.id);
        text.push_str(&section(row.id, row.measures, told, notes.rows.get(row.id)));
    }
    text
}

impl super::rows::Row {
    fn target_and_met(&self, told: Option<&Line>) -> String {
        let met = match told {
            Some(line) if line.median.is_some() => {
                if line.met {
                    "yes"
                } else {
                    "no"
                }
            }
            _ => "-",
        };
        format!("{} | {met}", self.target)
    }
}

fn cells(told: Option<&Line>) -> String {
    let cell = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), rounded);
    match told {
        Some(line) => {
            let [median, min, max] = [line.median, line.min, line.max].map(cell);
            format!("{median} | {min} | {max} | {}", line.runs)
        }
        None => "- | - | - | 0".to_owned(),
    }
}

fn section(id: &str, measures: &str, told: Option<&Line>, note: Option<&String>) -> String {
    let mut text = format!("\n## `{id}`\n\n{measures}\n");
    // Writing to a string does not fail.
    let _ = match told {
        None => writeln!(text, "\nNot measured."),
        Some(Line { missing: Some(why), median: None, .. }) => writeln!(text, "\nNot measured: {why}."),
        Some(line) if line.sides.is_empty() => Ok(()),
        Some(line) => {
            text.push_str("\n| side | median | least | most |\n| --- | --- | --- | --- |\n");
            line.sides.iter().try_for_each(|(name, side)| {
                let [median, min, max] = [side.median, side.min, side.max].map(rounded);
                writeln!(text, "| {name} | {median} | {min} | {max} |")
            })
        }
    };
    if let Some(Line { missing: Some(why), median: Some(_), .. }) = told {
        let _ = writeln!(text, "\nOnce it could not be measured: {why}.");
    }
    if let Some(commit) = told.and_then(|line| line.commit.as_ref()) {
        let _ = writeln!(text, "\nMeasured at commit {commit}.");
    }
    if let Some(note) = note {
        let _ = writeln!(text, "\n{}", note.trim());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::machine::Machine;
    use crate::bench::report::row_of;
    use crate::bench::runs::Runs;

    #[test]
    fn a_page_names_every_row_and_shows_both_sides() {
        let mut runs = Runs::default();
        runs.take(
            r#"{"row":"engine_over_floor","value":0.61,"sides":{"engine, ns":250.0,"floor, ns":152.5}}"#,
        )
        .unwrap();
        runs.take(r#"{"row":"over_freeradius","missing":"freeradius is not installed"}"#).unwrap();
        let rows = [row_of("engine_over_floor").unwrap(), row_of("over_freeradius").unwrap()];
        let machine = Machine::here(std::path::Path::new("/"));
        let page = page(&Report::new(machine, "abc".to_owned(), false, &rows, &runs));
        for row in ROWS {
            assert!(page.contains(&format!("| `{}` |", row.id)), "{}", row.id);
            assert!(page.contains(&format!("## `{}`", row.id)), "{}", row.id);
        }
        assert!(page.contains("| `engine_over_floor` | 0.61 | 0.61 | 0.61 | 1 | >= 0.5 | yes |"), "{page}");
        assert!(page.contains("| floor, ns | 153 | 153 | 153 |"), "{page}");
        assert!(page.contains("Not measured: freeradius is not installed."), "{page}");
    }

    #[test]
    fn notes_are_about_rows_that_there_are() {
        let notes: Notes = toml::from_str(NOTES).unwrap();
        for id in notes.rows.keys() {
            assert!(row_of(id).is_ok(), "{id}");
        }
    }
}
