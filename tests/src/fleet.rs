//! Hosts of a fleet: machines of a network with sshd, the PAM module and an agent each.

use std::fs;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use crate::agent::Agent;
use crate::flows::{Outcome, QUESTION, SAY_WHO, ssh_outcome};
use crate::machine::{Account, folder};
use crate::network::Place;
use crate::sshd::{self, Sshd};
use crate::terminal::Terminal;
use crate::time::wait_for;

/// A host of a fleet; gone when dropped.
pub struct FleetHost {
    sshd: Child,
    /// Its agent, and where it is.
    pub agent: Agent,
}

impl FleetHost {
    /// A host that people log in to by ssh. Its agent has not joined.
    ///
    /// * `number`: as [`Place::new`] has it.
    ///
    /// # Panics
    /// When its sshd does not listen.
    pub fn start(number: u8, name: &str) -> Self {
        let place = Place::new(number, name);
        // Writes keys and settings, which are the same on every host.
        drop(Sshd::start_with(&[("ListenAddress", "0.0.0.0")]));
        let log = fs::OpenOptions::new().create(true).append(true).open(folder().join("sshd.log"));
        let mut command = Command::new("/usr/sbin/sshd");
        command.args(["-D", "-e", "-f"]).arg(folder().join("sshd_config"));
        let mut command = place.enter(&command);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.expect("sshd.log"));
        let mut sshd = command.spawn().expect("sshd");
        wait_for("a host's sshd to listen", || {
            assert!(sshd.try_wait().expect("sshd").is_none(), "sshd ended: {}", sshd::log_text());
            TcpStream::connect((place.address().as_str(), sshd::PORT)).ok()
        });
        Self { sshd, agent: Agent::of(place, name) }
    }

    /// An ssh login at this host, up to the question for a one-time password.
    pub fn login_up_to_code(&self, account: Account) -> Terminal {
        let mut terminal = self.login_up_to_password(account);
        terminal.expect(QUESTION);
        terminal
    }

    /// An ssh login at this host, with the Unix password typed.
    pub fn login_up_to_password(&self, account: Account) -> Terminal {
        let mut terminal = Terminal::start(self.agent.enter(&sshd::client(account, SAY_WHO)));
        terminal.expect("Password: ");
        terminal.type_line(account.password);
        terminal
    }

    /// An ssh login at this host with password and one-time password.
    pub fn login(&self, account: Account, code: &str) -> Outcome {
        let mut terminal = self.login_up_to_code(account);
        terminal.type_line(code);
        ssh_outcome(terminal)
    }

    /// An ssh login at this host that is refused without a question.
    ///
    /// # Panics
    /// When it is not, with all that was shown.
    #[track_caller]
    pub fn expect_refusal_without_question(&self, account: Account) -> String {
        let shown = ssh_outcome(self.login_up_to_password(account)).refused();
        assert!(!shown.contains(QUESTION), "{shown}");
        shown
    }
}

impl Drop for FleetHost {
    fn drop(&mut self) {
        let _ = self.sshd.kill();
        let _ = self.sshd.wait();
    }
}
