//! What the measuring programs told, gathered into figures: one line of JSON is one run, one reason, or one fact.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// One line of a measuring program.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Run { row: String, value: f64, sides: BTreeMap<String, f64> },
    Missing { row: String, missing: String },
    Fact { fact: String, value: String },
}

/// Everything that was told.
#[derive(Debug, Default)]
pub struct Runs {
    rows: BTreeMap<String, Vec<Run>>,
    missing: BTreeMap<String, String>,
    /// What a reader needs to know besides.
    pub facts: BTreeMap<String, String>,
}

#[derive(Debug)]
struct Run {
    value: f64,
    sides: BTreeMap<String, f64>,
}

/// Median and spread of several runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The one in the middle; between the two in the middle where their number is even.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// All of them, in the order in which they were measured.
    #[serde(default)]
    pub values: Vec<f64>,
}

/// What became of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It has figures.
    Measured {
        /// The figure that is judged.
        figure: Spread,
        /// Absolute figures of both sides.
        sides: BTreeMap<String, Spread>,
    },
    /// It has none, for this reason.
    Missing(String),
}

impl Runs {
    /// Takes over what a program printed.
    ///
    /// # Errors
    /// A line that is none of the three kinds.
    pub fn take(&mut self, printed: &str) -> Result<()> {
        for line in printed.lines().filter(|line| !line.trim().is_empty()) {
            match serde_json::from_str(line).with_context(|| format!("not a figure: {line}"))? {
                Line::Run { row, value, sides } => {
                    self.rows.entry(row).or_default().push(Run { value, sides })
                }
                Line::Missing { row, missing } => self.miss(&row, missing),
                Line::Fact { fact, value } => {
                    self.facts.insert(fact, value);
                }
            }
        }
        Ok(())
    }

    /// Notes why a row has no figure.
    pub fn miss(&mut self, row: &str, why: String) {
        self.missing.insert(row.to_owned(), why);
    }

    /// Whether anything was told of a row.
    pub fn knows(&self, row: &str) -> bool {
        self.rows.contains_key(row) || self.missing.contains_key(row)
    }

    /// What became of a row; one that nobody spoke of is missing too.
    pub fn outcome(&self, row: &str) -> Outcome {
        if let Some(why) = self.missing.get(row) {
            return Outcome::Missing(why.clone());
        }
        let runs = self.rows.get(row).map_or(&[][..], Vec::as_slice);
        let Some(figure) = Spread::of(runs.iter().map(|run| run.value)) else {
            return Outcome::Missing("its program told nothing of it".to_owned());
        };
        let names = runs.iter().flat_map(|run| run.sides.keys());
        let side = |name: &String| {
            let values = runs.iter().filter_map(|run| run.sides.get(name).copied());
            Spread::of(values).map(|spread| (name.clone(), spread))
        };
        Outcome::Measured { figure, sides: names.filter_map(side).collect() }
    }
}

impl Spread {
    /// `None` for no values.
    pub fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let values: Vec<f64> = values.collect();
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = match sorted.len() % 2 {
            1 => sorted[middle],
            _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
        };
        Some(Self { median, min, max, values })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(values: &[f64]) -> Option<(f64, f64, f64)> {
        Spread::of(values.iter().copied()).map(|spread| (spread.median, spread.min, spread.max))
    }

    #[test]
    fn the_median_is_the_middle_one_or_between_two() {
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Some((2.0, 1.0, 3.0)));
        assert_eq!(spread(&[4.0, 1.0, 2.0, 3.0]), Some((2.5, 1.0, 4.0)));
        assert_eq!(spread(&[]), None);
    }

    #[test]
    fn the_ratio_is_the_median_of_ratios_and_not_the_ratio_of_medians() {
        let mut runs = Runs::default();
        for (one, other) in [(1.0, 2.0), (9.0, 3.0), (4.0, 4.0)] {
            let line =
                format!(r#"{{"row":"r","value":{},"sides":{{"one":{one},"other":{other}}}}}"#, one / other);
            runs.take(&line).unwrap();
        }
        let Outcome::Measured { figure, sides } = runs.outcome("r") else { panic!("it was measured") };
        assert_eq!((figure.median, figure.min, figure.max), (1.0, 0.5, 3.0));
        assert_eq!(figure.values, [0.5, 3.0, 1.0]);
        assert_eq!((sides["one"].median, sides["other"].median), (4.0, 3.0));
    }

    #[test]
    fn a_row_without_figures_says_why() {
        let mut runs = Runs::default();
        runs.take("{\"row\":\"a\",\"missing\":\"no disk\"}\n\n{\"fact\":\"store\",\"value\":\"ext4\"}")
            .unwrap();
        assert_eq!(runs.outcome("a"), Outcome::Missing("no disk".to_owned()));
        assert!(matches!(runs.outcome("b"), Outcome::Missing(_)));
        assert_eq!(runs.facts["store"], "ext4");
        assert!(runs.take("Segmentation fault").is_err());
    }
}
