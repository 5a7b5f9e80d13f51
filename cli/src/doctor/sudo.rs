//! sudo: whether it asks at all, whom, and how often.
//!
//! Reads what `sudo -n -l -U USER` prints, and the sudoers files for the place of a rule. Measured: where
//! `NOPASSWD` or `!authenticate` holds, sudo does not call the module.

use super::finding::{Code, Finding, Place};
use super::machine::Machine;

/// The file that sudo starts with.
const SUDOERS: &str = "/etc/sudoers";

/// Most files that are looked at.
const FILES_MAX: usize = 200;

/// What sudo says about a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The `Defaults` that hold for him.
    defaults: Vec<String>,
    /// One rule a line.
    rules: Vec<String>,
}

/// What sudo will ask of a user, before his rules are looked at one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// He may not use sudo.
    NotAllowed,
    /// Nothing, for every command.
    Nothing,
    /// Nothing for some commands.
    NothingForSome,
    /// What PAM asks.
    Pam,
}

impl Listing {
    /// Reads the output of `sudo -l`.
    pub fn parse(text: &str) -> Self {
        let mut listing = Self::default();
        let mut in_defaults = false;
        for line in text.lines() {
            let is_indented = line.starts_with([' ', '\t']);
            if !is_indented {
                in_defaults = line.starts_with("Matching Defaults");
            } else if in_defaults {
                let words = line.split(", ").map(|word| word.trim().trim_end_matches(',').to_owned());
                listing.defaults.extend(words);
            } else if line.trim_start().starts_with('(') {
                listing.rules.push(line.trim().to_owned());
            } else if let Some(rule) = listing.rules.last_mut() {
                // sudo folds long lines.
                rule.push(' ');
                rule.push_str(line.trim());
            }
        }
        listing
    }

    fn has(&self, name: &str) -> bool {
        self.defaults.iter().any(|default| default == name)
    }

    /// The value of a `Defaults` setting.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.defaults.iter().find_map(|default| default.strip_prefix(name)?.strip_prefix('='))
    }

    /// What is asked. Of several rules for a command the last one holds.
    pub fn asks(&self) -> Asks {
        if self.rules.is_empty() {
            return Asks::NotAllowed;
        }
        if self.has("!authenticate") {
            return Asks::Nothing;
        }
        self.rules.iter().flat_map(|rule| commands(rule)).fold(
            Asks::Pam,
            |before, (command, is_free)| match (command == "ALL", is_free, before) {
                (true, true, _) => Asks::Nothing,
                (true, false, _) => Asks::Pam,
                (false, true, Asks::Nothing) => Asks::Nothing,
                (false, true, _) => Asks::NothingForSome,
                (false, false, Asks::Nothing) => Asks::NothingForSome,
                (false, false, other) => other,
            },
        )
    }

    /// Where it says so: `Defaults !authenticate`, or `NOPASSWD` in a rule.
    pub fn reason(&self) -> &'static str {
        if self.has("!authenticate") { "Defaults !authenticate" } else { "NOPASSWD" }
    }

    /// Findings about a user whose sudo asks PAM.
    pub fn findings(&self, places: &[Place]) -> Vec<Finding> {
        let minutes = self.value("timestamp_timeout");
        let checks = [
            self.asks_nothing(places),
            minutes.is_none_or(|text| text.parse() != Ok(0.0)).then(|| remembers(minutes)),
            ["targetpw", "rootpw", "runaspw"].into_iter().find(|name| self.has(name)).map(asks_another),
        ];
        checks.into_iter().flatten().map(|finding| finding.of("sudo")).collect()
    }

    fn asks_nothing(&self, places: &[Place]) -> Option<Finding> {
        let what = match self.asks() {
            Asks::Nothing => "every command",
            Asks::NothingForSome => "some commands",
            Asks::NotAllowed | Asks::Pam => return None,
        };
        let message = format!("sudo asks nothing for {what}, a code neither: {}", self.reason());
        let remedy = "nothing, if that is meant; else the rule without NOPASSWD, and no `!authenticate`";
        let finding = Finding::new(Code::SudoAsksNothing, message, remedy);
        Some(match places.first() {
            Some(place) => finding.at(place.clone()),
            None => finding,
        })
    }
}

/// The commands of a rule, each with whether nothing is asked for it: a tag holds until another one does.
fn commands(rule: &str) -> Vec<(&str, bool)> {
    let (_, list) = rule.split_once(')').unwrap_or(("", rule));
    let mut is_free = false;
    let mut commands = Vec::new();
    for item in list.split(", ") {
        let mut rest = item.trim();
        while let Some((tag, behind)) = rest.split_once(':').filter(|(tag, _)| is_tag(tag)) {
            match tag {
                "NOPASSWD" => is_free = true,
                "PASSWD" => is_free = false,
                _ => {}
            }
            rest = behind.trim_start();
        }
        commands.push((rest, is_free));
    }
    commands
}

fn is_tag(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|character| character.is_ascii_uppercase() || character == '_')
}

fn remembers(minutes: Option<&str>) -> Finding {
    let message = match minutes {
        Some(text) if text.starts_with('-') => {
            "sudo asks once and then never again in that terminal".to_owned()
        }
        Some(text) => format!("sudo asks again in the same terminal only after {text} minutes"),
        None => "sudo asks again in the same terminal only after some minutes".to_owned(),
    };
    Finding::new(Code::SudoRemembers, message, "Defaults timestamp_timeout=0, where each call shall ask")
}

fn asks_another(setting: &str) -> Finding {
    let message =
        format!("`{setting}` is set: sudo asks for the password and the code of the target account");
    Finding::new(Code::SudoAsksAnother, message, "nothing, if that account has a token of its own")
}

/// The lines of sudoers that let the user by without a question: those that name him first, then those of a group
/// or of everybody. Not found where sudoers cannot be read, or the rule comes from a directory service.
pub fn places(machine: &Machine, user: &str) -> Vec<Place> {
    let mut own = Vec::new();
    let mut shared = Vec::new();
    for file in files(machine) {
        let Ok(text) = machine.read(&file) else { continue };
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            let who = line.split_whitespace().next().unwrap_or_default();
            let free = line.contains("NOPASSWD:") || line.contains("!authenticate");
            if !free || line.starts_with('#') {
                continue;
            }
            if who == user || who == format!("Defaults:{user}") {
                own.push(Place::line(&file, number));
            } else if who == "ALL" || who.starts_with(['%', '+']) || who == "Defaults" || is_alias(who) {
                shared.push(Place::line(&file, number));
            }
        }
    }
    own.append(&mut shared);
    own
}

fn is_alias(who: &str) -> bool {
    who.starts_with(|first: char| first.is_ascii_uppercase()) && !who.contains(':')
}

/// sudoers and what it includes, one level deep.
fn files(machine: &Machine) -> Vec<String> {
    let mut files = vec![SUDOERS.to_owned()];
    let text = machine.read(SUDOERS).unwrap_or_default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let (word, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        match word.trim_start_matches(['@', '#']) {
            "includedir" if word.len() == "@includedir".len() => {
                let folder = path.trim_end_matches('/');
                // sudo leaves these out: packages' and editors' left-overs.
                let taken = |name: &String| !name.contains('.') && !name.ends_with('~');
                let names = machine.names(folder).into_iter().filter(taken);
                files.extend(names.map(|name| format!("{folder}/{name}")));
            }
            "include" if word.len() == "@include".len() => files.push(path.to_owned()),
            _ => {}
        }
    }
    files.truncate(FILES_MAX);
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rules: &[&str], asks: Asks) {
        let rules: Vec<String> = rules.iter().map(|rule| format!("    {rule}\n")).collect();
        let text = format!("User alice may run the following commands on box:\n{}", rules.concat());
        assert_eq!(Listing::parse(&text).asks(), asks, "{text}");
    }

    #[test]
    fn the_last_rule_for_a_command_holds_and_tags_hold_until_the_next() {
        check(&["(ALL : ALL) ALL"], Asks::Pam);
        check(&["(ALL) NOPASSWD: ALL"], Asks::Nothing);
        check(&["(ALL) NOEXEC: NOPASSWD: SETENV: ALL"], Asks::Nothing);
        check(&["(ALL) NOPASSWD: ALL", "(ALL : ALL) ALL"], Asks::Pam);
        check(&["(ALL : ALL) ALL", "(ALL) NOPASSWD: ALL"], Asks::Nothing);
        check(&["(ALL) NOPASSWD: /usr/bin/apt, PASSWD: ALL"], Asks::Pam);
        check(&["(ALL) ALL", "(root) NOPASSWD: /usr/bin/apt update, /bin/ls"], Asks::NothingForSome);
        check(&["(ALL) NOPASSWD: ALL, PASSWD: /bin/sh"], Asks::NothingForSome);
        check(&["(root) /bin/ls, NOPASSWD: /usr/bin/a,", "    /usr/bin/b"], Asks::NothingForSome);
        check(&[], Asks::NotAllowed);
    }

    #[test]
    fn a_folded_list_of_defaults_is_read_whole() {
        let text = "Matching Defaults entries for alice on box:\n    env_reset, timestamp_timeout=-1,\n    \
                    !authenticate\n\nUser alice may run the following commands on box:\n    (ALL) ALL\n";
        let listing = Listing::parse(text);
        assert_eq!(listing.value("timestamp_timeout"), Some("-1"));
        assert_eq!((listing.asks(), listing.reason()), (Asks::Nothing, "Defaults !authenticate"));
    }
}
