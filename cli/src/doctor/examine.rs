//! Puts together what the machine holds, service by service. Asks nobody: everything is in [`Machine`].

use super::configuration::Configuration;
use super::demand::{self, Demand};
use super::finding::{Code, Finding, Place};
use super::installed::{self, Lines};
use super::judge::{self, Judged};
use super::line::{self, Action, Kind, Words};
use super::machine::Machine;
use super::report::{Report, Verdict};
use super::server::Server;
use super::sshd::{self, Settings};
use super::stack::{self, Entry, Stack};
use super::sudo::{self, Listing};
use super::verdict::{self, Passage};
use super::{accounts, agent, arguments, not_checked};

/// The services that are looked at where none is named, as far as they are there.
const SERVICES: [&str; 4] = ["sshd", "login", "sudo", "su"];

/// Where the services' files are, for looking through all of them.
const FOLDER: &str = "/etc/pam.d";

/// What is asked of the doctor.
pub struct Question {
    /// A Unix account.
    pub user: Option<String>,
    /// PAM services; none: the usual ones.
    pub services: Vec<String>,
}

/// What holds for all services.
struct Case<'a> {
    machine: &'a Machine,
    user: Option<&'a str>,
    is_root: bool,
    /// Whether this machine is known to have no such account.
    is_stranger: bool,
    demand: Demand,
    /// Files with our line that others include.
    shared: Vec<Place>,
    is_somewhere: bool,
    /// Whether the configuration has sessions of this machine refused that nothing records.
    refuses_unrecorded: bool,
}

/// Looks at everything.
pub fn examine(machine: &Machine, question: &Question) -> Report {
    let (configuration, mut findings) = Configuration::read(machine);
    let (account, more) = accounts::asked_about(machine);
    findings.extend(more);
    findings.extend(accounts::unknown(machine, &configuration.policy));
    let is_stranger = account.is_none() && question.user.is_some();
    let (demand, more) = match &machine.told.server {
        Server::Verifierd(daemon) => demand::of_user(daemon, &configuration.policy, !is_stranger),
        Server::Agent(_) => (demand::at_verifier(question.user.is_some()), Vec::new()),
    };
    let (shared, is_somewhere) = our_files(machine);
    // What Postern demands matters where it is asked.
    findings.extend(more.into_iter().filter(|_| is_somewhere));
    let is_root = account.is_some_and(|account| account.is_root) || question.user.as_deref() == Some("root");
    let user = question.user.as_deref();
    let refuses_unrecorded = configuration.refuses_unrecorded;
    let case = Case { machine, user, is_root, is_stranger, demand, shared, is_somewhere, refuses_unrecorded };

    let mut verdicts = Vec::new();
    let mut lines = Lines { modules: Vec::new(), sockets: Vec::new() };
    for service in services(machine, question) {
        let (verdict, more) = case.service(&service, &mut lines);
        verdicts.push(verdict);
        findings.extend(more);
    }
    if !is_somewhere {
        let message = format!("no file in {FOLDER} asks for a code: no login on this machine does");
        findings.push(Finding::new(Code::ModuleNowhere, message, "the lines in docs/recipes.md"));
    }
    findings.extend(installed::files(machine, &configuration, &lines));
    findings.extend(match &machine.told.server {
        Server::Verifierd(daemon) => installed::daemon(daemon, is_somewhere),
        Server::Agent(answer) => agent::findings(answer, is_somewhere, machine.now),
    });
    findings.extend(installed::clock(machine));
    if !machine.is_asked_by_root {
        let unlooked = findings.iter_mut().filter(|finding| finding.code == Code::NotChecked);
        let remedy = "`postern doctor` as root, who can read more; else a look at it by hand";
        unlooked.for_each(|finding| finding.remedy = remedy.into());
    }
    // Whoever asks, here it is not known.
    if let Server::Agent(answer) = &machine.told.server {
        findings.push(agent::decided_elsewhere(answer));
    }
    Report { user: question.user.clone(), verdicts, findings }
}

fn services(machine: &Machine, question: &Question) -> Vec<String> {
    if !question.services.is_empty() {
        return question.services.clone();
    }
    let there = |service: &&str| stack::service_file(machine, service).is_some();
    SERVICES.into_iter().filter(there).map(str::to_owned).collect()
}

impl Case<'_> {
    fn service(&self, service: &str, lines: &mut Lines) -> (Verdict, Vec<Finding>) {
        let mut findings = Vec::new();
        let settings = (service == "sshd").then(|| self.ssh_settings(&mut findings)).flatten();
        let listing =
            matches!(service, "sudo" | "sudo-i").then(|| self.sudo_listing(&mut findings)).flatten();
        let pam = match (&settings, &listing) {
            (Some(settings), _) => settings.pam_service.as_str(),
            (_, Some(listing)) => listing.value(sudo_key(service)).unwrap_or(service),
            _ => service,
        };
        let stack = stack::load(self.machine, pam, Kind::Auth);
        // Where sshd's settings could not be read, a key may come first: nothing is said against that.
        let factor_before = settings.as_ref().map_or(service == "sshd", Settings::has_factor_before_pam);
        let Judged { walks, findings: judged } = judge::judge(&stack, factor_before);
        // What is closed to us may be what seems to be missing.
        findings.extend(if stack.has_gaps { stack.faults.clone() } else { judged });
        findings.extend(self.whole_service(pam, &stack));
        let ours: Vec<&Entry> = stack.entries.iter().filter(|entry| entry.is_ours()).collect();
        note(&ours, lines);

        if let (Some(settings), false) = (&settings, ours.is_empty()) {
            findings.extend(settings.findings(self.machine, self.is_root, self.demand.is_code()));
        }
        let places = self.user.map(|user| sudo::places(self.machine, user)).unwrap_or_default();
        if let (Some(listing), false, false) = (&listing, ours.is_empty(), self.is_root) {
            findings.extend(listing.findings(&places));
        }
        let obstacle = self.obstacle(&ours);
        let is_hindered = obstacle.is_some();
        // Through these lines what holds for the user is demanded, unless they cannot ask.
        let demand = obstacle.unwrap_or_else(|| self.demand.clone());
        let passage = Passage::through(&stack, &walks, &demand);
        let (sentence, asks_code) = match (&settings, &listing) {
            _ if self.is_stranger => ("is refused: there is no such account".to_owned(), Some(false)),
            _ if stack.has_gaps => ("not known: a PAM file of it could not be read".to_owned(), None),
            (Some(settings), _) => verdict::ssh(&passage, settings, &demand, self.is_root),
            (_, Some(listing)) => {
                let place = places.first().map(Place::text);
                verdict::sudo(&passage, listing, place, self.is_root)
            }
            _ if service == "sshd" => {
                (format!("not known for sshd itself; by its PAM stack: {}", passage.sentence()), None)
            }
            _ => (passage.sentence(), Some(passage.asks_ours)),
        };
        let named = |finding: Finding| finding.of(service);
        let asks_code = self.asks_code(asks_code, is_hindered);
        let verdict = Verdict { service: service.to_owned(), sentence, asks_code };
        (verdict, findings.into_iter().map(named).collect())
    }

    /// What keeps these lines from asking.
    fn obstacle(&self, ours: &[&Entry]) -> Option<Demand> {
        ours.iter().find_map(|entry| {
            let rule = entry.rule()?;
            let socket = arguments::parse(&rule.arguments).ok().map(|arguments| arguments.socket);
            installed::obstacle(self.machine, &rule.module, socket.as_deref())
        })
    }

    /// Whether a code will be asked for, given whether the login gets as far as our line. Without a user: whether it
    /// can be.
    fn asks_code(&self, reaches_ours: Option<bool>, is_hindered: bool) -> Option<bool> {
        match reaches_ours {
            Some(true) if is_hindered => Some(false),
            Some(true) if self.user.is_some() => self.demand.is_code(),
            reached => reached,
        }
    }

    /// What is to be said of a service's files beside its auth stack.
    fn whole_service(&self, service: &str, auth: &Stack) -> Vec<Finding> {
        let mut findings = Vec::new();
        if stack::service_file(self.machine, service).is_none() {
            let message = format!("{service} has no file in {FOLDER}: PAM uses that of `other`");
            findings.push(Finding::new(
                Code::ServiceFileMissing,
                message,
                "the name of a service that is there",
            ));
        }
        let account = stack::load(self.machine, service, Kind::Account);
        findings.extend(account.faults);
        if let Some(entry) = account.entries.iter().find(|entry| entry.is_ours()) {
            let message = "our line in the account stack refuses a login whose user was exchanged after the code, \
                           and asks for nothing";
            findings.push(at(Code::AccountLine, message, "nothing; it may stay or go", entry));
        }
        let password = stack::load(self.machine, service, Kind::Password);
        if let Some(entry) = password.entries.iter().find(|entry| entry.is_ours()) {
            let message = "our line asks for codes in the auth stack only, and does nothing here";
            findings.push(at(Code::LineOfWrongType, message, "`auth requisite pam_postern.so`", entry));
        }
        let session = stack::load(self.machine, service, Kind::Session);
        findings.extend(session.entries.iter().filter_map(|entry| self.unrecorded(entry)));
        if !auth.entries.iter().any(Entry::is_ours) && !auth.has_gaps && self.is_somewhere {
            findings.push(match self.shared.first() {
                Some(place) => {
                    let message =
                        format!("no code is asked: our line in {} is not included here", place.text());
                    let remedy =
                        format!("`@include {}`, or our line in this service's own file", name(&place.file));
                    Finding::new(Code::LineNotReached, message, remedy)
                }
                None => Finding::new(
                    Code::NotAsked,
                    "no code is asked: our line is not in this service's auth stack",
                    "nothing, if that is meant; else the recipe for it in docs/recipes.md",
                ),
            });
        }
        findings
    }

    /// A session line of ours whose refusal PAM does not hear, where one is meant.
    fn unrecorded(&self, entry: &Entry) -> Option<Finding> {
        let rule = entry.rule().filter(|rule| rule.is_ours())?;
        let has_word = rule.arguments.iter().any(|word| word == "recorder_unknown=refuse");
        let is_final = matches!(rule.control.action("session_err"), Action::Bad | Action::Die);
        (!is_final && (has_word || self.refuses_unrecorded)).then(|| {
            let message = format!(
                "a session whose recorder does not start begins all the same: `{}` lets it go on",
                rule.control_text
            );
            Finding::new(Code::RecorderNotFinal, message, "`session required pam_postern.so`")
                .at(entry.place.clone())
        })
    }

    fn ssh_settings(&self, findings: &mut Vec<Finding>) -> Option<Settings> {
        if let (None, Some(place)) = (self.user, sshd::first_line(self.machine, "match")) {
            let what =
                format!("Match blocks of sshd, such as {}: they count where --user names one", place.text());
            findings.push(not_checked(&what));
        }
        match &self.machine.told.sshd {
            Ok(text) => Some(Settings::parse(text)),
            Err(why) => {
                findings.push(not_checked(&format!("sshd's settings: {why}")));
                None
            }
        }
    }

    fn sudo_listing(&self, findings: &mut Vec<Finding>) -> Option<Listing> {
        match self.machine.told.sudo.as_ref()? {
            Ok(text) => Some(Listing::parse(text)),
            Err(why) => {
                findings.push(not_checked(&format!("what sudo allows the user: {why}")));
                None
            }
        }
    }
}

fn sudo_key(service: &str) -> &'static str {
    if service == "sudo-i" { "pam_login_service" } else { "pam_service" }
}

fn at(code: Code, message: &'static str, remedy: &'static str, entry: &Entry) -> Finding {
    Finding::new(code, message, remedy).at(entry.place.clone())
}

fn note(ours: &[&Entry], lines: &mut Lines) {
    for entry in ours {
        let Some(rule) = entry.rule() else { continue };
        if !lines.modules.iter().any(|(module, _)| *module == rule.module) {
            lines.modules.push((rule.module.clone(), entry.place.clone()));
        }
        let Ok(arguments) = arguments::parse(&rule.arguments) else { continue };
        if !lines.sockets.iter().any(|(socket, _)| *socket == arguments.socket) {
            lines.sockets.push((arguments.socket, entry.place.clone()));
        }
    }
}

/// The files with our auth line that are there to be included, and whether there is our line in any file.
fn our_files(machine: &Machine) -> (Vec<Place>, bool) {
    let mut ours = Vec::new();
    let mut included: Vec<(String, String)> = Vec::new();
    for file in machine.names(FOLDER) {
        let path = format!("{FOLDER}/{file}");
        for line in line::parse(&machine.read(&path).unwrap_or_default()) {
            match line.words {
                Words::IncludeAll(target) | Words::Include(_, target) | Words::Substack(_, target) => {
                    included.push((name(&target).to_owned(), file.clone()));
                }
                Words::Rule(Kind::Auth, rule) if rule.is_ours() => ours.push(Place::line(&path, line.number)),
                Words::Rule(..) | Words::Malformed(..) => {}
            }
        }
    }
    let is_somewhere = !ours.is_empty();
    let is_shared = |place: &Place| {
        let file = name(&place.file);
        let is_named_so = file.starts_with("common-") || matches!(file, "system-auth" | "password-auth");
        is_named_so || included.iter().any(|(target, by)| target == file && !is_variant(by, file))
    };
    (ours.into_iter().filter(is_shared).collect(), is_somewhere)
}

/// Whether a service is another one's variant, as su-l is of su: what it includes is still the other one's own.
fn is_variant(service: &str, of: &str) -> bool {
    service.strip_prefix(of).is_some_and(|rest| rest.starts_with('-'))
}

/// The last part of a path.
pub fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
