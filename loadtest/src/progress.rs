//! A bar while a run lasts; drawn on a terminal only.

use indicatif::{ProgressBar, ProgressStyle};

/// How often the bar of a timed run moves, in milliseconds.
pub const MOVE_PERIOD_MS: u64 = 200;

/// A bar that counts things.
pub fn count(total: u64, what: &'static str) -> ProgressBar {
    bar(total, "{bar:40} {pos}/{len} {msg}, {eta} left").with_message(what)
}

/// A bar that counts seconds.
pub fn seconds(total: u64) -> ProgressBar {
    bar(total, "{bar:40} {pos}/{len} s {msg}")
}

fn bar(total: u64, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).expect("a valid template");
    ProgressBar::new(total).with_style(style)
}
