//! Every verb has its page and is completed, every setting and argument is explained, and `man` finds no fault.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{completions, man};

/// A file of the workspace.
fn read(path: &str) -> String {
    let path = workspace().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("cli lies in the workspace").to_owned()
}

/// `token import` and the like, nouns included.
fn verbs(command: &clap::Command, before: &str) -> Vec<String> {
    let each = command.get_subcommands().flat_map(|verb| {
        let name = format!("{before} {}", verb.get_name()).trim().to_owned();
        let below = verbs(verb, &name);
        std::iter::once(name).chain(below)
    });
    each.collect()
}

#[test]
fn every_verb_has_its_page() {
    let pages = man::pages();
    let mut wanted = vec!["postern.1".to_owned()];
    let verbs = verbs(&cli::command(), "");
    wanted.extend(verbs.iter().map(|verb| format!("postern-{}.1", verb.replace(' ', "-"))));
    let mut names: Vec<String> = pages.iter().map(|page| page.name.clone()).collect();
    names.sort();
    wanted.sort();
    assert_eq!(names, wanted);
    assert!(names.len() > 30, "{names:?}");
    for page in &pages {
        for section in [".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION", ".SH \"SEE ALSO\""] {
            assert!(page.text.contains(section), "{} has no {section}", page.name);
        }
    }
}

#[test]
fn a_synopsis_shows_the_values_of_options() {
    let check = |name: &str, words: &[&str]| {
        let page = man::pages().into_iter().find(|page| page.name == name).expect("the page");
        let section = page.text.split(".SH SYNOPSIS\n").nth(1).expect("the section");
        let line = section.lines().next().expect("its text");
        let line = ["\\fB", "\\fI", "\\fR"]
            .iter()
            .fold(line.replace("\\-", "-"), |line, font| line.replace(font, ""));
        for word in words {
            assert!(line.contains(word), "{word} is not in {line}");
        }
    };
    let import = ["[--format FORMAT] [--key-file FILE]", "[--dry-run] [--reject-file FILE]", "] FILE"];
    check("postern-token-import.1", &import);
    check("postern-token-associate.1", &["postern token associate ", " --user NAME SERIAL"]);
    check("postern-token-add.1", &["[--type TYPE]", "[--algorithm ALGORITHM]"]);
    check("postern-recovery-status.1", &["] [USER]"]);
    check("postern.1", &["[-o|--output OUTPUT] [--json]", "] COMMAND"]);
}

#[test]
fn the_page_of_the_command_tells_every_exit_code_of_the_help() {
    let help = cli::command().get_after_help().expect("exit codes").to_string();
    let codes: Vec<&str> = help.split_whitespace().filter(|word| word.parse::<u8>().is_ok()).collect();
    assert_eq!(codes.len(), 10, "{help}");
    let page = man::pages().into_iter().find(|page| page.name == "postern.1").expect("the page");
    let section = page.text.split(".SH \"EXIT STATUS\"").nth(1).expect("the section");
    let section = section.split(".SH").next().expect("its text");
    assert_eq!(section.matches(".TP").count(), codes.len());
    for code in codes {
        assert!(section.contains(&format!(".TP\n\\fB{code}\\fR\n")), "{code} is not in the page");
    }
}

#[test]
fn the_document_of_the_command_names_every_verb() {
    let document = read("docs/command.md");
    let all = verbs(&cli::command(), "");
    let is_noun = |name: &str| all.iter().any(|other| other.starts_with(&format!("{name} ")));
    for verb in all.iter().filter(|verb| !is_noun(verb)) {
        assert!(document.contains(&format!("| `postern {verb}")), "postern {verb} is not in docs/command.md");
    }
}

#[test]
fn every_shell_completes_every_verb_and_flag() {
    let scripts = completions::scripts();
    let names: Vec<&str> = scripts.iter().map(|script| script.name.as_str()).collect();
    assert_eq!(names, ["postern", "_postern", "postern.fish"]);
    for script in scripts {
        for verb in verbs(&cli::command(), "") {
            let word = verb.rsplit(' ').next().expect("a word");
            assert!(has_word(&script.text, word), "{} does not know {verb}", script.name);
        }
        for flag in ["serial-format", "reject-file", "dry-run", "otp", "secret-file", "no-input"] {
            assert!(has_word(&script.text, flag), "{} does not know --{flag}", script.name);
        }
    }
}

fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric();
    text.match_indices(word)
        .any(|(at, _)| !text[..at].ends_with(is_part) && !text[at + word.len()..].starts_with(is_part))
}

/// Whether a page explains a word: alone in bold, after `.TP`.
fn explains(page: &str, word: &str) -> bool {
    let escaped = word.replace('-', "\\-");
    let entries = page.split(".TP\n").skip(1).filter_map(|entry| entry.lines().next());
    let words: Vec<String> = entries.map(|line| line.replace(".BI ", "").replace(".B ", "")).collect();
    let names = |head: &str| head.replace(".BR ", "").replace('"', "").replace(',', " ");
    words.iter().any(|head| {
        head.split(' ').next().is_some_and(|first| first == escaped)
            || (head.starts_with(".BR ") && names(head).split_ascii_whitespace().any(|name| name == escaped))
    })
}

#[test]
fn every_setting_is_explained_in_verifierd_toml_5() {
    let page = read("docs/man/verifierd.toml.5");
    let sample = read("systemd/verifierd.toml");
    let (mut count, mut of_places) = (0, false);
    for line in sample.lines() {
        // A setting that is off by default stands there as a comment without a blank.
        let line = line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line);
        if let Some(table) =
            line.strip_prefix('[').and_then(|rest| rest.trim_start_matches('[').split(']').next())
        {
            of_places = table.starts_with("group.") || table.starts_with("host.");
            let table = if of_places {
                table.split('.').next().unwrap_or_default().to_owned() + ".NAME"
            } else {
                table.to_owned()
            };
            let is_headed =
                page.lines().any(|line| line.starts_with(".SS ") && line.contains(&format!("[{table}]")));
            assert!(is_headed, "[{table}] is not explained");
        } else if let Some((key, _)) = line.split_once(" = ").filter(|(key, _)| is_key(key) && !of_places) {
            assert!(explains(&page, key), "{key} is not explained");
            count += 1;
        }
    }
    assert!(count >= 9, "{count} settings were found in the sample");
}

fn is_key(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

#[test]
fn every_argument_of_the_module_is_explained_in_pam_postern_8() {
    let page = read("docs/man/pam_postern.8");
    let source = read("pam-module/src/arguments.rs");
    let take = source.split("match word.split_once('=')").nth(1).expect("where words are taken");
    let take = take.split("_ =>").next().expect("its arms");
    let mut count = 0;
    for arm in take.lines().map(str::trim) {
        let quoted: Vec<&str> = arm.split('"').collect();
        let argument = match quoted[..] {
            [start, name, ", ", value, ..] if start.starts_with("Some((") => format!("{name}={value}"),
            [start, "fail" | "recorder_unknown", ..] if start.starts_with("Some((") => continue,
            [start, "prompt", ..] if start.starts_with("Some((") => "[prompt=".to_owned(),
            [start, name, ..] if start.starts_with("Some((") => format!("{name}="),
            [start, name, ..] if start.starts_with("None if word ==") => name.to_owned(),
            _ => continue,
        };
        assert!(explains(&page, &argument), "{argument} is not explained");
        count += 1;
    }
    assert_eq!(count, 10, "arguments were found in the source");
}

#[test]
fn pages_by_hand_have_the_sections_that_readers_look_for() {
    for name in ["verifierd.8", "pam_postern.8", "verifierd.toml.5"] {
        let page = read(&format!("docs/man/{name}"));
        for section in
            ["NAME", "SYNOPSIS", "DESCRIPTION", "RETURN VALUES", "EXAMPLES", "SECURITY NOTES", "SEE ALSO"]
        {
            assert!(page.contains(&format!("\n.SH {section}\n")), "{name} has no {section}");
        }
    }
}

/// `man` is part of every machine that reads pages; `cargo xtask test` installs it where it is missing.
#[test]
fn man_renders_every_page_without_a_warning() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut paths: Vec<PathBuf> = man::pages()
        .iter()
        .map(|page| {
            let path = folder.path().join(&page.name);
            fs::write(&path, &page.text).expect("write");
            path
        })
        .collect();
    let by_hand = fs::read_dir(workspace().join("docs/man")).expect("docs/man");
    paths.extend(by_hand.map(|entry| entry.expect("a page").path()));
    assert!(paths.len() > 33, "{paths:?}");
    if Command::new("man").arg("--version").output().is_err() {
        println!("no man on this machine: {} pages were not rendered", paths.len());
        return;
    }
    for path in paths {
        let mut man = Command::new("man");
        man.args(["--warnings", "-E", "UTF-8", "-l"]).arg(&path).env("MANPAGER", "cat").env("MANWIDTH", "80");
        let output = man.output().expect("man runs");
        let warnings = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && warnings.is_empty(), "{}: {warnings}", path.display());
        assert!(output.stdout.len() > 200, "{} is empty", path.display());
    }
}
