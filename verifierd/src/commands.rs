//! The commands that do not serve: making the store, looking at the configuration.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use ledger::embedded::EmbeddedLedger;
use verifierd::config::Config;
use verifierd::hosts::Authority;
use verifierd::http::api::ApiSecrets;
use verifierd::http::certificate::server_config;
use verifierd::keys::MasterKey;
use verifierd::service::create_store;

use crate::{Failure, warnings};

/// Exit status where a store exists already.
const CONFLICT: u8 = 6;

/// Makes key and store.
pub fn init(path: &Path) -> Result<ExitCode, Failure> {
    let config = Config::load(path).map_err(|error| Failure::new(2, error))?;
    // Before a key is made: an existing store has one already, and another would only be mistaken for it.
    if EmbeddedLedger::exists(&config.state_dir) {
        let error =
            anyhow::anyhow!("a store exists already in {}: nothing was made", config.state_dir.display());
        return Err(Failure::new(CONFLICT, error));
    }
    let made_key = make_key(&config).map_err(|error| Failure::new(1, error))?;
    let credentials = credentials();
    let master = MasterKey::load(config.key_file.as_deref(), credentials.as_deref())
        .map_err(|error| Failure::new(1, error))?;
    create_store(&config.state_dir, &master).map_err(|error| Failure::new(1, error))?;
    if let (true, Some(key_file)) = (made_key, &config.key_file) {
        println!("made the master key {}: keep a copy where the store's backups are not", key_file.display());
    }
    println!("made an empty store in {}", config.state_dir.display());
    Ok(ExitCode::SUCCESS)
}

/// Makes the key file, where one is configured and missing. An existing one is left alone.
fn make_key(config: &Config) -> anyhow::Result<bool> {
    let Some(path) = config.key_file.as_deref().filter(|path| !path.exists()) else { return Ok(false) };
    if let Some(directory) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(directory)
            .with_context(|| cannot_make(directory))?;
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o400)
        .open(path)
        .with_context(|| cannot_make(path))?;
    file.write_all(MasterKey::generate()?.to_file_text().as_bytes())
        .and_then(|()| file.sync_all())
        .with_context(|| cannot_make(path))?;
    Ok(true)
}

fn cannot_make(path: &Path) -> String {
    format!("cannot make {}", path.display())
}

/// Where systemd puts credentials, if it does.
pub fn credentials() -> Option<std::path::PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").map(Into::into)
}

/// Says what is wrong with a configuration, with the files that open the API, and with those of the fleet's authority.
pub fn check(path: &Path) -> Result<ExitCode, Failure> {
    let config = Config::load(path).map_err(|error| Failure::new(2, error))?;
    if !config.roles.absent().is_empty() {
        let absent = config.roles.absent().join("\n  ");
        let error = anyhow::anyhow!("{} names accounts that are not there:\n  {absent}", path.display());
        return Err(Failure::new(2, error));
    }
    if let Some(api) = &config.api {
        ApiSecrets::load(api).map_err(|error| Failure::new(2, error))?;
    }
    if let Some(web) = &config.web {
        server_config("web", &web.certificate).map_err(|error| Failure::new(2, error))?;
    }
    if let Some(files) = config.fleet.as_ref().and_then(|fleet| fleet.authority.as_ref()) {
        Authority::of_site(files).map_err(|error| Failure::new(2, error))?;
    }
    if let Some(path) = &config.audit.json_lines {
        check_folder(path)
            .map_err(|why| Failure::new(2, anyhow::anyhow!("audit.json_lines = {path:?}: {why}")))?;
    }
    for warning in warnings::about(&config) {
        eprintln!("verifierd: warning: {warning}");
    }
    println!("{} is a configuration", path.display());
    Ok(ExitCode::SUCCESS)
}

/// Whether a file could be made where this one is to be.
fn check_folder(path: &Path) -> Result<(), String> {
    let folder = path.parent().unwrap_or(path);
    if !folder.is_dir() {
        return Err(format!("there is no folder {}: make it, for verifierd alone", folder.display()));
    }
    rustix::fs::access(folder, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)
        .map_err(|error| format!("nothing can be written into {}: {error}", folder.display()))
}

/// Prints the sample file.
pub fn print_default() -> Result<ExitCode, Failure> {
    print(include_str!("../../systemd/verifierd.toml"))
}

/// Prints the settings in effect. The file holds no secrets, so nothing is left out.
pub fn show(path: &Path) -> Result<ExitCode, Failure> {
    let config = Config::load(path).map_err(|error| Failure::new(2, error))?;
    print(&config.to_text())
}

fn print(text: &str) -> Result<ExitCode, Failure> {
    io::stdout().write_all(text.as_bytes()).map_err(|error| Failure::new(1, error))?;
    Ok(ExitCode::SUCCESS)
}
