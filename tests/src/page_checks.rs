//! What is wrong with a page for whoever reads it: text that is cut off or faint, fields that nobody names, pages that
//! scroll sideways.
//!
//! Judges the page as the browser has laid it out, by `page_checks.js`; it says nothing about whether a page is beautiful.

use crate::browser::{Browser, Look};

const SCRIPT: &str = include_str!("page_checks.js");

/// Every look that a page is judged in.
pub const LOOKS: [(&str, Look); 5] = [
    ("desktop", Look::DESKTOP),
    ("desktop-dark", Look::DESKTOP.dark()),
    ("phone", Look::PHONE),
    ("phone-dark", Look::PHONE.dark()),
    ("narrow", Look::NARROW),
];

/// What is wrong with the page that the browser shows, as it looks now; empty where nothing is.
///
/// # Panics
/// When the page cannot be judged.
#[track_caller]
pub fn faults(browser: &Browser) -> Vec<String> {
    browser.script(SCRIPT, &[])
}

/// What is wrong with it in any of [`LOOKS`], with the name of the look.
///
/// # Panics
/// When the page cannot be judged.
#[track_caller]
pub fn faults_in_every_look(browser: &Browser) -> Vec<String> {
    let mut all = Vec::new();
    for (name, look) in LOOKS {
        browser.look(look);
        let place = browser.place();
        all.extend(faults(browser).into_iter().map(|fault| format!("{place} ({name}): {fault}")));
    }
    browser.look(Look::DESKTOP);
    all
}
