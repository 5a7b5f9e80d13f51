//! The systemd units: as closed as they claim to be, and without a key that systemd does not know.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::build;

/// A service of ours.
struct Unit {
    name: &'static str,
    /// Where the unit says that its program is.
    program: &'static str,
    /// Highest exposure that systemd may find, in tenths: 15 is 1.5 of 10.
    exposure_max: u8,
}

/// One that speaks to the network may be a tenth more exposed than one that does not.
const SERVICES: [Unit; 3] = [
    Unit { name: "verifierd", program: "/usr/sbin/verifierd", exposure_max: 15 },
    Unit { name: "postern-agent", program: "/usr/sbin/postern-agent", exposure_max: 16 },
    Unit { name: "postern-offline", program: "/usr/sbin/postern-agent", exposure_max: 8 },
];

/// The units of the sockets.
const SOCKETS: [&str; 7] = [
    "postern-login.socket",
    "postern-admin.socket",
    "postern-user.socket",
    "postern-api.socket",
    "postern-fleet.socket",
    "postern-agent.socket",
    "postern-web.socket",
];

/// What lets verifierd speak to a mail server and a directory, and the exposure that it may have then. A service that
/// makes connections is more exposed than one that cannot, as systemd counts it.
const DROP_IN: (&str, u8) = ("verifierd-network.conf", 16);

/// Runs `systemd-analyze`, which needs no systemd that runs.
///
/// # Errors
/// When it finds anything. It tells of unknown keys without failing, so its silence is demanded too.
pub fn check() -> Result<()> {
    let units = build::workspace().join("systemd");
    let copies = build::workspace().join("target/units");
    fs::create_dir_all(&copies).context("target/units")?;
    for Unit { name, program, exposure_max } in SERVICES {
        let file = format!("{name}.service");
        let service = units.join(&file);
        let threshold = format!("--threshold={exposure_max}");
        build::run(
            Command::new("systemd-analyze").args(["security", "--offline=true", &threshold]).arg(&service),
        )?;
        // The program has to be where the unit says, so it says where the program is.
        let text = fs::read_to_string(&service).with_context(|| file.clone())?;
        let built = build::workspace().join("target/release").join(program.trim_start_matches("/usr/sbin/"));
        fs::write(copies.join(&file), text.replace(program, &built.to_string_lossy())).context(file)?;
    }
    check_drop_in(&units, &copies)?;
    for socket in SOCKETS {
        fs::copy(units.join(socket), copies.join(socket)).context(socket)?;
    }
    let output = Command::new("systemd-analyze")
        .arg("verify")
        .args(SERVICES.map(|unit| copies.join(format!("{}.service", unit.name))))
        .args(SOCKETS.map(|name| copies.join(name)))
        .output()
        .context("cannot run systemd-analyze")?;
    let said = [output.stdout, output.stderr].concat();
    let said = about_ours(&String::from_utf8_lossy(&said));
    ensure!(output.status.success() && said.is_empty(), "systemd-analyze verify says:\n{said}");
    Ok(())
}

/// The drop-in counts behind the unit, so what systemd sees is one text after the other.
fn check_drop_in(units: &Path, copies: &Path) -> Result<()> {
    let (name, exposure_max) = DROP_IN;
    let read = |name: &str| fs::read_to_string(units.join(name)).with_context(|| name.to_owned());
    let service = read("verifierd.service")?;
    let (before, install) = service.split_once("[Install]").context("verifierd.service has no [Install]")?;
    let both = format!("{before}\n{}\n[Install]{install}", read(name)?);
    let place = copies.join("with-network.service");
    fs::write(&place, both).context("with-network.service")?;
    let threshold = format!("--threshold={exposure_max}");
    build::run(Command::new("systemd-analyze").args(["security", "--offline=true", &threshold]).arg(&place))?;
    fs::remove_file(place).context("with-network.service")
}

/// Leaves out what is said of units that the machine has from elsewhere, each line of which begins with its path.
fn about_ours(said: &str) -> String {
    let foreign =
        |line: &&str| ["/lib/systemd/", "/usr/lib/systemd/"].iter().any(|path| line.starts_with(path));
    let ours: Vec<&str> = said.lines().filter(|line| !line.is_empty() && !foreign(line)).collect();
    ours.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_other_units_is_left_out() {
        let said = "/lib/systemd/system/other.service:23: old\n\nverifierd.service: Unknown key\n";
        assert_eq!(about_ours(said), "verifierd.service: Unknown key");
        assert_eq!(about_ours("\n"), "");
    }
}
