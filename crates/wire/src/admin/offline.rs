//! Passwords that a host checks alone.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::MailProgress;

/// Which logins a password is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum OfflineScope {
    /// Those of one PAM service.
    Service,
    /// All.
    AllServices,
    /// Those of services that only move files.
    FileTransfer,
    /// None: it ends a wait after wrong tries.
    LockoutReset,
}

/// What is known to have become of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum OfflineState {
    /// Nobody has heard of its use, and its time is not over.
    Open,
    /// Its host says that it was used.
    Used,
    /// It was revoked. Its host hears of that when it reaches a verifier.
    Revoked,
    /// Nobody has heard of its use, and its time is over.
    Expired,
    /// Its host has another key since: it opens nothing.
    Void,
}

impl OfflineState {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Used => "used",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::Void => "void",
        }
    }
}

/// Wishes for a password.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(example = json!({"host": "web-1.example.org", "user": "alice", "scope": "all_services", "valid_for": "2h", "why": "the line is cut"})))]
#[serde(deny_unknown_fields)]
pub struct NewOfflinePassword {
    /// The host, by its name or by the code that it shows at its prompt.
    pub host: String,
    /// The one Unix account; absent for every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Which logins.
    pub scope: OfflineScope,
    /// The PAM service, with the scope `service` and no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// For how long it lets in from its use on: 15m, 30m, 1h, 2h, 4h, 8h, 1d, 2d, 5d, 14d or 30d. It has to be used on the
    /// present day of the host then. Absent with a start and an end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_for: Option<String>,
    /// When it begins to count: `2026-11-23T16:00` by the clocks of `time_zone`, or with `Z` or `+01:00`; absent: now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// `host`, `server`, or a name of the IANA database: whose clocks times and days are meant by; absent: the host's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The address to which it is mailed; the answer does not tell it then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mail: Option<String>,
}

/// A moment at two places.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BothClocks {
    /// RFC 3339 in UTC.
    pub utc: String,
    /// By the clocks of the host, with how far they are from UTC.
    pub host: String,
    /// By those of the verifier.
    pub server: String,
}

impl fmt::Display for BothClocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at the host, {} at the verifier", self.host, self.server)
    }
}

/// A password, without itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OfflinePassword {
    /// Names it for ever: `KEY-NUMBER@HOST`, with the number of the host's key and its own under it.
    pub id: String,
    /// The host, under its present name.
    pub host: String,
    /// The one Unix account; absent for every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Which logins.
    pub scope: OfflineScope,
    /// The PAM service, where it is for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// For how many minutes it lets in from its use on; absent where it has a start and an end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minutes: Option<u64>,
    /// When it begins to count; absent where that is when it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<BothClocks>,
    /// Until when it can be used; with a start and an end, also when what it gives ends.
    pub until: BothClocks,
    /// The host's time zone, as it said itself; absent where it has not: then its clocks are taken for the verifier's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_time_zone: Option<String>,
    /// What became of it.
    pub state: OfflineState,
    /// Why it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Who made it.
    pub made_by: String,
    /// When, RFC 3339 in UTC.
    pub made: String,
    /// Its use; absent where nobody has heard of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<OfflineUsed>,
    /// Who revoked it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_by: Option<String>,
    /// The mail with it; absent where it was told to whoever made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mail: Option<OfflineMail>,
}

impl OfflinePassword {
    /// Which logins it is for, in words.
    pub fn logins(&self) -> &str {
        match self.scope {
            OfflineScope::Service => self.service.as_deref().unwrap_or("one service"),
            OfflineScope::AllServices => "all services",
            OfflineScope::FileTransfer => "file transfers",
            OfflineScope::LockoutReset => "ending a wait",
        }
    }

    /// For how long it lets somebody in, in words.
    pub fn lets_in(&self) -> String {
        const DAY: u64 = 24 * 60;
        let of = |number, unit: &str| {
            format!("{number} {unit}{} from its use on", if number == 1 { "" } else { "s" })
        };
        match (self.minutes, &self.from) {
            (Some(minutes), _) if minutes % DAY == 0 => of(minutes / DAY, "day"),
            (Some(minutes), _) if minutes % 60 == 0 => of(minutes / 60, "hour"),
            (Some(minutes), _) => of(minutes, "minute"),
            (None, Some(from)) => format!("from {from}"),
            (None, None) => "nobody".into(),
        }
    }
}

/// A mail with a password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OfflineMail {
    /// To whom.
    pub to: String,
    /// How it stands; absent where nobody knows any more: a day after its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<MailProgress>,
}

impl fmt::Display for OfflineMail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to)?;
        self.state.map_or(Ok(()), |state| write!(f, ", {}", state.words()))
    }
}

/// The use of a password, as its host tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OfflineUsed {
    /// The Unix account.
    pub user: String,
    /// The PAM service.
    pub service: String,
    /// When, by the host's clock, RFC 3339 in UTC.
    pub at: String,
    /// When what it gave ends.
    pub until: String,
}

/// A password that was made. Told once, here or by mail, and kept nowhere.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MadeOfflinePassword {
    /// What it is.
    pub made: OfflinePassword,
    /// Itself: 15 or 20 characters of Crockford's base 32 in groups of five; absent where it is mailed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

/// What takes two administrators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum UniversalStep {
    /// Turning it on.
    Enable,
    /// Telling the password of the present hour.
    Release,
    /// Turning it off.
    Disable,
}

impl UniversalStep {
    /// The word for it, as messages and routes have it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Enable => "enable",
            Self::Release => "release",
            Self::Disable => "disable",
        }
    }
}

/// Wishes for a step.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(example = json!({"why": "the data centre is cut off"})))]
#[serde(deny_unknown_fields)]
pub struct UniversalWish {
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// How the password for every host stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Universal {
    /// Whether it is on: hosts that have reached a verifier since can check it then.
    pub is_on: bool,
    /// Who turned it on; empty while it is off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub enabled_by: Vec<String>,
    /// When, RFC 3339 in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<String>,
    /// Until when it can be released, RFC 3339 in UTC; after that it has to be turned off, and on again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<String>,
    /// What waits for a second administrator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<UniversalWaiting>,
}

/// A step that one administrator has asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UniversalWaiting {
    /// Which.
    pub step: UniversalStep,
    /// Who.
    pub by: String,
    /// Until when another one may say the same, RFC 3339 in UTC.
    pub until: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What a step came to.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SteppedUniversal {
    /// How it stands now.
    pub universal: Universal,
    /// The password, where it was released: 25 characters in groups of five. Told once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// When it ends, RFC 3339 in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// Passwords, the newest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OfflinePasswordList {
    /// [`crate::API_VERSION`].
    pub api_version: u16,
    /// Always `offline_password_list`.
    pub kind: String,
    /// The passwords.
    pub items: Vec<OfflinePassword>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(minutes: Option<u64>, scope: OfflineScope) -> OfflinePassword {
        let at = BothClocks {
            utc: "2026-11-23T14:00:00Z".into(),
            host: "2026-11-23T16:00:00+02:00".into(),
            server: "2026-11-23T15:00:00+01:00".into(),
        };
        OfflinePassword {
            id: "1-1@web1".into(),
            host: "web1".into(),
            user: None,
            scope,
            service: None,
            minutes,
            from: minutes.is_none().then(|| at.clone()).filter(|_| scope != OfflineScope::LockoutReset),
            until: at,
            host_time_zone: Some("Europe/Helsinki".into()),
            state: OfflineState::Open,
            why: None,
            made_by: "ann (admin)".into(),
            made: "2026-11-23T13:00:00Z".into(),
            used: None,
            revoked_by: None,
            mail: None,
        }
    }

    // covers: N4, N6
    #[test]
    fn for_how_long_is_told_in_words_and_times_by_both_clocks() {
        let told = |minutes| password(minutes, OfflineScope::AllServices).lets_in();
        assert_eq!(told(Some(15)), "15 minutes from its use on");
        assert_eq!(told(Some(60)), "1 hour from its use on");
        assert_eq!(told(Some(43_200)), "30 days from its use on");
        let clocks = "from 2026-11-23T16:00:00+02:00 at the host, 2026-11-23T15:00:00+01:00 at the verifier";
        assert_eq!(told(None), clocks);
        assert_eq!(password(None, OfflineScope::LockoutReset).lets_in(), "nobody");
    }
}
