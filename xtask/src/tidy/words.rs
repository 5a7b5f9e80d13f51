//! Words that must not appear: unfinished code, skipped tests, waits for time, files without a job.

use super::{Finding, Source};

/// Text that no Rust file may hold. Written in two parts, so that this file does not find itself.
const REFUSED: &[(&str, &str)] = &[
    (concat!("todo", "!("), "unfinished code"),
    (concat!("unimplemented", "!("), "unfinished code"),
    (concat!("dbg", "!("), "debug output"),
    (concat!("#[", "ignore"), "a skipped test proves nothing"),
];

/// What a test must not call: it waits for time instead of for an event.
const SLEEP: &str = concat!("sleep", "(");

/// File names that name no job. Source: the style guide, "Names".
const JOBLESS: &[&str] = &["utils", "util", "helpers", "helper", "common", "manager", "misc"];

/// Finds refused words and names in one file.
pub fn check(source: &Source) -> Vec<Finding> {
    if !source.is_rust() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for part in source.path.iter() {
        let name = part.to_string_lossy();
        let stem = name.strip_suffix(".rs").unwrap_or(&name);
        if JOBLESS.contains(&stem) {
            findings.push(source.finding(1, format!("`{stem}` names no job: name it after what it does")));
        }
    }
    let mut in_tests = is_test_file(source);
    for (index, line) in source.text.lines().enumerate() {
        in_tests |= line.trim_start().starts_with("#[cfg(test)]");
        for (word, why) in REFUSED {
            if line.contains(word) {
                findings.push(source.finding(index + 1, format!("`{word}`: {why}")));
            }
        }
        if in_tests && calls_sleep(line) {
            findings.push(source.finding(index + 1, format!("`{SLEEP}` in a test: wait for an event")));
        }
    }
    findings
}

fn is_test_file(source: &Source) -> bool {
    let named = |name: &str| source.path.iter().any(|part| part == name);
    named("tests") || source.path.ends_with("tests.rs")
}

/// Whether a line calls `sleep`, not merely a function whose name ends so.
fn calls_sleep(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    code.match_indices(SLEEP).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|it| it.is_alphanumeric() || it == '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str, problems: usize) {
        let found = super::check(&Source::sample(path, text));
        assert_eq!(found.len(), problems, "{path} {text:?} {found:?}");
    }

    #[test]
    fn unfinished_code_and_skipped_tests_are_found() {
        for (word, _) in REFUSED {
            check("verifierd/src/engine.rs", &format!("fn f() {{ {word} }}"), 1);
        }
    }

    #[test]
    fn a_sleep_in_a_test_is_found_and_elsewhere_left_to_clippy() {
        let call = format!("std::thread::{SLEEP}second)");
        check("tests/tests/login.rs", &call, 1);
        check("verifierd/src/engine/tests.rs", &call, 1);
        check("loadtest/src/main.rs", &call, 0);
        check("loadtest/src/main.rs", &format!("#[cfg(test)]\nmod tests {{\n{call}\n}}"), 1);
        check("tests/tests/login.rs", &format!("no_{call}").replace("std::thread::", ""), 0);
        check("tests/tests/login.rs", &format!("// {call}"), 0);
    }

    #[test]
    fn names_without_a_job_are_found() {
        check("verifierd/src/utils.rs", "", 1);
        check("verifierd/src/helpers/mod.rs", "", 1);
        check("verifierd/src/engine.rs", "", 0);
        check("docs/common.md", "", 0);
    }
}
