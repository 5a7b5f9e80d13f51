//! `docs/features.md` names every row of the specification, and every test that it names exists and says so.
//!
//! A row is `| ID | what | state | test |`. The state is `done` or `not yet`. A test is written
//! `package: module::name` in a code span; several are divided by commas. The comment above the test's function
//! says `covers: ID`, where the ID may be one of several.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{Finding, Source};

/// Where the list stands.
const LIST: &str = "docs/features.md";

/// How many rows each section of the specification has.
const SECTIONS: &[(&str, usize)] = &[("A", 10), ("T", 10), ("E", 6), ("R", 11), ("N", 15), ("P", 17)];

/// A row of the list.
struct Row<'a> {
    id: &'a str,
    state: &'a str,
    tests: Vec<&'a str>,
    line: usize,
}

/// Finds rows that are missing, double or not proved.
///
/// * `packages`: name and folder of every package.
pub fn check(sources: &[Source], packages: &[(String, PathBuf)]) -> Vec<Finding> {
    let Some(list) = sources.iter().find(|source| source.path.ends_with(LIST)) else {
        return vec![Finding { place: LIST.to_owned(), problem: "is missing".to_owned() }];
    };
    let rows: Vec<Row<'_>> = rows(list);
    let mut findings = check_ids(list, &rows);
    for row in &rows {
        if !["done", "not yet"].contains(&row.state) {
            let problem = format!("{}: the state is `done` or `not yet`, not `{}`", row.id, row.state);
            findings.push(list.finding(row.line, problem));
        }
        if row.state == "done" && row.tests.is_empty() {
            findings.push(list.finding(row.line, format!("{} is done but names no test", row.id)));
        }
        for test in &row.tests {
            if let Err(problem) = check_test(row.id, test, sources, packages) {
                findings.push(list.finding(row.line, format!("{}: `{test}` {problem}", row.id)));
            }
        }
    }
    findings
}

fn rows(list: &Source) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    for (index, line) in list.text.lines().enumerate() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let ["", id, _what, state, tests, ""] = cells[..] else { continue };
        let number = id.trim_start_matches(|it: char| it.is_ascii_uppercase());
        if number.is_empty() || number.len() == id.len() || !number.bytes().all(|it| it.is_ascii_digit()) {
            continue;
        }
        let tests = tests.split('`').skip(1).step_by(2).collect();
        rows.push(Row { id, state, tests, line: index + 1 });
    }
    rows
}

fn check_ids(list: &Source, rows: &[Row<'_>]) -> Vec<Finding> {
    let mut seen = BTreeMap::new();
    for row in rows {
        *seen.entry(row.id.to_owned()).or_insert(0) += 1;
    }
    let mut findings = Vec::new();
    for (section, count) in SECTIONS {
        for number in 1..=*count {
            let id = format!("{section}{number}");
            match seen.remove(&id) {
                Some(1) => {}
                Some(times) => findings.push(list.finding(1, format!("{id} stands {times} times"))),
                None => findings.push(list.finding(1, format!("{id} of the specification is missing"))),
            }
        }
    }
    findings.extend(seen.keys().map(|id| list.finding(1, format!("{id} is not in the specification"))));
    findings
}

/// * `test`: `package: module::name`.
fn check_test(
    id: &str,
    test: &str,
    sources: &[Source],
    packages: &[(String, PathBuf)],
) -> Result<(), String> {
    let Some((package, path)) = test.split_once(':').map(|(package, path)| (package.trim(), path.trim()))
    else {
        return Err("is not written `package: module::name`".to_owned());
    };
    let Some((_, folder)) = packages.iter().find(|(name, _)| name == package) else {
        return Err(format!("names the package {package}, which does not exist"));
    };
    let mut parts: Vec<&str> = path.split("::").filter(|part| *part != "tests").collect();
    let name = parts.pop().unwrap_or_default();
    let module = parts.pop();
    let mut found = false;
    for source in sources.iter().filter(|source| source.is_rust() && source.path.starts_with(folder)) {
        if module.is_some_and(|module| !holds_module(source, module)) {
            continue;
        }
        let lines: Vec<&str> = source.text.lines().collect();
        for at in (0..lines.len()).filter(|at| is_function(lines[*at], name)) {
            found = true;
            if comment_above(&lines, at).any(|line| covers(line, id)) {
                return Ok(());
            }
        }
    }
    Err(if found { format!("does not say `covers: {id}`") } else { "does not exist".to_owned() })
}

/// Whether a file is, or stands in, the module of that name.
fn holds_module(source: &Source, module: &str) -> bool {
    let stem = |part: &std::ffi::OsStr| part.to_string_lossy().trim_end_matches(".rs") == module;
    source.path.iter().any(stem) || source.text.contains(&format!("mod {module} {{"))
}

fn is_function(line: &str, name: &str) -> bool {
    let line = line.trim_start();
    let line = line.strip_prefix("pub ").unwrap_or(line);
    let line = line.strip_prefix("async ").unwrap_or(line);
    line.strip_prefix("fn ")
        .and_then(|rest| rest.strip_prefix(name))
        .is_some_and(|rest| rest.starts_with('('))
}

/// The comments and attributes that stand directly above a line.
fn comment_above<'a>(lines: &'a [&'a str], at: usize) -> impl Iterator<Item = &'a str> {
    let belongs = |line: &&str| line.starts_with("//") || line.starts_with("#[");
    lines[..at].iter().rev().map(|line| line.trim_start()).take_while(belongs)
}

fn covers(comment: &str, id: &str) -> bool {
    let Some((_, ids)) = comment.split_once("covers:") else { return false };
    ids.split(|it: char| !it.is_ascii_alphanumeric()).any(|it| it == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TESTS: &str =
        "/// Doc.\n// covers: T1, A12\n#[test]\nfn a_code_is_accepted() {}\n\n#[test]\nfn silent() {}\n";

    /// A whole list in which `row` stands for the row T1; counts what is found.
    fn check(row: &str, problems: usize) {
        let mut text = String::from("| ID | what | state | test |\n| --- | --- | --- | --- |\n");
        for (section, count) in SECTIONS {
            for number in 1..=*count {
                let id = format!("{section}{number}");
                text += &if id == "T1" { format!("{row}\n") } else { format!("| {id} | x | not yet | |\n") };
            }
        }
        let sources = [Source::sample(LIST, &text), Source::sample("tests/tests/login.rs", TESTS)];
        let found = super::check(&sources, &[("system-tests".to_owned(), PathBuf::from("tests"))]);
        assert_eq!(found.len(), problems, "{row} {found:?}");
    }

    #[test]
    fn a_row_with_a_test_that_covers_it_passes() {
        check("| T1 | x | done | `system-tests: login::a_code_is_accepted` |", 0);
    }

    #[test]
    fn a_done_row_without_a_test_is_found() {
        check("| T1 | x | done | |", 1);
        check("| T1 | x | maybe | |", 1);
    }

    #[test]
    fn a_test_that_does_not_exist_or_does_not_say_so_is_found() {
        check("| T1 | x | done | `system-tests: login::a_code_is` |", 1);
        check("| T1 | x | done | `system-tests: logout::a_code_is_accepted` |", 1);
        check("| T1 | x | done | `system-tests: login::silent` |", 1);
        check("| T1 | x | done | `nothing: login::a_code_is_accepted` |", 1);
        check("| T1 | x | not yet | `login` |", 1);
    }

    #[test]
    fn a_missing_a_double_and_an_unknown_row_are_found() {
        check("", 1);
        check("| T1 | x | not yet | |\n| T1 | x | not yet | |", 1);
        check("| T1 | x | not yet | |\n| Z9 | x | not yet | |", 1);
    }
}
