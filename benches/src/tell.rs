//! How a measuring program tells `cargo xtask bench` what it measured: one JSON object on each line of its output.

use serde_json::{Map, Value, json};

/// Absolute figures of the sides of a comparison, by name with unit.
pub type Sides<'a> = &'a [(&'a str, f64)];

/// One run of a row.
///
/// * `value`: the figure that is judged, usually a ratio of two sides of the same run.
pub fn run(row: &str, value: f64, sides: Sides<'_>) {
    let sides: Map<String, Value> =
        sides.iter().map(|(name, figure)| ((*name).to_owned(), json!(figure))).collect();
    println!("{}", json!({ "row": row, "value": value, "sides": sides }));
}

/// A row that could not be measured.
pub fn missing(row: &str, why: &str) {
    println!("{}", json!({ "row": row, "missing": why }));
}

/// What is being done, for whoever waits.
pub fn progress(what: &str) {
    eprintln!("      {what}");
}

/// Something that a reader of the figures needs to know.
pub fn fact(name: &str, value: &str) {
    println!("{}", json!({ "fact": name, "value": value }));
}
