//! Files stay readable: up to 500 lines, or a stated reason. Functions are clippy's `too_many_lines`.

use super::{Finding, Source};

/// Past this a file must be split or say why not. Source: the style guide, "Sizes".
const FILE_LINES_MAX: usize = 500;

/// A reason must stand this near to the top, so that a reader meets it first.
const HEAD_LINES: usize = 20;

/// The comment that gives a reason.
const REASON: &str = "// size: ";

/// Finds Rust files that are too long and give no reason.
pub fn check(source: &Source) -> Vec<Finding> {
    let lines = source.text.lines().count();
    let is_reason = |line: &str| line.strip_prefix(REASON).is_some_and(|reason| !reason.trim().is_empty());
    let has_reason = source.text.lines().take(HEAD_LINES).any(is_reason);
    if !source.is_rust() || lines <= FILE_LINES_MAX || has_reason {
        return Vec::new();
    }
    let problem =
        format!("{lines} lines, more than {FILE_LINES_MAX}: split it, or say `{REASON}<reason>` at its head");
    vec![source.finding(lines, problem)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str, problems: usize) {
        assert_eq!(super::check(&Source::sample(path, text)).len(), problems);
    }

    #[test]
    fn a_file_of_500_lines_passes_and_one_of_501_is_found() {
        check("a.rs", &"x\n".repeat(500), 0);
        check("a.rs", &"x\n".repeat(501), 1);
        check("a.md", &"x\n".repeat(501), 0);
    }

    #[test]
    fn a_long_file_with_a_reason_passes() {
        check("a.rs", &format!("//! Doc.\n// size: one table\n{}", "x\n".repeat(501)), 0);
    }

    #[test]
    fn an_empty_or_late_reason_does_not_count() {
        check("a.rs", &format!("// size: \n{}", "x\n".repeat(501)), 1);
        check("a.rs", &format!("{}// size: late\n", "x\n".repeat(501)), 1);
    }
}
