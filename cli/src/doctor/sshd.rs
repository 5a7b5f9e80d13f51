//! sshd: which ways in it offers, and whether each of them asks PAM for a code.
//!
//! Reads what `sshd -T` prints, which is every setting after all files, defaults and `Match` blocks.

use super::finding::{Code, Finding, Level, Place};
use super::machine::Machine;

/// Where the settings stand, with those that it includes on most distributions.
const FILE: &str = "/etc/ssh/sshd_config";

/// What [`FILE`] includes.
const FOLDER: &str = "/etc/ssh/sshd_config.d";

/// Shortest `LoginGraceTime` that leaves time to type: a code lives 30 s, and a login waits 20 s for the daemon.
const GRACE_SECONDS_MIN: u32 = 60;

/// sshd's settings as far as they matter here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    use_pam: bool,
    keyboard_interactive: bool,
    password: bool,
    public_key: bool,
    host_based: bool,
    gssapi: bool,
    grace_seconds: u32,
    permit_root: String,
    /// `PAMServiceName`, from OpenSSH 9.8.
    pub pam_service: String,
    /// Each is a list of methods that are all needed; one list is enough. Empty: any one method.
    lists: Vec<Vec<String>>,
}

/// One way in: the methods that are all needed, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    methods: Vec<Method>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Key,
    Host,
    Ticket,
    Password,
    Pam,
    Other,
}

impl Settings {
    /// Reads the output of `sshd -T`.
    pub fn parse(text: &str) -> Self {
        let value = |name: &str| {
            let mut lines = text.lines().filter_map(|line| line.trim().split_once(' '));
            lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
        };
        let is_on = |name: &str| value(name) == Some("yes");
        let lists = value("authenticationmethods").filter(|methods| *methods != "any");
        let split = |list: &str| list.split(',').map(str::to_owned).collect();
        Self {
            use_pam: is_on("usepam"),
            keyboard_interactive: is_on("kbdinteractiveauthentication"),
            password: is_on("passwordauthentication"),
            public_key: is_on("pubkeyauthentication"),
            host_based: is_on("hostbasedauthentication"),
            gssapi: is_on("gssapiauthentication"),
            grace_seconds: value("logingracetime").and_then(|text| text.parse().ok()).unwrap_or(0),
            permit_root: value("permitrootlogin").unwrap_or("prohibit-password").to_owned(),
            pam_service: value("pamservicename").unwrap_or("sshd").to_owned(),
            lists: lists.map(|lists| lists.split_whitespace().map(split).collect()).unwrap_or_default(),
        }
    }

    /// The ways in that are open: those whose methods are all switched on.
    pub fn ways(&self) -> Vec<Way> {
        let alone = [Method::Key, Method::Host, Method::Ticket, Method::Password, Method::Pam];
        let ways: Vec<Vec<Method>> = if self.lists.is_empty() {
            alone.map(|method| vec![method]).to_vec()
        } else {
            self.lists.iter().map(|list| list.iter().map(|name| method(name)).collect()).collect()
        };
        let open = |way: &Vec<Method>| way.iter().all(|method| self.is_on(*method));
        ways.into_iter().filter(open).map(|methods| Way { methods }).collect()
    }

    fn is_on(&self, method: Method) -> bool {
        match method {
            Method::Key => self.public_key,
            Method::Host => self.host_based,
            Method::Ticket => self.gssapi,
            Method::Password => self.password,
            Method::Pam => self.keyboard_interactive && self.use_pam,
            Method::Other => false,
        }
    }

    /// Whether every way that asks PAM has checked something else before.
    pub fn has_factor_before_pam(&self) -> bool {
        let asking: Vec<Way> = self.ways().into_iter().filter(Way::asks_pam).collect();
        !asking.is_empty() && asking.iter().all(Way::has_factor_before_pam)
    }

    /// Whether root is refused on a way, whatever is typed; the text is the setting.
    pub fn refuses_root(&self, way: &Way) -> Option<&str> {
        let types = way.methods.iter().any(|method| matches!(method, Method::Pam | Method::Password));
        let refused = match self.permit_root.as_str() {
            "yes" => false,
            "prohibit-password" | "without-password" => types,
            _ => true,
        };
        refused.then_some(self.permit_root.as_str())
    }

    /// What keeps sshd from asking for a code, given that its PAM stack would ask for one. `demanded`: whether one
    /// is demanded of the user; absent where that is not known.
    pub fn findings(&self, machine: &Machine, is_root: bool, demanded: Option<bool>) -> Vec<Finding> {
        let ways = self.ways();
        let named =
            |wanted| self.lists.is_empty() || self.lists.iter().flatten().any(|name| method(name) == wanted);
        let uncoded = ways.iter().find(|way| !way.asks_pam() && !way.methods.contains(&Method::Password));
        let blind = ways.iter().any(|way| way.methods.contains(&Method::Password));
        let unasked = !self.keyboard_interactive && self.use_pam && named(Method::Pam);
        let alone = uncoded.filter(|_| demanded != Some(false)).map(|way| key_alone(way, demanded));
        let short = (1..GRACE_SECONDS_MIN).contains(&self.grace_seconds);
        let root = is_root && demanded != Some(false);
        let checks = [
            ("usepam", (!self.use_pam).then(pam_off)),
            ("kbdinteractiveauthentication", unasked.then(keyboard_interactive_off)),
            ("passwordauthentication", blind.then(password_method)),
            ("authenticationmethods", alone),
            ("authenticationmethods", self.disabled()),
            ("logingracetime", short.then(|| grace_short(self.grace_seconds))),
            ("permitrootlogin", root.then(|| self.root_code_fails(&ways)).flatten()),
        ];
        let placed = |(keyword, finding): (&str, Option<Finding>)| {
            let place = first_line(machine, keyword).unwrap_or_else(|| Place::file(FILE));
            Some(finding?.at(place).of("sshd"))
        };
        checks.into_iter().filter_map(placed).collect()
    }

    /// `PermitRootLogin no` is meant; a way in on which the right code fails is not.
    fn root_code_fails(&self, ways: &[Way]) -> Option<Finding> {
        let setting = ways.iter().filter(|way| way.asks_pam()).find_map(|way| self.refuses_root(way))?;
        let message = format!(
            "PermitRootLogin is {setting}: at the code's prompt sshd refuses root, right code or not"
        );
        let remedy = "PermitRootLogin yes together with AuthenticationMethods \
                      publickey,keyboard-interactive:pam; or no ssh as root: PermitRootLogin no";
        (setting != "no").then(|| Finding::new(Code::SshdRootRefused, message, remedy))
    }

    /// A method that AuthenticationMethods asks for and that is switched off, but for the one that has a finding
    /// of its own.
    fn disabled(&self) -> Option<Finding> {
        let off = |name: &&String| method(name) != Method::Pam && !self.is_on(method(name));
        let name = self.lists.iter().flatten().find(off)?;
        let message =
            format!("AuthenticationMethods asks for `{name}`, which is switched off or unknown here");
        Some(Finding::new(Code::SshdMethodDisabled, message, "methods that are switched on"))
    }
}

impl Way {
    /// Whether PAM asks its own questions on this way.
    pub fn asks_pam(&self) -> bool {
        self.methods.contains(&Method::Pam)
    }

    fn has_factor_before_pam(&self) -> bool {
        let before = self.methods.iter().take_while(|method| **method != Method::Pam);
        before.into_iter().any(|method| *method != Method::Other)
    }

    /// Whether sshd's own `password` method is on it.
    pub fn uses_password_method(&self) -> bool {
        self.methods.contains(&Method::Password)
    }

    /// What is asked on it; `pam` is what the PAM stack asks.
    pub fn words(&self, pam: &[String]) -> Vec<String> {
        let asked = |method: &Method| match method {
            Method::Key => vec!["key".to_owned()],
            Method::Host => vec!["the client's host key".to_owned()],
            Method::Ticket => vec!["Kerberos ticket".to_owned()],
            Method::Password => vec!["password".to_owned()],
            Method::Pam => pam.to_vec(),
            Method::Other => vec!["another method".to_owned()],
        };
        self.methods.iter().flat_map(asked).collect()
    }
}

fn method(name: &str) -> Method {
    match name.split(':').next().unwrap_or_default() {
        "publickey" => Method::Key,
        "hostbased" => Method::Host,
        "gssapi-with-mic" => Method::Ticket,
        "password" => Method::Password,
        "keyboard-interactive" => Method::Pam,
        _ => Method::Other,
    }
}

/// The files with sshd's settings, in the order in which sshd reads them on Debian.
pub fn files(machine: &Machine) -> Vec<String> {
    let more = machine.names(FOLDER).into_iter().filter(|name| name.ends_with(".conf"));
    more.map(|name| format!("{FOLDER}/{name}")).chain([FILE.to_owned()]).collect()
}

/// The first line that sets something, of all files; sshd takes the first, but for `Match` blocks.
pub fn first_line(machine: &Machine, keyword: &str) -> Option<Place> {
    files(machine).into_iter().find_map(|file| {
        let text = machine.read(&file).ok()?;
        let word = |line: &str| line.trim_start().split([' ', '\t', '=']).next().map(str::to_ascii_lowercase);
        let index = text.lines().position(|line| word(line).as_deref() == Some(keyword))?;
        Some(Place::line(file, u32::try_from(index + 1).ok()?))
    })
}

fn pam_off() -> Finding {
    let message = "UsePAM is off: sshd never asks PAM, so no code is asked";
    Finding::new(Code::SshdPamOff, message, "UsePAM yes")
}

fn keyboard_interactive_off() -> Finding {
    let message = "KbdInteractiveAuthentication is off: sshd has no way to ask for a code";
    Finding::new(Code::SshdKeyboardInteractiveOff, message, "KbdInteractiveAuthentication yes")
}

fn password_method() -> Finding {
    let message = "the `password` method answers every hidden prompt with the password, the code's included";
    let remedy = "PasswordAuthentication no; keyboard-interactive asks for the password as well";
    Finding::new(Code::SshdPasswordMethod, message, remedy)
}

/// Without a user it is a warning: accounts of whom no code is demanded may have to log in like this.
fn key_alone(way: &Way, demanded: Option<bool>) -> Finding {
    let message = format!("{} alone gets in: sshd then asks for no code", way.words(&[]).join(" and "));
    let remedy = "AuthenticationMethods publickey,keyboard-interactive:pam";
    let finding = Finding::new(Code::SshdKeyAlone, message, remedy);
    if demanded == Some(true) { finding } else { finding.at_level(Level::Warning) }
}

fn grace_short(seconds: u32) -> Finding {
    let message =
        format!("LoginGraceTime is {seconds} s: sshd may hang up while a code is looked up and typed");
    Finding::new(Code::SshdGraceShort, message, format!("LoginGraceTime {GRACE_SECONDS_MIN} or more"))
}
