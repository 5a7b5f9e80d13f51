//! A machine in a folder: Debian 12's own PAM files with the recipes' lines, on which the doctor finds nothing.
//! Each test breaks one thing.

mod accounts;
mod document;
mod findings;
mod host;
mod libpam;
mod recipes;
mod remedies;
mod verdicts;

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;

use tempfile::TempDir;
use wire::admin::{OnOff, RecoveryStatus, Status, TokenState, TokenType, User, UserToken};

use super::daemon::Daemon;
use super::examine::{Question, examine};
use super::finding::{Code, Finding, Level};
use super::machine::{Machine, Told};
use super::report::Report;
use super::server::Server;
use super::{line, sshd, sudo};

const DEBIAN: [(&str, &str); 10] = [
    ("common-auth", include_str!("debian12/common-auth")),
    ("common-account", include_str!("debian12/common-account")),
    ("common-password", include_str!("debian12/common-password")),
    ("common-session", include_str!("debian12/common-session")),
    ("common-session-noninteractive", include_str!("debian12/common-session-noninteractive")),
    ("other", include_str!("debian12/other")),
    ("sshd", include_str!("debian12/sshd")),
    ("login", include_str!("debian12/login")),
    ("sudo", include_str!("debian12/sudo")),
    ("su", include_str!("debian12/su")),
];

/// What the recipes put in the place of Debian's `@include common-auth`.
const PASSWORD_AND_CODE: &str = "@include common-auth\nauth requisite pam_postern.so\n";

const SERIAL: &str = "2600123456789";

const MODULE: &str = "/usr/lib/x86_64-linux-gnu/security/pam_postern.so";

const SSHD: &str = "usepam yes\nkbdinteractiveauthentication yes\npasswordauthentication no\n\
    pubkeyauthentication yes\nhostbasedauthentication no\ngssapiauthentication no\nlogingracetime 120\n\
    permitrootlogin without-password\nauthenticationmethods publickey,keyboard-interactive:pam\n";

const SUDO: &str = "Matching Defaults entries for alice on box:\n    env_reset, mail_badpass,\n    \
    secure_path=/usr/sbin\\:/usr/bin, use_pty, timestamp_timeout=0\n\n\
    User alice may run the following commands on box:\n    (ALL : ALL) ALL\n";

/// The machine, its question, and the folder that it lives in.
struct Rig {
    folder: TempDir,
    machine: Machine,
    question: Question,
    /// Keeps the sockets there.
    _listeners: Vec<UnixListener>,
}

impl Rig {
    /// A machine without a file.
    fn empty() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root_uid = fs::metadata(folder.path()).expect("it is there").uid();
        let machine = Machine {
            root: folder.path().to_owned(),
            root_uid,
            is_asked_by_root: true,
            configuration: super::configuration::CONFIGURATION.to_owned(),
            now: time::macros::datetime!(2026-11-22 10:00 UTC),
            told: told(),
        };
        let question = Question { user: Some("alice".to_owned()), services: Vec::new() };
        Self { folder, machine, question, _listeners: Vec::new() }
    }

    /// Everything as it should be, and alice, who has a token.
    fn sound() -> Self {
        let mut rig = Self::empty();
        for (name, text) in DEBIAN {
            rig.write(&format!("/etc/pam.d/{name}"), text);
        }
        for service in ["sshd", "login", "sudo", "su"] {
            rig.instead_of_common_auth(service, PASSWORD_AND_CODE);
        }
        rig.write(MODULE, "ELF");
        rig.write("/etc/postern/verifierd.toml", "version = 1\nkey_file = \"/etc/postern/master.key\"\n");
        rig.write("/etc/postern/master.key", "00");
        rig.mode("/etc/postern/master.key", 0o400);
        rig.write("/var/lib/postern/store", "");
        rig.mode("/var/lib/postern", 0o700);
        rig.write("/etc/sudoers", "@includedir /etc/sudoers.d\n");
        rig.folder_of("/run/postern/x");
        for name in ["login", "admin"] {
            let path = format!("/run/postern/{name}.sock");
            rig._listeners.push(UnixListener::bind(rig.path(&path)).expect("bind"));
            rig.mode(&path, 0o600);
        }
        rig
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        self.folder.path().join(path.trim_start_matches('/'))
    }

    /// Makes the folders that a path lies in, as root would.
    fn folder_of(&self, path: &str) {
        let mut folder = self.folder.path().to_owned();
        let parents = Path::new(path.trim_start_matches('/')).parent().expect("a path has a folder");
        for part in parents {
            folder.push(part);
            if !folder.exists() {
                fs::create_dir(&folder).expect("mkdir");
                fs::set_permissions(&folder, Permissions::from_mode(0o755)).expect("chmod");
            }
        }
    }

    fn write(&self, path: &str, text: &str) {
        self.folder_of(path);
        let file = self.path(path);
        fs::write(&file, text).expect("write");
        fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("chmod");
    }

    fn mode(&self, path: &str, mode: u32) {
        fs::set_permissions(self.path(path), Permissions::from_mode(mode)).expect("chmod");
    }

    fn remove(&self, path: &str) {
        fs::remove_file(self.path(path)).expect("remove");
    }

    /// Debian's file of a service, with other lines instead of `@include common-auth`.
    fn instead_of_common_auth(&self, service: &str, lines: &str) {
        let (_, text) = DEBIAN.iter().find(|(name, _)| *name == service).expect("a file of Debian's");
        assert!(text.contains("@include common-auth\n"), "{service} has no such line");
        self.write(&format!("/etc/pam.d/{service}"), &text.replace("@include common-auth\n", lines));
    }

    /// A service of its own, and only it is asked about.
    fn service(&mut self, text: &str) {
        self.write("/etc/pam.d/door", text);
        self.ask("door");
    }

    fn ask(&mut self, service: &str) {
        self.question.services = vec![service.to_owned()];
    }

    /// A line of `sshd -T` with another value.
    fn sshd(&mut self, key: &str, value: &str) {
        self.ask("sshd");
        let text = self.machine.told.sshd.clone().expect("sshd answered");
        let lines = text.lines().filter(|line| !line.starts_with(&format!("{key} ")));
        let rest: Vec<&str> = lines.collect();
        self.machine.told.sshd = Ok(format!("{}\n{key} {value}\n", rest.join("\n")));
    }

    fn sudo(&mut self, text: &str) {
        self.ask("sudo");
        self.machine.told.sudo = Some(Ok(text.to_owned()));
    }

    /// What `verifierd` says.
    fn daemon(&mut self) -> &mut Daemon {
        match &mut self.machine.told.server {
            Server::Verifierd(daemon) => daemon,
            Server::Agent(_) => panic!("an agent serves here"),
        }
    }

    /// What Postern knows of the user.
    fn knows(&mut self, change: impl FnOnce(&mut User)) {
        let mut user = alice();
        change(&mut user);
        self.daemon().user = Some(Ok(Some(user)));
    }

    /// Nobody is named: Postern tells whom it knows.
    fn ask_about_nobody(&mut self) {
        self.question.user = None;
        self.machine.told.sudo = None;
        self.machine.told.account = None;
        let daemon = self.daemon();
        (daemon.user, daemon.recovery) = (None, None);
        daemon.users = Some(Ok(vec!["alice".to_owned(), "root".to_owned()]));
    }

    fn status(&mut self, change: impl FnOnce(&mut Status)) {
        change(self.daemon().status.as_mut().expect("verifierd answered"));
    }

    fn report(&self) -> Report {
        examine(&self.machine, &self.question)
    }

    fn finding(&self, code: Code) -> Option<Finding> {
        self.report().findings.into_iter().find(|finding| finding.code == code)
    }

    fn sentence(&self, service: &str) -> String {
        let report = self.report();
        let verdict = report.verdicts.iter().find(|verdict| verdict.service == service);
        verdict.unwrap_or_else(|| panic!("nothing is said of {service}")).sentence.clone()
    }
}

fn told() -> Told {
    let status = Status {
        api_version: 1,
        kind: "status".into(),
        version: "0.1.0".into(),
        ready: true,
        reasons: Vec::new(),
        started: "2026-11-01T00:00:00Z".into(),
        users: 1,
        tokens: 1,
        codes_evaluated: 0,
        accepted: 0,
        refused: 0,
        store_start: "clean".into(),
        sinks: Vec::new(),
        fleet: None,
        mail: None,
    };
    Told {
        sshd: Ok(SSHD.to_owned()),
        sudo: Some(Ok(SUDO.to_owned())),
        account: Some(Ok("alice:x:1000:1000::/home/alice:/bin/bash\n".to_owned())),
        clock: Ok("yes\n".to_owned()),
        configuration: Ok(Vec::new()),
        server: Server::Verifierd(Box::new(Daemon {
            status: Ok(status),
            user: Some(Ok(Some(alice()))),
            recovery: Some(Ok(recovery(false))),
            users: None,
        })),
    }
}

fn recovery(waiting: bool) -> RecoveryStatus {
    RecoveryStatus { user: "alice".into(), left: 9, made: None, waiting }
}

fn alice() -> User {
    User {
        name: "alice".into(),
        otp: OnOff::On,
        activated: true,
        grace_until: None,
        grace_logins_left: None,
        last_login: None,
        tokens: vec![token(TokenState::Associated)],
        recovery_codes_left: Some(9),
    }
}

fn token(state: TokenState) -> UserToken {
    UserToken { serial: SERIAL.to_owned(), token_type: TokenType::Hotp, is_app: false, state }
}

fn problems(report: &Report) -> Vec<&Finding> {
    report.findings.iter().filter(|finding| finding.level == Level::Problem).collect()
}

#[test]
fn on_a_sound_machine_nothing_is_found() {
    let report = Rig::sound().report();
    let loud: Vec<&Finding> =
        report.findings.iter().filter(|finding| finding.code != Code::UsersExempted).collect();
    assert!(loud.is_empty(), "{loud:#?}");
    // Debian's su asks nothing of root.
    assert_eq!(report.findings.len(), 1);
}

#[test]
fn no_text_panics_wherever_it_is_cut_or_mended() {
    let texts: Vec<&str> = DEBIAN.iter().map(|(_, text)| *text).chain([SSHD, SUDO]).collect();
    let mut rules = 0;
    for text in texts {
        for (index, _) in text.char_indices().step_by(5) {
            let (head, tail) = text.split_at(index);
            for between in ["", "[", "]", "\\\n", "#", "\r\n", "=", "\0", "é", "(", ":", ","] {
                let mended = [head, between, tail].concat();
                rules += line::parse(&mended).len();
                rules += sudo::Listing::parse(&mended).findings(&[]).len();
                rules += sshd::Settings::parse(&mended).ways().len();
            }
        }
    }
    assert!(rules > 0);
}
