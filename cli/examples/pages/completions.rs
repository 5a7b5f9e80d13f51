//! Completions, one file for each shell, under the names that Debian's folders expect.

use clap_complete::{Shell, generate};

use crate::Page;

/// Where each goes: bash-completion/completions, zsh/vendor-completions, fish/vendor_completions.d.
const SHELLS: [(Shell, &str); 3] =
    [(Shell::Bash, "postern"), (Shell::Zsh, "_postern"), (Shell::Fish, "postern.fish")];

/// All of them.
pub fn scripts() -> Vec<Page> {
    SHELLS.iter().map(|(shell, name)| Page { name: (*name).to_owned(), text: script(*shell) }).collect()
}

fn script(shell: Shell) -> String {
    let mut text = Vec::new();
    generate(shell, &mut cli::command(), "postern", &mut text);
    String::from_utf8_lossy(&text).into_owned()
}
