//! The programs that are asked: by their full path, with an empty environment, for a bounded time.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use super::machine::Said;

/// Longest run of one program. They read local files; what takes longer waits for a directory service that hangs.
const RUN_MAX: Duration = Duration::from_secs(5);

/// Most bytes that are read of what a program writes; `sshd -T` writes 5 KiB.
const OUTPUT_BYTES_MAX: u64 = 256 * 1024;

/// A program that checks a configuration.
pub struct Checker {
    /// Its file's name.
    pub name: &'static str,
    /// Where it is installed.
    pub installed: &'static str,
    /// Whether it does so for root alone; else for whoever owns the configuration too.
    pub is_for_root_alone: bool,
}

/// Runs the first of `paths` that is there, and returns its stdout when it ends with one of `codes`.
pub async fn run(paths: &[&str], arguments: &[&str], codes: &[i32]) -> Said {
    run_within(RUN_MAX, paths, arguments, codes).await
}

/// Runs a program that judges something, and returns the lines of its stderr when it ends with `refusal`; none when
/// it ends with 0. A refusal without a word is an error: there is nothing to tell.
pub async fn complaint(path: &str, arguments: &[&str], refusal: i32) -> Result<Vec<String>, String> {
    let (program, ended) = ended_within(RUN_MAX, &[path], arguments).await?;
    match ended.code {
        Some(0) => Ok(Vec::new()),
        Some(code) if code == refusal && !ended.stderr.trim().is_empty() => {
            Ok(ended.stderr.lines().map(str::to_owned).collect())
        }
        _ => Err(format!("{program}: {}", ended.complaint())),
    }
}

/// The program beside this very command, as in a build folder; else `installed`.
pub fn beside_us(name: &str, installed: &str) -> String {
    let sibling = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.join(name)));
    let sibling = sibling.filter(|path| path.is_file()).and_then(|path| path.to_str().map(str::to_owned));
    sibling.unwrap_or_else(|| installed.to_owned())
}

/// Runs a program to its end, whatever its exit code; an error says why there is none.
pub async fn ended_by_itself(path: &str, arguments: &[&str]) -> Result<Ended, String> {
    let (_, ended) = ended_within(RUN_MAX, &[path], arguments).await?;
    Ok(ended)
}

async fn run_within(limit: Duration, paths: &[&str], arguments: &[&str], codes: &[i32]) -> Said {
    let (program, ended) = ended_within(limit, paths, arguments).await?;
    if ended.code.is_some_and(|code| codes.contains(&code)) {
        Ok(ended.stdout)
    } else {
        Err(format!("{program}: {}", ended.complaint()))
    }
}

/// Runs the first of `paths` that is there to its end; an error names what is in the way.
async fn ended_within<'a>(
    limit: Duration,
    paths: &[&'a str],
    arguments: &[&str],
) -> Result<(&'a str, Ended), String> {
    let Some(program) = paths.iter().find(|path| Path::new(path).is_file()) else {
        return Err(format!("{} is not there", paths.first().unwrap_or(&"the program")));
    };
    match tokio::time::timeout(limit, ended(program, arguments)).await {
        Err(_) => Err(format!("{program}: no end within {}", humantime::format_duration(limit))),
        Ok(Err(error)) => Err(format!("{program}: {error}")),
        Ok(Ok(ended)) => Ok((program, ended)),
    }
}

/// What a program that ended has left.
pub struct Ended {
    /// Its exit code; absent where a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to stdout.
    pub stdout: String,
    stderr: String,
}

impl Ended {
    /// Its first words on stderr, or how it ended.
    pub fn complaint(&self) -> String {
        match (self.stderr.lines().find(|line| !line.trim().is_empty()), self.code) {
            (Some(line), _) => line.trim().to_owned(),
            (None, Some(code)) => format!("it ended with {code}"),
            (None, None) => "a signal ended it".to_owned(),
        }
    }
}

async fn ended(program: &str, arguments: &[&str]) -> std::io::Result<Ended> {
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("LC_ALL", "C")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (stdout, stderr) = tokio::try_join!(text(stdout), text(stderr))?;
    let code = child.wait().await?.code();
    Ok(Ended { code, stdout, stderr })
}

/// Reads up to the limit and closes: a program that goes on writing is ended by that.
async fn text(pipe: Option<impl AsyncRead + Unpin>) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(OUTPUT_BYTES_MAX).read_to_end(&mut bytes).await?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Long enough for a shell on a busy machine, short enough to wait for.
    const LIMIT: Duration = Duration::from_secs(2);

    fn check(script: &str, codes: &[i32]) -> Said {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(run_within(LIMIT, &["/nowhere", "/bin/sh"], &["-c", script], codes))
    }

    #[test]
    fn what_it_writes_is_returned_when_it_ends_as_expected() {
        assert_eq!(check("echo a; exit 2", &[0, 2]).as_deref(), Ok("a\n"));
        assert_eq!(check("echo no >&2; exit 1", &[0]), Err("/bin/sh: no".to_owned()));
        assert_eq!(check("kill -KILL $$", &[0]), Err("/bin/sh: a signal ended it".to_owned()));
    }

    #[test]
    fn nothing_of_our_environment_reaches_it() {
        let text = check("/usr/bin/env; pwd", &[0]).expect("it ran");
        let mut lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("_=")).collect();
        lines.sort_unstable();
        assert_eq!(lines, ["/", "LC_ALL=C", "PWD=/"], "{text}");
    }

    #[test]
    fn one_that_hangs_or_writes_without_end_is_given_up() {
        let hanging = check("exec /bin/sleep 600", &[0]).expect_err("it hangs");
        assert!(hanging.contains("no end within 2s"), "{hanging}");
        let flood = check("exec /bin/cat /dev/zero", &[0]).expect_err("SIGPIPE ends it");
        assert!(flood.contains("a signal ended it"), "{flood}");
    }

    #[test]
    fn one_that_is_not_there_is_named() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        assert_eq!(runtime.block_on(run(&["/nowhere"], &[], &[0])), Err("/nowhere is not there".to_owned()));
    }
}
