//! Logs in through PAM, and so through the real module, with a process for each login.
//!
//! The process is another program, `pamtester` unless told otherwise: this one neither links libpam nor holds unsafe
//! code. It gets the service and the user as arguments and the code on standard input, where nobody else can read it.
//! A process for each login is what sshd does, too; its start is part of what is measured.

use std::path::Path;
use std::process::{Output, Stdio};

use anyhow::{Context as _, Result, ensure};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use wire::login::Verdict;

use crate::ask::Attempt;
use crate::connection::ANSWER_TIMEOUT;
use crate::outcome::Outcome;

/// What PAM calls its refusals, in libpam's words (`pam_strerror`): the login was decided.
const REFUSALS: [&str; 3] = ["Authentication failure", "Permission denied", "maximum number of retries"];

/// The same for a verifier that could not be asked.
const UNAVAILABLE: &str = "cannot retrieve authentication info";

/// Puts one login through `PROGRAM SERVICE USER authenticate`.
///
/// PAM has no word for a login without a code: a stack that lets it pass counts as an accept.
pub async fn log_in(program: &Path, service: &str, attempt: &Attempt) -> Outcome {
    let run = tokio::time::timeout(ANSWER_TIMEOUT, run(program, service, attempt));
    match run.await {
        Ok(Ok(output)) => outcome_of(&output),
        Ok(Err(error)) => Outcome::NotBegun { problem: format!("{error:#}") },
        Err(_) => Outcome::NoAnswer { problem: format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()) },
    }
}

async fn run(program: &Path, service: &str, attempt: &Attempt) -> Result<Output> {
    let mut command = Command::new(program);
    if let Some(rhost) = &attempt.rhost {
        command.arg(format!("-Irhost={rhost}"));
    }
    command.args([service, &attempt.user, "authenticate"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
    if let Some(mut input) = child.stdin.take() {
        // A program that ended without reading says why in its answer.
        let _ = input.write_all(format!("{}\n", attempt.code).as_bytes()).await;
    }
    child.wait_with_output().await.with_context(|| format!("{} was lost", program.display()))
}

fn outcome_of(output: &Output) -> Outcome {
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    let decided = |verdict| Outcome::decided(verdict, "none".to_owned(), [said.as_ref()]);
    if output.status.success() {
        return decided(Verdict::Allow);
    }
    if said.contains(UNAVAILABLE) {
        return decided(Verdict::Unavailable);
    }
    if REFUSALS.iter().any(|refusal| said.contains(refusal)) {
        return decided(Verdict::Deny);
    }
    let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("nothing");
    Outcome::NoAnswer { problem: format!("{}: {last}", output.status) }
}

/// Whether there is such a program.
///
/// # Errors
/// When there is not; says what to install.
pub fn find(program: &Path) -> Result<()> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let is_there = if program.components().count() > 1 {
        program.is_file()
    } else {
        std::env::split_paths(&folders).any(|folder| folder.join(program).is_file())
    };
    let name = program.display();
    ensure!(
        is_there,
        "{name} is not there: install the package pamtester, or name another with --pam-program"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::*;

    #[track_caller]
    fn check(status: i32, stderr: &str, expected: Option<Verdict>) {
        let status = ExitStatus::from_raw(status << 8);
        let outcome = outcome_of(&Output { status, stdout: Vec::new(), stderr: stderr.into() });
        let verdict = match outcome {
            Outcome::Decided { verdict, .. } => Some(verdict),
            _ => None,
        };
        assert_eq!(verdict, expected, "{stderr}");
    }

    #[test]
    fn what_the_program_says_is_a_verdict_or_no_answer() {
        check(0, "pamtester: successfully authenticated", Some(Verdict::Allow));
        check(1, "pamtester: Authentication failure", Some(Verdict::Deny));
        let cut_off = "pamtester: Authentication service cannot retrieve authentication info";
        check(1, cut_off, Some(Verdict::Unavailable));
        check(1, "pamtester: Module is unknown", None);
        check(1, "", None);
    }
}
