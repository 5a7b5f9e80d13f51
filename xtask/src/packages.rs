//! Installs the Debian packages that a command needs and the machine lacks, and says which and why.
//!
//! Deliberately removes nothing and starts nothing: services of new packages are kept from starting.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// What a package is needed for, and the file that shows that it is there.
struct Package {
    name: &'static str,
    probe: &'static str,
    reason: &'static str,
}

/// What a login needs: the demo, the tests and the measurements.
const LOGIN: [Package; 6] = [
    Package { name: "openssh-server", probe: "/usr/sbin/sshd", reason: "the SSH server to log in to" },
    Package { name: "openssh-client", probe: "/usr/bin/ssh", reason: "the SSH client, scp and sftp" },
    Package { name: "sudo", probe: "/usr/bin/sudo", reason: "the step-up" },
    Package { name: "login", probe: "/bin/login", reason: "the console login" },
    Package { name: "iproute2", probe: "/bin/ip", reason: "loopback in the private network" },
    Package { name: "util-linux", probe: "/usr/bin/unshare", reason: "private name spaces" },
];

/// What only the tests need.
const TESTS: [Package; 14] = [
    Package {
        name: "oathtool",
        probe: "/usr/bin/oathtool",
        reason: "a second opinion on every one-time password",
    },
    Package {
        name: "pskctool",
        probe: "/usr/bin/pskctool",
        reason: "a second opinion on the files that come with tokens",
    },
    Package {
        name: "python3-pskc",
        probe: "/usr/lib/python3/dist-packages/pskc/__init__.py",
        reason: "to write such files, plain and encrypted",
    },
    Package {
        name: "openssl",
        probe: "/usr/bin/openssl",
        reason: "a certificate to sign such files with, and one for the API",
    },
    Package {
        name: "python3-aiosmtpd",
        probe: "/usr/lib/python3/dist-packages/aiosmtpd/__init__.py",
        reason: "a mail server that takes, refuses, delays and loses mails",
    },
    Package { name: "slapd", probe: "/usr/sbin/slapd", reason: "a directory of persons" },
    Package { name: "rsync", probe: "/usr/bin/rrsync", reason: "to move files past a factor" },
    Package { name: "curl", probe: "/usr/bin/curl", reason: "a second opinion on HTTP/1.1, HTTP/2 and TLS" },
    Package { name: "chromium", probe: "/usr/bin/chromium", reason: "a browser for the pages" },
    Package { name: "chromium-driver", probe: "/usr/bin/chromedriver", reason: "to drive the browser" },
    Package {
        name: "fonts-dejavu-core",
        probe: "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
        reason: "letters for the browser",
    },
    Package { name: "systemd", probe: "/usr/bin/systemd-analyze", reason: "to judge the units" },
    Package { name: "man-db", probe: "/usr/bin/man", reason: "to judge the man pages" },
    Package { name: "strace", probe: "/usr/bin/strace", reason: "to see and to fail system calls" },
];

/// What `cargo xtask bench --profile` looks with.
const PROFILE: [Package; 2] = [
    Package { name: "linux-perf", probe: "/usr/bin/perf", reason: "to see where time goes" },
    Package { name: "strace", probe: "/usr/bin/strace", reason: "to count system calls" },
];

/// What `cargo xtask bench --peers` holds ours against.
const RADIUS: [Package; 1] = [Package {
    name: "freeradius",
    probe: "/usr/lib/freeradius/rlm_totp.so",
    reason: "a RADIUS server with one-time passwords",
}];

/// The same for PAM modules.
const PAM_PEERS: [Package; 2] = [
    Package {
        name: "libpam-google-authenticator",
        probe: "/usr/bin/google-authenticator",
        reason: "a PAM module with one-time passwords",
    },
    Package {
        name: "libpam-oath",
        probe: "/usr/share/doc/libpam-oath",
        reason: "another PAM module with one-time passwords",
    },
];

/// What the peer that comes from Python's own registry needs.
const PYTHON: [Package; 1] = [Package {
    name: "python3-venv",
    probe: "/usr/share/doc/python3-venv",
    reason: "a folder of its own for a peer written in Python",
}];

/// Debian's switch against starting services at installation.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Which packages a command needs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Real logins.
    Login,
    /// Real logins and the tools of the tests.
    Tests,
    /// Profiles.
    Profile,
    /// The RADIUS server of others.
    Radius,
    /// The PAM modules of others.
    PamPeers,
    /// Programs of others that are written in Python.
    Python,
}

/// Installs what is missing. Does nothing, and needs no root, when nothing is.
///
/// # Errors
/// When packages are missing and cannot be installed: not root, no apt-get, or apt-get failed.
pub fn install_missing(need: Need) -> Result<()> {
    let missing = missing(need);
    if missing.is_empty() {
        println!("      nothing is missing");
        return Ok(());
    }
    for package in &missing {
        println!("      installing {}: {}", package.name, package.reason);
    }
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    crate::sandbox::ensure_root(&format!("to install {}", names.join(", ")))?;
    ensure!(Path::new("/usr/bin/apt-get").exists(), "no apt-get here: install {} by hand", names.join(", "));

    let _policy = NoServices::begin()?;
    // The lists may be absent or old; both make the first try fail.
    if !apt_get(&["install"], &names)? {
        ensure!(apt_get(&["update"], &[])?, "apt-get update failed");
        ensure!(apt_get(&["install"], &names)?, "apt-get could not install {}", names.join(", "));
    }
    let still: Vec<&str> = self::missing(need).iter().map(|package| package.name).collect();
    ensure!(still.is_empty(), "installed, but the expected files of {} are not there", still.join(", "));
    Ok(())
}

fn missing(need: Need) -> Vec<&'static Package> {
    let (login, more): (&[Package], &[Package]) = match need {
        Need::Login => (&LOGIN, &[]),
        Need::Tests => (&LOGIN, &TESTS),
        Need::Profile => (&[], &PROFILE),
        Need::Radius => (&[], &RADIUS),
        Need::PamPeers => (&LOGIN, &PAM_PEERS),
        Need::Python => (&[], &PYTHON),
    };
    login.iter().chain(more).filter(|package| !Path::new(package.probe).exists()).collect()
}

fn apt_get(verb: &[&str], names: &[&str]) -> Result<bool> {
    let status = Command::new("apt-get")
        .args(["-q", "-y", "--no-install-recommends", "-o", "Dpkg::Use-Pty=0"])
        .args(verb)
        .args(names)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .status()
        .context("cannot run apt-get")?;
    Ok(status.success())
}

/// Keeps new packages from starting their services, unless the machine has its own rule for that.
struct NoServices {
    made: bool,
}

impl NoServices {
    fn begin() -> Result<Self> {
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o755).open(POLICY);
        match file {
            Ok(mut file) => {
                file.write_all(b"#!/bin/sh\nexit 101\n").context(POLICY)?;
                Ok(Self { made: true })
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(Self { made: false }),
            Err(error) => Err(error).context(POLICY),
        }
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.made
            && let Err(error) = fs::remove_file(POLICY)
        {
            println!("      cannot remove {POLICY}: {error}");
        }
    }
}
