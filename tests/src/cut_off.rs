//! Hosts of a fleet that check offline passwords, and logins at them while no verifier answers.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use wire::admin::{OfflinePassword, OfflineState};
use wire::login::{Next, Reply, Verdict};

use crate::agent::{OfflineService, enrol, verifier};
use crate::fleet::FleetHost;
use crate::flows::{Outcome, ssh_outcome};
use crate::login_socket::Login;
use crate::machine::Account;
use crate::network::{add_address, remove_address};
use crate::postern;
use crate::time::{DaemonClock, wait_for};

/// The verifier's address, which comes and goes.
pub const ADDRESS: &str = "10.94.0.1";

/// What is asked at a host that is cut off.
pub const QUESTION: &str = "Offline password: ";

/// A host of a fleet with its service of offline passwords.
pub struct CutOffHost {
    /// Its sshd and its agent.
    pub host: FleetHost,
    service: Option<OfflineService>,
}

impl CutOffHost {
    /// One that has joined, and whose verifier answers.
    ///
    /// * `number`, `name`: as [`FleetHost::start`] has them.
    /// * `clock`: what it sees.
    /// * `zone`: its time zone; the sandbox's own where there is none.
    pub fn start(number: u8, name: &str, clock: &DaemonClock, zone: Option<&str>) -> Self {
        add_address(ADDRESS);
        let mut host = FleetHost::start(number, name);
        if let Some(zone) = zone {
            host.agent.place().set_time_zone(zone);
        }
        host.agent.set_environment(clock.environment(false));
        host.agent.join(&[verifier(ADDRESS)], &enrol(name, &[]));
        // While nobody answers each login waits for as long.
        host.agent.configure(&[verifier(ADDRESS)], "timeout = \"1s\"\n");
        let service = Some(host.agent.launch_offline());
        host.agent.launch_ready();
        Self { host, service }
    }

    /// Loses what it sends to the verifier from now on. The agent is started anew, which notices it at once.
    pub fn cut(&mut self) {
        remove_address(ADDRESS);
        self.host.agent.stop();
        self.host.agent.launch();
        self.host.agent.wait_until("cut off", |status| status["ready"] == false);
    }

    /// Reaches the verifier again, with an agent that is started anew.
    pub fn reconnect(&mut self) {
        add_address(ADDRESS);
        self.restart_agent();
    }

    /// Ends the service as by `kill -9`.
    pub fn kill_service(&mut self) {
        self.service = None;
    }

    /// Starts it, and waits until it answers.
    pub fn launch_service(&mut self) {
        self.service = Some(self.host.agent.launch_offline());
        let socket = self.host.agent.place().path("/run/postern-offline/offline.sock");
        wait_for("the service to answer", || std::os::unix::net::UnixStream::connect(&socket).ok());
    }

    /// Has the agent look at once for what has changed, by a start of its own.
    pub fn restart_agent(&mut self) {
        self.host.agent.stop();
        self.host.agent.launch_ready();
    }

    /// A login by ssh with the Unix password and, where one is asked for, an offline password.
    pub fn give(&self, account: Account, typed: &str) -> Outcome {
        let mut terminal = self.host.login_up_to_password(account);
        terminal.expect(QUESTION);
        terminal.type_line(typed);
        ssh_outcome(terminal)
    }

    /// A login by ssh that needs nothing but the Unix password.
    #[track_caller]
    pub fn expect_grant(&self, account: Account) -> String {
        let shown = ssh_outcome(self.host.login_up_to_password(account)).logged_in();
        assert!(!shown.contains(QUESTION), "{shown}");
        shown
    }

    /// A login of anybody to any service, past sshd.
    pub fn login(&self, user: &str, service: &str) -> Login {
        Login::by_ssh(user).to(service).through(self.host.agent.place().path(wire::LOGIN_SOCKET))
    }

    /// Whether a login is let in without a question.
    #[track_caller]
    pub fn is_granted(&self, user: &str, service: &str) -> bool {
        let reply = self.login(user, service).begin().expect("an answer").reply;
        match reply.next {
            Next::Done { verdict: Verdict::Allow, .. } => {
                assert!(reply.show.iter().any(|line| line.starts_with("Access until ")), "{:?}", reply.show);
                true
            }
            Next::Done { .. } => panic!("decided: {reply:?}"),
            Next::Ask { questions, .. } => {
                assert_eq!(questions[0].text, QUESTION);
                false
            }
        }
    }

    /// Types a password at such a login.
    pub fn redeem(&self, user: &str, service: &str, typed: &str) -> Reply {
        self.login(user, service).attempt(typed).expect("an answer")
    }

    /// What the agent says of its offline passwords.
    pub fn standing(&self) -> serde_json::Value {
        self.host.agent.status().expect("a status")["offline"].clone()
    }
}

/// A password that was told to whoever made it.
#[derive(Debug, Deserialize)]
pub struct Told {
    /// What it is.
    pub made: OfflinePassword,
    /// Itself.
    pub password: String,
}

/// Makes a password, once the host has said that it has its key.
pub fn issue(host: &str, more: &[&str]) -> Told {
    issue_as(host, more)
}

/// The same with an answer that may be another one: of a password that is mailed.
pub fn issue_as<T: DeserializeOwned>(host: &str, more: &[&str]) -> T {
    let order = [&["offline", "issue", "--host", host, "--json"], more].concat();
    let mut said = String::new();
    let made = crate::time::wait_at_most(crate::time::PATIENCE, || {
        let output = postern::run(&order);
        said = postern::said(&output);
        output.status.success().then(|| serde_json::from_slice(&output.stdout).expect("a password"))
    });
    made.unwrap_or_else(|| panic!("{order:?}: {said}"))
}

/// What is known of a password, once its use is told.
pub fn used(id: &str) -> OfflinePassword {
    wait_for("the use to be told", || {
        let shown: OfflinePassword = postern::ask(&["offline", "show", id]);
        (shown.state == OfflineState::Used).then_some(shown)
    })
}
