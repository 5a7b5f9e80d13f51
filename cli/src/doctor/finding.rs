//! What the doctor finds: a code for programs, a level, a place, what is so and what would be right.
//!
//! The codes are part of the interface; docs/doctor.md explains each.

use serde::Serialize;

use super::text::Text;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Somebody gets in who should not, or stays out who should not.
    Problem,
    /// Perhaps meant so; worth a second look.
    Warning,
    /// Worth knowing.
    Note,
}

impl Level {
    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Problem => "problem",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

macro_rules! codes {
    ($($variant:ident $name:literal $level:ident $meaning:literal)*) => {
        /// Every kind of finding.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code {
            $(#[doc = $meaning] $variant,)*
        }

        impl Code {
            /// All of them, in the order of the document.
            #[cfg(test)]
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name in JSON, tables and the document.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// How bad it is, where nothing makes it better.
            pub fn level(self) -> Level {
                match self {
                    $(Self::$variant => Level::$level,)*
                }
            }
        }
    };
}

codes! {
    ServiceFileMissing "service_file_missing" Warning "A service that was asked about has no PAM file."
    FileUnusual "file_unusual" Problem "A PAM file is a folder, a device, or larger than any such file."
    IncludeMissing "include_missing" Problem "An included PAM file is not there."
    IncludeLoop "include_loop" Problem "PAM files include each other in a circle, or too deep."
    LineMalformed "line_malformed" Problem "A line that PAM cannot read, and takes for a refusal."
    LineEndsCrlf "line_ends_crlf" Problem "A PAM file with the line ends of another system."
    JumpTooFar "jump_too_far" Problem "A control jumps past the end of the stack."
    ArgumentUnknown "argument_unknown" Problem "Our line has an argument that the module refuses."
    RefusalNotFinal "refusal_not_final" Problem "A refused code does not refuse the login."
    ModuleSkipped "module_skipped" Problem "Another factor's success skips our line."
    UsersExempted "users_exempted" Note "A condition skips our line for some users."
    AskedAfterWrongPassword "asked_after_wrong_password" Problem "Our line is reached with a wrong password."
    AskedBeforePassword "asked_before_password" Problem "Our line stands before the first factor."
    FirstFactorMissing "first_factor_missing" Problem "Nothing but the code is checked."
    FailsOpen "fails_open" Warning "Logins go on without a code while no verifier answers."
    NobodyGetsIn "nobody_gets_in" Problem "Even a right code does not let anybody in."
    NotDemandedRefused "not_demanded_refused" Warning "Whoever needs no code is refused."
    AskedTwice "asked_twice" Warning "One login asks for two codes."
    RecorderNotFinal "recorder_not_final" Problem "A session that has to be recorded begins without it."
    LineNotReached "line_not_reached" Problem "Our line stands in a shared file that the service does not include."
    LineOfWrongType "line_of_wrong_type" Warning "Our line stands where it asks for nothing."
    AccountLine "account_line" Note "Our line stands in the account stack."
    NotAsked "not_asked" Note "The service asks for no code."
    ModuleNowhere "module_nowhere" Warning "No service asks for a code."
    StackTooWide "stack_too_wide" Warning "A stack with more ways through it than are looked at."
    SshdPamOff "sshd_pam_off" Problem "sshd does not ask PAM at all."
    SshdKeyboardInteractiveOff "sshd_keyboard_interactive_off" Problem "sshd cannot ask for a code."
    SshdPasswordMethod "sshd_password_method" Problem "sshd answers the code's prompt with the password."
    SshdKeyAlone "sshd_key_alone" Problem "A key alone gets in."
    SshdMethodDisabled "sshd_method_disabled" Problem "AuthenticationMethods names what is switched off."
    SshdGraceShort "sshd_grace_short" Warning "sshd's patience ends before a code can be typed."
    SshdRootRefused "sshd_root_refused" Problem "sshd refuses root, even with the right code."
    SudoAsksNothing "sudo_asks_nothing" Warning "sudo asks the user for nothing."
    SudoRemembers "sudo_remembers" Note "sudo asks again only after a while."
    SudoAsksAnother "sudo_asks_another" Note "sudo asks for somebody else's password and code."
    AccountMissing "account_missing" Problem "The user has no account here."
    NoShell "no_shell" Note "The account's shell ends every login."
    UserRefused "user_refused" Problem "Whatever the user types, he is refused."
    RecoveryOnly "recovery_only" Warning "Only recovery codes let the user in."
    AccountsUnknown "accounts_unknown" Warning "Accounts that Postern refuses because it does not know them."
    ModuleFileMissing "module_file_missing" Problem "A PAM file names the module, which is not installed."
    ModuleFileWritable "module_file_writable" Problem "Others than root can replace the module."
    SocketMissing "socket_missing" Problem "The module finds no socket to ask at."
    SocketOpen "socket_open" Problem "Others than root can use a socket that is root's."
    SocketDiffers "socket_differs" Problem "The module asks where nobody listens."
    ConfigurationFaulty "configuration_faulty" Problem "The server's configuration is missing or cannot be read as TOML."
    ConfigRefused "config_refused" Problem "The server would not start with its configuration."
    ConfigurationWritable "configuration_writable" Problem "Others than root can change the server's configuration."
    KeyFileMissing "key_file_missing" Problem "The master key is not where verifierd.toml says."
    KeyFileOpen "key_file_open" Problem "Others than root can read the master key."
    StateFolderOpen "state_folder_open" Problem "Others than root can reach the store, or the host's key."
    VerifierdUnreachable "verifierd_unreachable" Problem "verifierd does not answer."
    VerifierdNotReady "verifierd_not_ready" Problem "verifierd decides no logins."
    VerifierdDegraded "verifierd_degraded" Warning "verifierd complains."
    StoreEndedEarly "store_ended_early" Warning "The store lacked commits at the last start."
    AgentUnreachable "agent_unreachable" Problem "The agent of this host does not answer."
    AgentDegraded "agent_degraded" Problem "The agent complains."
    OfflineUnready "offline_unready" Warning "No offline password would open this host."
    ClockUnsynchronized "clock_unsynchronized" Warning "Nothing keeps the clock right."
    NotChecked "not_checked" Note "Something could not be read or asked."
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind of thing.
    pub code: Code,
    /// How bad it is here.
    pub level: Level,
    /// The PAM service that it is about; absent when it is about the machine or the user.
    pub service: Option<String>,
    /// Where it stands.
    pub place: Option<Place>,
    /// What is so.
    pub message: Text,
    /// What would be right.
    pub remedy: Text,
}

/// A file, and a line of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// As the machine names it.
    pub file: String,
    /// From 1; absent for the file as a whole.
    pub line: Option<u32>,
}

impl Place {
    /// The file as a whole.
    pub fn file(file: impl Into<String>) -> Self {
        Self { file: file.into(), line: None }
    }

    /// One line of it.
    pub fn line(file: impl Into<String>, line: u32) -> Self {
        Self { file: file.into(), line: Some(line) }
    }

    /// `/etc/pam.d/sshd:4`.
    pub fn text(&self) -> String {
        match self.line {
            Some(line) => format!("{}:{line}", self.file),
            None => self.file.clone(),
        }
    }
}

impl Finding {
    /// A finding about the machine or the user, at the level of its code.
    pub fn new(code: Code, message: impl Into<Text>, remedy: impl Into<Text>) -> Self {
        Self {
            code,
            level: code.level(),
            service: None,
            place: None,
            message: message.into(),
            remedy: remedy.into(),
        }
    }

    /// The same, about a service.
    pub fn of(self, service: &str) -> Self {
        Self { service: Some(service.to_owned()), ..self }
    }

    /// The same, with its place.
    pub fn at(self, place: Place) -> Self {
        Self { place: Some(place), ..self }
    }

    /// The same, at another level.
    pub fn at_level(self, level: Level) -> Self {
        Self { level, ..self }
    }
}
