//! The table on the terminal, and the JSON that a page and later comparisons are made from.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use super::machine::Machine;
use super::rows::{ROWS, Row};
use super::runs::{Outcome, Runs, Spread};

/// What `--json` writes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Where it was measured.
    pub machine: Machine,
    /// What was measured.
    pub commit: String,
    /// Shorter runs than those of record.
    pub quick: bool,
    /// How many reports were made one.
    #[serde(default = "one")]
    pub reports: usize,
    /// What a reader needs to know besides.
    #[serde(default)]
    pub facts: BTreeMap<String, String>,
    /// In the order of the table.
    pub rows: Vec<Line>,
}

/// One row.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Line {
    /// As in the table.
    pub id: String,
    /// The middle of all runs; absent where there is none, as the next two.
    pub median: Option<f64>,
    /// The least.
    pub min: Option<f64>,
    /// The greatest.
    pub max: Option<f64>,
    /// How many there were.
    pub runs: usize,
    /// All of them.
    #[serde(default)]
    pub values: Vec<f64>,
    /// What must be reached, with the side from which.
    pub target: String,
    /// Whether the median does.
    pub met: bool,
    /// What was measured, where it differs from the report's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Why there is no figure; beside figures, why one of several reports has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
    /// Absolute figures of both sides.
    #[serde(default)]
    pub sides: BTreeMap<String, Spread>,
}

fn one() -> usize {
    1
}

impl Line {
    /// The same row of several reports as one: all runs count alike.
    fn of_all(row: &Row, lines: &[Self]) -> Self {
        let missing = lines.iter().find_map(|line| line.missing.clone());
        let Some(figure) = Spread::of(lines.iter().flat_map(|line| line.values.iter().copied())) else {
            let why = missing.unwrap_or_else(|| "its reports have no runs".to_owned());
            return Self::new(row, Outcome::Missing(why));
        };
        let names: BTreeSet<&String> = lines.iter().flat_map(|line| line.sides.keys()).collect();
        let side = |name: &String| {
            let values = lines.iter().filter_map(|line| line.sides.get(name)).flat_map(|side| &side.values);
            Spread::of(values.copied()).map(|spread| (name.clone(), spread))
        };
        let sides = names.into_iter().filter_map(side).collect();
        Self { missing, ..Self::new(row, Outcome::Measured { figure, sides }) }
    }

    fn new(row: &Row, outcome: Outcome) -> Self {
        let target = row.target.to_string();
        let empty = Self {
            id: row.id.to_owned(),
            median: None,
            min: None,
            max: None,
            runs: 0,
            values: Vec::new(),
            target,
            met: false,
            commit: None,
            missing: None,
            sides: BTreeMap::new(),
        };
        match outcome {
            Outcome::Missing(why) => Self { missing: Some(why), ..empty },
            Outcome::Measured { figure, sides } => Self {
                median: Some(figure.median),
                min: Some(figure.min),
                max: Some(figure.max),
                runs: figure.values.len(),
                values: figure.values,
                met: row.target.is_met_by(figure.median),
                sides,
                ..empty
            },
        }
    }
}

impl Report {
    /// Gathers what was told of the rows that were asked for.
    pub fn new(machine: Machine, commit: String, quick: bool, asked: &[&Row], runs: &Runs) -> Self {
        let rows = asked.iter().map(|row| Line::new(row, runs.outcome(row.id))).collect();
        Self { machine, commit, quick, facts: runs.facts.clone(), reports: 1, rows }
    }

    /// One report of all runs of several, with the rows that the table has now.
    ///
    /// # Errors
    /// When there is none, or they are of different machines.
    pub fn together(reports: &[Self]) -> Result<Self> {
        let first = reports.first().context("no report to make one of")?;
        for report in reports {
            ensure!(report.machine == first.machine, "{} is not {}", report.machine, first.machine);
        }
        let lines = |row: &'static Row| {
            let found = |report: &Self| report.rows.iter().find(|line| line.id == row.id).cloned();
            reports.iter().filter_map(found).collect::<Vec<_>>()
        };
        let rows = ROWS.iter().map(|row| (row, lines(row))).filter(|(_, lines)| !lines.is_empty());
        let mut commits: Vec<String> = Vec::new();
        for report in reports {
            if !commits.contains(&report.commit) {
                commits.push(report.commit.clone());
            }
        }
        Ok(Self {
            machine: first.machine.clone(),
            commit: commits.join(", "),
            quick: reports.iter().any(|report| report.quick),
            reports: reports.iter().map(|report| report.reports).sum(),
            facts: reports.iter().flat_map(|report| report.facts.clone()).collect(),
            rows: rows.map(|(row, lines)| Line::of_all(row, &lines)).collect(),
        })
    }

    /// Adds the rows of an older report of the same machine that this one does not have.
    #[must_use]
    pub fn completed_by(mut self, older: Self) -> Self {
        if older.machine != self.machine {
            return self;
        }
        for line in older.rows {
            if self.rows.iter().all(|own| own.id != line.id) {
                let commit = line.commit.clone().or_else(|| Some(older.commit.clone()));
                self.rows.push(Line { commit: commit.filter(|commit| *commit != self.commit), ..line });
            }
        }
        let place = |line: &Line| ROWS.iter().position(|row| row.id == line.id);
        self.rows.sort_by_key(place);
        for (name, value) in older.facts {
            self.facts.entry(name).or_insert(value);
        }
        self
    }

    /// Reads one that was written before.
    ///
    /// # Errors
    /// When there is none that can be read.
    pub fn read(file: &Path) -> Result<Self> {
        let bytes = fs::read(file).with_context(|| file.display().to_string())?;
        serde_json::from_slice(&bytes).with_context(|| format!("{} is no report", file.display()))
    }

    /// Writes it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, file: &Path) -> Result<()> {
        fs::write(file, serde_json::to_vec_pretty(self)?).with_context(|| file.display().to_string())
    }

    /// The rows that were measured and do not reach their target.
    pub fn missed(&self) -> Vec<&str> {
        let missed = |line: &&Line| line.median.is_some() && !line.met;
        self.rows.iter().filter(missed).map(|line| line.id.as_str()).collect()
    }

    /// The table, one line for each row.
    pub fn table(&self) -> String {
        let head = ("id", "median", "min", "max", "target", "met");
        let mut text =
            format!("{:<30} {:>9} {:>9} {:>9} {:>8}  {}\n", head.0, head.1, head.2, head.3, head.4, head.5);
        for line in &self.rows {
            let [median, min, max] = [line.median, line.min, line.max].map(figure);
            let met = match &line.missing {
                Some(why) if line.median.is_none() => format!("not measured: {why}"),
                _ => if line.met { "yes" } else { "no" }.to_owned(),
            };
            let row = format!("{:<30} {median:>9} {min:>9} {max:>9} {:>8}  {met}", line.id, line.target);
            text.push_str(row.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Three significant digits, or a dash.
fn figure(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), rounded)
}

/// Three significant digits; whole numbers from a hundred on, with commas between thousands.
pub fn rounded(value: f64) -> String {
    match value.abs() {
        size if size >= 99.95 => with_commas(value.round()),
        size if size >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn with_commas(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 { format!("-{text}") } else { text }
}

/// The row of the table with this id.
///
/// # Errors
/// When there is none; names those there are.
pub fn row_of(id: &str) -> Result<&'static Row> {
    let known = || ROWS.iter().map(|row| row.id).collect::<Vec<_>>().join(", ");
    ROWS.iter().find(|row| row.id == id).with_context(|| format!("there is no row {id}: {}", known()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(ids: &[&str], lines: &str) -> Report {
        let rows: Vec<&Row> = ids.iter().map(|id| row_of(id).unwrap()).collect();
        let mut runs = Runs::default();
        runs.take(lines).unwrap();
        Report::new(Machine::here(Path::new("/")), "abc".to_owned(), false, &rows, &runs)
    }

    const NAIVE: &str =
        r#"{"row":"engine_over_naive","value":3.25,"sides":{"engine, verifications/s":5800000}}"#;

    #[test]
    fn the_json_has_the_promised_fields_and_reads_back() {
        let report = report(&["engine_over_naive", "over_freeradius"], NAIVE);
        let json: serde_json::Value = serde_json::to_value(&report).unwrap();
        let row = &json["rows"][0];
        for field in ["id", "median", "min", "max", "runs", "target", "met", "sides"] {
            assert!(!row[field].is_null(), "{field}");
        }
        assert_eq!((row["median"].as_f64(), row["met"].as_bool()), (Some(3.25), Some(true)));
        assert!(json["rows"][1]["median"].is_null() && json["rows"][1]["missing"].is_string());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("figures.json");
        report.write(&file).unwrap();
        assert_eq!(serde_json::to_value(Report::read(&file).unwrap()).unwrap(), json);
    }

    #[test]
    fn all_runs_of_several_reports_count_alike() {
        let naive = |value: f64| {
            let line =
                format!(r#"{{"row":"engine_over_naive","value":{value},"sides":{{"naive":{value}}}}}"#);
            report(&["engine_over_naive"], &line)
        };
        let twice = Report::together(&[naive(3.0), naive(9.0)]).unwrap();
        let failed = report(&["engine_over_naive"], r#"{"row":"engine_over_naive","missing":"no memory"}"#);
        let mut all =
            Report::together(&[twice, Report { commit: "def".to_owned(), ..naive(1.0) }, failed]).unwrap();
        let row = all.rows.remove(0);
        assert_eq!((row.median, row.min, row.max, row.runs), (Some(3.0), Some(1.0), Some(9.0), 3));
        assert_eq!((row.met, row.missing.as_deref()), (true, Some("no memory")));
        assert_eq!((row.sides["naive"].median, all.reports, all.commit.as_str()), (3.0, 4, "abc, def"));
        let mut elsewhere = naive(1.0);
        elsewhere.machine.cores += 1;
        assert!(Report::together(&[naive(1.0), elsewhere]).is_err());
        assert!(Report::together(&[]).is_err());
    }

    #[test]
    fn the_table_has_one_line_for_each_row_and_says_what_is_missing() {
        let table = report(&["engine_over_naive", "over_freeradius"], NAIVE).table();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[1].ends_with(">= 2.5  yes") && lines[1].contains("3.25"), "{table}");
        assert!(lines[2].contains("not measured: "), "{table}");
    }

    #[test]
    fn rows_of_an_older_report_stay_with_their_commit() {
        let mut older = report(&["engine_over_naive", "over_freeradius"], NAIVE);
        older.commit = "old".to_owned();
        let newer = r#"{"row":"engine_over_floor","value":0.4,"sides":{}}"#;
        let both = report(&["engine_over_floor"], newer).completed_by(older);
        let ids: Vec<&str> = both.rows.iter().map(|line| line.id.as_str()).collect();
        assert_eq!(ids, ["engine_over_naive", "engine_over_floor", "over_freeradius"]);
        assert_eq!(both.rows[0].commit.as_deref(), Some("old"));
        assert_eq!(both.missed(), ["engine_over_floor"]);
    }

    #[test]
    fn figures_are_rounded_for_people() {
        let texts = [0.8512, 12.34, 99.99, 1234.5, 1_234_567.0, -1.5].map(rounded);
        assert_eq!(texts, ["0.85", "12.3", "100", "1,235", "1,234,567", "-1.50"]);
    }
}
