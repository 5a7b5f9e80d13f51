//! Section 1: postern(1), and a page for each noun and verb.

use std::io;

use clap::builder::Resettable;
use clap::{Arg, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use crate::Page;

/// What each exit code means, as in `postern --help` and docs/command.md.
const EXIT_STATUS: [(&str, &str); 10] = [
    ("0", "Done, or nothing to do."),
    ("1", "Failed: not confirmed, faulty rows in an import, a broken audit trail, an answer without sense."),
    ("2", "Wrong usage or local configuration."),
    ("3", "verifierd does not run, cannot be reached, or gave no answer in time."),
    ("4", "Not found."),
    ("5", "Not allowed."),
    ("6", "Conflict: the thing is in a state that does not permit this."),
    ("7", "verifierd is not ready or is degraded, or too many codes were wrong: try again later."),
    ("8", "The code was wrong, or was used before."),
    ("130", "Interrupted."),
];

/// Where things are.
const FILES: [(&str, &str); 3] = [
    (
        "/etc/postern/verifierd.toml",
        "The configuration of verifierd. Only the paths of the sockets are read in it.",
    ),
    ("/run/postern/admin.sock", "Where root asks."),
    ("/run/postern/user.sock", "Where everybody else asks, each according to his role."),
];

/// The page of the command and those of all that can be said after it.
pub fn pages() -> Vec<Page> {
    let mut command = cli::command().disable_help_subcommand(true).after_help(Resettable::Reset);
    command.build();
    let mut pages = vec![page(&command, true)];
    below(&command, &mut pages);
    pages
}

fn below(command: &Command, pages: &mut Vec<Page>) {
    for verb in command.get_subcommands() {
        // What every verb takes stands in postern(1) alone.
        let verb = verb.clone().mut_args(|flag| if flag.is_global_set() { flag.hide(true) } else { flag });
        pages.push(page(&verb, false));
        below(&verb, pages);
    }
}

fn page(command: &Command, is_whole: bool) -> Page {
    let man =
        Man::new(command.clone()).manual("Postern").source(concat!("postern ", env!("CARGO_PKG_VERSION")));
    let name = man.get_filename();
    let mut text = Vec::new();
    // Writing to memory does not fail.
    render(&man, command, is_whole, &mut text).unwrap_or_default();
    Page { name, text: String::from_utf8_lossy(&text).into_owned() }
}

fn render(man: &Man, command: &Command, is_whole: bool, text: &mut Vec<u8>) -> io::Result<()> {
    man.render_title(text)?;
    man.render_name_section(text)?;
    synopsis(command).to_writer(text)?;
    man.render_description_section(text)?;
    if command.get_arguments().any(|argument| !argument.is_hide_set()) {
        man.render_options_section(text)?;
    }
    if command.has_subcommands() {
        man.render_subcommands_section(text)?;
    }
    let mut rest = Roff::new();
    if is_whole {
        section(&mut rest, "EXIT STATUS", &EXIT_STATUS);
        section(&mut rest, "FILES", &FILES);
        rest.control("SH", ["SEE ALSO"]);
        rest.text([roman("verifierd(8), pam_postern(8), verifierd.toml(5)")]);
    } else {
        rest.control("SH", ["SEE ALSO"]);
        rest.text([roman("postern(1), for the options that every verb takes and the exit status")]);
    }
    rest.to_writer(text)
}

/// How the command is called: options with their values, needed ones without brackets, then what stands alone.
fn synopsis(command: &Command) -> Roff {
    let mut line = vec![bold(command.get_bin_name().unwrap_or_else(|| command.get_name()))];
    let mut flags: Vec<&Arg> = command.get_arguments().filter(|arg| !arg.is_positional()).collect();
    flags.sort_by_key(|flag| flag.is_required_set());
    for argument in flags.into_iter().chain(command.get_positionals()).filter(|arg| !arg.is_hide_set()) {
        let (open, close) = if argument.is_required_set() { (" ", "") } else { (" [", "]") };
        line.push(roman(open));
        line.extend(called(argument));
        line.push(roman(close));
    }
    if command.has_subcommands() {
        line.extend([roman(" "), italic("COMMAND")]);
    }
    let mut page = Roff::new();
    page.control("SH", ["SYNOPSIS"]);
    page.text(line);
    page
}

/// An argument as it is typed: `-o|--output OUTPUT`, `--dry-run`, `FILE`.
fn called(argument: &Arg) -> Vec<Inline> {
    let short = argument.get_short().map(|short| format!("-{short}"));
    let long = argument.get_long().map(|long| format!("--{long}"));
    let mut words = Vec::new();
    for name in short.into_iter().chain(long) {
        if !words.is_empty() {
            words.push(roman("|"));
        }
        words.push(bold(name));
    }
    if argument.get_action().takes_values() {
        if !words.is_empty() {
            words.push(roman(" "));
        }
        let names = argument.get_value_names().map(|names| names.join(" "));
        words.push(italic(names.unwrap_or_else(|| argument.get_id().as_str().to_uppercase())));
    }
    words
}

/// A section that explains one word after the other.
fn section(page: &mut Roff, title: &str, entries: &[(&str, &str)]) {
    page.control("SH", [title]);
    for (word, meaning) in entries {
        page.control("TP", []);
        page.text([bold(*word)]);
        page.text([roman(*meaning)]);
    }
}
