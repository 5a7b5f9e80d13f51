//! Relative links in the documents lead somewhere.

use std::path::{Component, Path, PathBuf};

use super::{Finding, Source};

/// Finds links of a document whose target does not exist.
///
/// * `exists`: whether a path, relative to the workspace's root, is there.
pub fn check(source: &Source, exists: impl Fn(&Path) -> bool) -> Vec<Finding> {
    if source.path.extension().is_none_or(|it| it != "md") {
        return Vec::new();
    }
    let folder = source.path.parent().unwrap_or(Path::new(""));
    let mut findings = Vec::new();
    let mut in_code = false;
    for (index, line) in source.text.lines().enumerate() {
        in_code ^= line.trim_start().starts_with("```");
        for target in targets(line).filter(|_| !in_code) {
            let path = target.split('#').next().unwrap_or_default();
            if !path.is_empty() && !is_elsewhere(path) && !exists(&resolve(folder, path)) {
                findings.push(source.finding(index + 1, format!("the link `{target}` leads nowhere")));
            }
        }
    }
    findings
}

/// The targets of `[text](target)` in a line, code spans left out.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    let outside_code = line.split('`').step_by(2);
    outside_code.flat_map(|part| part.split("](").skip(1)).filter_map(|rest| rest.split([')', ' ']).next())
}

fn is_elsewhere(target: &str) -> bool {
    target.contains("://") || target.starts_with("mailto:")
}

/// Joins without asking the file system, so that `..` works on samples too.
fn resolve(folder: &Path, target: &str) -> PathBuf {
    let mut path = PathBuf::new();
    for part in folder.join(target).components() {
        match part {
            Component::ParentDir => {
                path.pop();
            }
            Component::CurDir => {}
            part => path.push(part),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, problems: usize) {
        let source = Source::sample("docs/page.md", text);
        let found =
            super::check(&source, |path| path == Path::new("README.md") || path == Path::new("docs/a.md"));
        assert_eq!(found.len(), problems, "{text} {found:?}");
    }

    #[test]
    fn a_link_that_leads_somewhere_passes() {
        check("[a](a.md), [b](../README.md#what), [c](https://example.org/x), [d](#here)", 0);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_found() {
        check("[a](b.md)", 1);
        check("[a](../a.md \"title\") and [b](gone.md#x)", 2);
    }

    #[test]
    fn code_is_no_link() {
        check("`[a](b.md)`", 0);
        check("```\n[a](b.md)\n```", 0);
    }
}
