//! A service with some persons, and what a test does with it.

use std::sync::Arc;
use std::time::Duration;

use wire::admin::Role;
use wire::login::Begin;
use zeroize::Zeroizing;

use crate::access::{
    AccessRules, Approved, Asked, DecideError, Decider, How, RequestId, RequestRecord, Requests, Wish,
};
use crate::accounts::{Actor, UserName};
use crate::audit::AuditRecord;
use crate::engine::{Attempt, Decision, Occasion};
use crate::hosts::{GroupName, HostIdentity, HostName};
use crate::keys::random_bytes;
use crate::login::Login;
use crate::people::{By, EmailAddress, NewPerson, Person, PersonChanges};
use crate::policy::RequestTerms;
use crate::trial::Trial;

/// Alice asks; Carol and Dave decide, and at `web2` Erin alone.
pub const CONFIG: &str = r#"
version = 1
[access]
approvers = ["carol", "dave"]
[group.db]
approvers = ["erin"]
[fleet]
listen = "127.0.0.1:7443"
names = ["otp1.example.org"]
"#;

/// Minutes, for what waits.
pub const MINUTE: Duration = Duration::from_secs(60);

pub struct Stand {
    pub trial: Trial,
}

impl Stand {
    pub async fn new() -> Self {
        Self::with(CONFIG).await
    }

    pub async fn with(config: &str) -> Self {
        let stand = Self { trial: Trial::with_config(config).await };
        for login in ["alice", "bob", "carol", "dave", "erin"] {
            stand.add(login, &format!("{login}@example.org"), &[login]).await;
        }
        stand
    }

    /// A new daemon on the same store.
    pub async fn restart(self) -> Self {
        self.restart_with(CONFIG).await
    }

    pub async fn restart_with(self, config: &str) -> Self {
        Self { trial: self.trial.restart_with(config).await }
    }

    pub async fn add(&self, login: &str, email: &str, accounts: &[&str]) -> Arc<Person> {
        let name = |text: &&str| UserName::new(text).unwrap();
        let new = NewPerson {
            login: UserName::new(login).unwrap(),
            email: EmailAddress::parse(email).unwrap(),
            name: None,
            role: Role::User,
            accounts: Some(accounts.iter().map(name).collect()),
            password: None,
        };
        self.trial.service.dialogue.people.clerk().add(new, by()).await.unwrap();
        self.person(login).await
    }

    pub async fn person(&self, login: &str) -> Arc<Person> {
        self.trial.service.dialogue.people.by_login(login).await.unwrap().expect("he is let in")
    }

    pub async fn change(&self, login: &str, changes: PersonChanges) {
        self.trial.service.dialogue.people.clerk().set(login, changes, by()).await.unwrap();
    }

    pub async fn unshare(&self, login: &str, account: &str) {
        let account = UserName::new(account).unwrap();
        self.trial.service.dialogue.people.clerk().unshare(login, account, by()).await.unwrap();
    }

    pub async fn host(&self, name: &str, group: Option<&str>) -> HostIdentity {
        let registrar = &self.trial.service.administration.registrar;
        let group = group.map(|group| GroupName::new(group).unwrap());
        let name = HostName::new(name).unwrap();
        registrar.enrol(name.clone(), group.clone(), false, Actor::administrator("root")).await.unwrap();
        let id = registrar.hosts().find_by_name(&name).unwrap().record.id;
        HostIdentity { id, name, group }
    }

    pub fn requests(&self) -> &Arc<Requests> {
        &self.trial.service.dialogue.requests
    }

    /// Asks as somebody at his own account of this machine.
    pub async fn ask(&self, who: &str, how: How) -> Asked {
        self.wish(login(who, None), who, how).await
    }

    /// Asks as somebody at a place; as nobody, where no person has this login name.
    pub async fn wish(&self, login: Login, who: &str, how: How) -> Asked {
        let person = self.trial.service.dialogue.people.by_login(who).await.unwrap();
        let config = self.trial.service.dialogue.config.load();
        let rules = AccessRules::from(&RequestTerms::at(login.host.as_ref(), &config));
        let typed = format!("{who}@example.org");
        self.requests().ask(Wish { login, typed, person, how, rules }).await.unwrap()
    }

    /// The newest request.
    pub fn newest(&self) -> RequestRecord {
        let newest = |one: &RequestRecord, other: &RequestRecord| one.asked.cmp(&other.asked);
        self.requests().seen(|_| true).into_iter().max_by(newest).expect("somebody asked")
    }

    /// Asks, and returns the request.
    pub async fn request(&self, who: &str, how: How) -> RequestRecord {
        assert!(matches!(self.ask(who, how).await, Asked::Sent { .. }));
        let of_him = |record: &RequestRecord| record.user == who && record.end.is_none();
        self.requests().seen(|_| true).into_iter().find(of_him).expect("he asked")
    }

    pub async fn approve(&self, who: &str, request: &RequestRecord) -> Result<Approved, DecideError> {
        self.requests().approve(request.id, self.decider(who).await, request.number).await
    }

    pub async fn deny(&self, who: &str, id: RequestId) -> Result<RequestRecord, DecideError> {
        self.requests().deny(id, self.decider(who).await).await
    }

    pub async fn decider(&self, who: &str) -> Decider {
        Decider { person: self.person(who).await, account: None }
    }

    /// Asks and has it approved; returns the password.
    pub async fn issued(&self, who: &str) -> Zeroizing<String> {
        let request = self.request(who, How::Approval).await;
        self.approve("carol", &request).await.unwrap();
        self.password(request.id)
    }

    /// The password that a request gave.
    pub fn password(&self, id: RequestId) -> Zeroizing<String> {
        let issue = self.requests().find(id).unwrap().issue.expect("one was issued");
        self.requests().shelf.passwords.derive(id, issue.generation).expose()
    }

    /// Types something as an issued password, at one's own account of this machine.
    pub async fn type_in(&self, who: &str, typed: &str) -> String {
        self.type_at(login(who, None), typed).await
    }

    pub async fn type_at(&self, login: Login, typed: &str) -> String {
        reason(&self.decide(login, random_bytes().unwrap(), typed).await)
    }

    pub async fn decide(&self, login: Login, request: [u8; 16], typed: &str) -> Decision {
        let typed = Zeroizing::new(typed.to_owned());
        let attempt = Attempt { occasion: Occasion::login(login), request, user: None, typed };
        self.trial.service.dialogue.engine.verify_issued(attempt).await
    }

    /// The audit records of an event, oldest first.
    pub fn told(&self, event: &str) -> Vec<AuditRecord> {
        self.trial.audit().into_iter().filter(|record| record.event == event).collect()
    }

    /// How often a password was accepted.
    pub fn accepted(&self) -> usize {
        self.told("login").iter().filter(|record| record.reason == "issued_password").count()
    }
}

/// A login by ssh.
pub fn login(user: &str, host: Option<HostIdentity>) -> Login {
    by_service(user, "sshd", host)
}

pub fn by_service(user: &str, service: &str, host: Option<HostIdentity>) -> Login {
    let begin = Begin {
        api_version: 1,
        request_id: String::new(),
        user: user.into(),
        service: service.into(),
        rhost: Some("192.0.2.7".into()),
        ruser: None,
        tty: Some("ssh".into()),
        columns: None,
        session: None,
        offline_grant_until: None,
    };
    Login::new(begin, host)
}

pub fn reason(decision: &Decision) -> String {
    decision.reason.word()
}

/// Something that has the form of a password, and is none.
pub fn wrong(n: u32) -> String {
    format!("{n:05}-ZZZZZ")
}

fn by() -> By {
    By { actor: Actor::administrator("root"), role: Role::Super }
}
