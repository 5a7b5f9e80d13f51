//! The commands that do not serve: joining, saying how the agent is, looking at the configuration.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::ExitCode;

use agent::checkpoint::Checkpoints;
use agent::config::{Config, VerifierAddress};
use agent::identity::{Identity, IdentityError};
use agent::join::{JoinError, JoinSecret, same_verifier};
use agent::{VERSION, status, tls};
use anyhow::Context as _;
use owned_files::{Access, read_ours};
use zeroize::Zeroizing;

use crate::Failure;

/// Exit statuses beside 1 (failed) and 2 (usage, configuration).
pub const NOT_RUNNING: u8 = 3;
const REFUSED: u8 = 5;
/// No verifier answers, or the host has not joined.
pub const NOT_READY: u8 = 7;

/// Longest text that is read for a join secret, in bytes. One has 77 letters, and hyphens between them.
const SECRET_TEXT_MAX: u64 = 1_024;

/// Where a secret was given as an argument; it is not said again.
pub const SECRET_AS_ARGUMENT: &str = "a join secret is no argument, since every account of this host sees arguments: enrol \
     the host again (`postern host enrol NAME --again`), and give the new one on standard input or by --secret-file";

/// Joins a fleet, and writes a configuration where there is none.
pub fn join(
    path: &Path,
    named: Vec<VerifierAddress>,
    secret_file: Option<&Path>,
) -> Result<ExitCode, Failure> {
    let configuration = |error: anyhow::Error| Failure::new(2, error);
    let exists = path.try_exists().with_context(|| format!("cannot look at {}", path.display()));
    let exists = exists.map_err(configuration)?;
    let config =
        if exists { Config::load(path).map_err(|error| Failure::new(2, error))? } else { defaults() };
    let verifiers = if named.is_empty() { config.verifiers.clone() } else { named };
    if verifiers.is_empty() {
        let error =
            anyhow::anyhow!("no verifier is named: write `postern-agent join --verifier https://NAME:7443`");
        return Err(Failure::new(2, error));
    }
    let secret = read_secret(secret_file).map_err(|error| Failure::new(2, error))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(1, error))?;
    let joined = runtime.block_on(agent::join::join(&secret, &verifiers));
    let (identity, joined) = joined.map_err(|error| match error {
        JoinError::Unreachable(_) => Failure::new(NOT_READY, error),
        JoinError::Refused { .. } => Failure::new(REFUSED, error),
        other => Failure::new(1, other),
    })?;
    let is_same_fleet =
        Identity::load(&config.state_dir).is_ok_and(|former| former.authority == identity.authority);
    if !is_same_fleet {
        let forgotten =
            Checkpoints::forget(&config.state_dir).context("cannot remove the former fleet's checkpoint");
        forgotten.map_err(|error| Failure::new(1, error))?;
    }
    identity.keep(&config.state_dir).map_err(|error| Failure::new(1, error))?;
    println!("joined as {} ({})", joined.name, joined.host);
    if let [one, others @ ..] = &same_verifier(&joined, &verifiers)[..] {
        for other in others {
            println!(
                "{other} is another name of the verifier {one}: leave one of them out of {}, since each of `verifiers` \
                 gets a share of the time that a login has",
                path.display()
            );
        }
    }
    if exists {
        let others = verifiers.iter().filter(|verifier| !config.verifiers.contains(verifier));
        for verifier in others {
            println!("{verifier} is not in {}: add it to `verifiers` there", path.display());
        }
    } else {
        write_config(path, &verifiers).map_err(|error| Failure::new(1, error))?;
        println!("made {}", path.display());
    }
    println!("next: systemctl enable --now postern-agent, or `restart` where it runs already");
    Ok(ExitCode::SUCCESS)
}

/// What holds where no file says otherwise.
fn defaults() -> Config {
    Config::parse("version = 1\n").expect("every other setting has a default")
}

fn read_secret(file: Option<&Path>) -> anyhow::Result<JoinSecret> {
    let mut text = Zeroizing::new(Vec::with_capacity(SECRET_TEXT_MAX as usize + 1));
    match file {
        Some(path) if JoinSecret::parse(&path.to_string_lossy()).is_ok() => anyhow::bail!(SECRET_AS_ARGUMENT),
        Some(path) => text.extend_from_slice(&Zeroizing::new(read_ours(path, Access::OnlyOurs)?)),
        None => {
            if io::stdin().is_terminal() {
                text = typed_secret::ask("Join secret (not shown): ", SECRET_TEXT_MAX as usize)?;
            } else {
                let read = io::stdin().lock().take(SECRET_TEXT_MAX).read_to_end(&mut text);
                read.context("cannot read the join secret")?;
            }
        }
    }
    Ok(JoinSecret::parse(&String::from_utf8_lossy(&text))?)
}

fn write_config(path: &Path, verifiers: &[VerifierAddress]) -> anyhow::Result<()> {
    let context = || format!("cannot make {}", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(context)?;
    }
    let names: Vec<String> = verifiers.iter().map(|verifier| format!("\"{verifier}\"")).collect();
    let text = format!(
        "# Written by `postern-agent join`. `postern-agent config default` prints every setting.\nversion = 1\n\
         verifiers = [{}]\n",
        names.join(", ")
    );
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o644).open(path).with_context(context)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(context)
}

/// Says how the agent is.
pub fn status(path: &Path, as_json: bool) -> Result<ExitCode, Failure> {
    // Joining writes the file: without one nothing was joined, as a rule.
    let config =
        if path.exists() { Config::load(path).map_err(|error| Failure::new(2, error))? } else { defaults() };
    let status = status::ask(&config.login_socket).map_err(|error| match error {
        status::AskError::NotRunning { .. } => match Identity::load(&config.state_dir) {
            // What starts an agent is of no use yet.
            Err(why @ IdentityError::NotJoined { .. }) => Failure::new(NOT_RUNNING, why),
            Ok(_) | Err(_) => Failure::new(NOT_RUNNING, error),
        },
        other @ status::AskError::NotAnAgent { .. } => Failure::new(1, other),
    })?;
    let text = if as_json {
        let json = serde_json::to_string(&status).map_err(|error| Failure::new(1, error))?;
        format!("{json}\n")
    } else {
        status.to_string()
    };
    print(&text)?;
    Ok(if status.ready { ExitCode::SUCCESS } else { ExitCode::from(NOT_READY) })
}

/// Says what is wrong with a configuration, and with the host's key and certificate where it has joined.
pub fn check(path: &Path) -> Result<ExitCode, Failure> {
    let config = Config::load(path).map_err(|error| Failure::new(2, error))?;
    match Identity::load(&config.state_dir) {
        Ok(identity) => {
            tls::for_host(&identity).map_err(|error| Failure::new(2, error))?;
        }
        Err(error @ IdentityError::NotJoined { .. }) => println!("{error}"),
        Err(error) => return Err(Failure::new(2, error)),
    }
    if config.verifiers.is_empty() {
        println!("no verifier is named: nothing can be asked");
    }
    println!("{} is a configuration", path.display());
    Ok(ExitCode::SUCCESS)
}

/// Prints the sample file.
pub fn print_default() -> Result<ExitCode, Failure> {
    print(include_str!("../../systemd/agent.toml"))
}

/// Prints the settings in effect. The file holds no secrets, so nothing is left out.
pub fn show(path: &Path) -> Result<ExitCode, Failure> {
    let config = Config::load(path).map_err(|error| Failure::new(2, error))?;
    print(&config.to_text())
}

/// Prints the version.
pub fn version() -> Result<ExitCode, Failure> {
    print(&format!("postern-agent {VERSION}\n"))
}

fn print(text: &str) -> Result<ExitCode, Failure> {
    io::stdout().write_all(text.as_bytes()).map_err(|error| Failure::new(1, error))?;
    Ok(ExitCode::SUCCESS)
}
