//! A host of a fleet: the agent serves the login socket, and the verifier's files are elsewhere.

use super::*;
use crate::doctor::agent::{self, AgentStatus, AskedVerifier, OfflineStatus, Unasked};
use crate::doctor::{configuration, server};

/// An agent that is well, but for what is changed.
pub fn status(change: impl FnOnce(&mut AgentStatus)) -> AgentStatus {
    let verifier =
        |address: &str, connected| AskedVerifier { address: address.to_owned(), connected, problem: None };
    let mut status = AgentStatus {
        ready: true,
        name: Some("web1".to_owned()),
        certificate_until: "2026-11-26T10:00:00Z".to_owned(),
        // The second one is not needed, so nothing connects to it.
        verifiers: vec![
            verifier("https://otp1.example.org:7443", true),
            verifier("https://192.0.2.5:7443", false),
        ],
        offline: None,
    };
    change(&mut status);
    status
}

/// Offline passwords that are well, or are not for this reason.
pub fn offline(problem: Option<&str>) -> OfflineStatus {
    OfflineStatus { ready: problem.is_none(), problem: problem.map(str::to_owned) }
}

impl Rig {
    /// The same machine in a fleet.
    pub fn become_host(&mut self, answer: Result<AgentStatus, Unasked>) {
        for file in [configuration::CONFIGURATION, "/etc/postern/master.key", "/run/postern/admin.sock"] {
            self.remove(file);
        }
        fs::remove_dir_all(self.path("/var/lib/postern")).expect("remove");
        self.write(agent::CONFIGURATION, "version = 1\nverifiers = [\"https://otp1.example.org:7443\"]\n");
        self.write("/var/lib/postern-agent/identity.pem", "");
        self.mode("/var/lib/postern-agent", 0o700);
        self.machine.configuration = agent::CONFIGURATION.to_owned();
        self.machine.told.server = Server::Agent(answer);
    }

    fn host(change: impl FnOnce(&mut AgentStatus)) -> Self {
        let mut rig = Self::sound();
        rig.become_host(Ok(status(change)));
        rig
    }
}

/// The findings with a code.
fn found(rig: &Rig, code: Code) -> Vec<Finding> {
    rig.report().findings.into_iter().filter(|finding| finding.code == code).collect()
}

/// What is said of an agent that is not quite well: its level and message.
fn check(change: impl FnOnce(&mut AgentStatus), level: Level, message: &str) {
    let found = found(&Rig::host(change), Code::AgentDegraded);
    let [finding] = found.as_slice() else { panic!("{found:#?}") };
    assert_eq!((finding.level, finding.message.plain()), (level, message));
}

fn fail(verifier: &mut AskedVerifier) {
    (verifier.connected, verifier.problem) = (false, Some("timed out".to_owned()));
}

#[test]
fn a_machine_is_a_host_where_the_agents_file_stands_and_verifierds_does_not() {
    let rig = Rig::sound();
    let is_host = || server::is_host(rig.folder.path());
    assert!(!is_host());
    rig.write(agent::CONFIGURATION, "version = 1\n");
    assert!(!is_host(), "both are there: it decides itself");
    rig.remove(configuration::CONFIGURATION);
    assert!(is_host());
    rig.remove(agent::CONFIGURATION);
    assert!(!is_host(), "neither is there");
}

// covers: P9
#[test]
fn on_a_sound_host_nothing_is_found_but_that_the_verifier_decides() {
    for ask in [|_: &mut Rig| {}, Rig::ask_about_nobody_here] {
        let mut rig = Rig::host(|_| {});
        ask(&mut rig);
        let report = rig.report();
        let codes: Vec<Code> = report.findings.iter().map(|finding| finding.code).collect();
        assert_eq!(codes, [Code::UsersExempted, Code::NotChecked], "{:#?}", report.findings);
        let remedy = report.findings[1].remedy.plain();
        assert!(remedy.contains("`postern policy try --user NAME --host web1 "), "{remedy}");
    }
}

impl Rig {
    fn ask_about_nobody_here(&mut self) {
        self.question.user = None;
        self.machine.told.sudo = None;
        self.machine.told.account = None;
    }
}

#[test]
fn what_is_demanded_of_a_user_is_left_open() {
    let mut rig = Rig::host(|_| {});
    assert_eq!(rig.sentence("login"), "password, then a one-time password, if the verifier demands one");
    assert!(rig.report().verdicts.iter().all(|verdict| verdict.asks_code.is_none()));
    rig.ask_about_nobody_here();
    assert_eq!(rig.sentence("sudo"), "password, then a one-time password, of whom one is demanded");
}

#[test]
fn where_the_agent_or_every_verifier_is_away_the_sentence_says_so() {
    let mut rig = Rig::sound();
    rig.become_host(Err(Unasked::NotRunning("no agent answers".to_owned())));
    assert_eq!(rig.sentence("su"), "password, then a refusal: postern-agent does not answer");
    let rig = Rig::host(|status| {
        status.ready = false;
        status.offline = Some(offline(Some("the key is gone")));
    });
    assert_eq!(rig.sentence("su"), "password, then a refusal: no verifier answers");
    let rig = Rig::host(|status| (status.ready, status.offline) = (false, Some(offline(None))));
    assert_eq!(rig.sentence("su"), "password, then an offline password, since no verifier answers");
    let message = &found(&rig, Code::AgentDegraded)[0].message;
    assert!(message.plain().starts_with("no verifier answers, so only offline passwords get past our line"));
}

// covers: N1, N12
#[test]
fn a_host_that_would_check_no_offline_password_is_told_of_and_one_where_they_are_off_is_not() {
    let with = |ready, problem: Option<&str>| {
        let standing = OfflineStatus { ready, problem: problem.map(str::to_owned) };
        found(&Rig::host(|status| status.offline = Some(standing)), Code::OfflineUnready)
    };
    let found = with(false, Some("the key is gone"));
    assert_eq!((found.len(), found[0].level), (1, Level::Warning));
    assert!(found[0].message.plain().ends_with("no offline password would open this host: the key is gone"));
    assert!(with(true, None).is_empty() && with(false, None).is_empty());
}

#[test]
fn of_an_agent_that_could_not_be_asked_nothing_is_claimed() {
    let mut rig = Rig::sound();
    rig.become_host(Err(Unasked::Unknown("only root may ask it".to_owned())));
    rig.machine.is_asked_by_root = false;
    assert!(problems(&rig.report()).is_empty());
    let said = found(&rig, Code::NotChecked);
    assert_eq!(said[0].message.plain(), "not looked at: how the agent is: only root may ask it");
    let remedy = said[1].remedy.plain();
    assert!(remedy.starts_with("at the verifier, `postern policy try "), "root knows no more: {remedy}");
}

#[test]
fn without_our_line_a_host_without_agent_is_no_problem() {
    let mut rig = Rig::sound();
    rig.become_host(Err(Unasked::NotRunning("no agent answers".to_owned())));
    for service in ["sshd", "login", "sudo", "su"] {
        rig.instead_of_common_auth(service, "@include common-auth\n");
    }
    assert!(problems(&rig.report()).is_empty());
}

#[test]
fn verifiers_that_do_not_answer_are_named_with_their_cause() {
    let none = "no verifier answers, so every login that our line guards is refused: ";
    check(
        |status| {
            status.ready = false;
            status.verifiers.iter_mut().for_each(fail);
        },
        Level::Problem,
        &format!("{none}https://otp1.example.org:7443: timed out; https://192.0.2.5:7443: timed out"),
    );
    check(
        |status| (status.ready, status.verifiers[0].connected) = (false, false),
        Level::Problem,
        &format!("{none}none has been heard yet"),
    );
    check(
        |status| fail(&mut status.verifiers[1]),
        Level::Warning,
        "a verifier answers, but another one does not: https://192.0.2.5:7443: timed out",
    );
}

#[test]
fn a_certificate_that_was_not_renewed_is_told_two_days_before_its_end() {
    let until = |end: &'static str| move |status: &mut AgentStatus| status.certificate_until = end.to_owned();
    assert_eq!(found(&Rig::host(until("2026-11-24T10:00:00Z")), Code::AgentDegraded), []);
    check(
        until("2026-11-24T09:59:59Z"),
        Level::Warning,
        "the host's certificate ends at 2026-11-24T09:59:59Z and was not renewed in time",
    );
    check(
        until("2026-11-22T10:00:00Z"),
        Level::Problem,
        "the host's certificate ended at 2026-11-22T10:00:00Z: every verifier refuses this host",
    );
    let said = found(&Rig::host(until("soon")), Code::NotChecked);
    assert!(said.iter().any(|finding| finding.message.plain().contains("certificate is good")), "{said:#?}");
}

#[test]
fn the_hosts_own_files_are_looked_at() {
    let message = |make: fn(&mut Rig), code| {
        let mut rig = Rig::host(|_| {});
        make(&mut rig);
        let finding = rig.finding(code).unwrap_or_else(|| panic!("{code:?} is not found"));
        format!("{} | {}", finding.message.plain(), finding.remedy.plain())
    };
    let told = message(|rig| rig.remove("/run/postern/login.sock"), Code::SocketMissing);
    assert!(told.ends_with("| systemctl start postern-agent.socket"), "{told}");
    const ELSEWHERE: &str = "version = 1\n[sockets]\nlogin = \"/run/x.sock\"\n";
    let differs = message(|rig| rig.write(agent::CONFIGURATION, ELSEWHERE), Code::SocketDiffers);
    assert!(differs.contains("postern-agent listens at /run/x.sock"), "{differs}");
    assert!(differs.ends_with("sockets.login in agent.toml"), "{differs}");
    let open = message(|rig| rig.mode("/var/lib/postern-agent", 0o755), Code::StateFolderOpen);
    assert!(open.starts_with("others than root may look into the folder of the host's key"), "{open}");
    let faulty = message(|rig| rig.write(agent::CONFIGURATION, "version ="), Code::ConfigurationFaulty);
    assert!(faulty.ends_with("| a file that passes `postern-agent config check`"), "{faulty}");
    let refused = message(
        |rig| rig.machine.told.configuration = Ok(vec!["postern-agent: x is wrong".to_owned()]),
        Code::ConfigRefused,
    );
    assert!(refused.starts_with("the next start of postern-agent may fail, and then every login that our"));
    assert!(refused.ends_with("`postern-agent config check --config /etc/postern/agent.toml`"), "{refused}");
}
