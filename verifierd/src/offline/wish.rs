//! What an administrator wishes for, as the fields of a password: times where the host stands, services, reasons.

use offline_password::{CUSTOM_AHEAD_MAX_MINUTES, Duration, Purpose, Services, Term, Window, WindowError};
use wire::admin::{NewOfflinePassword, OfflineScope};

use super::{WhenError, Zone};
use crate::accounts::UserName;
use crate::clock::UnixTime;

/// Longest name of a PAM service: that of a file.
const SERVICE_BYTES_MAX: usize = 255;

/// How each duration is written.
const DURATIONS: [&str; Duration::ALL.len()] =
    ["15m", "30m", "1h", "2h", "4h", "8h", "1d", "2d", "5d", "14d", "30d"];

/// A wish that cannot be granted.
#[derive(Debug, thiserror::Error)]
pub enum WishError {
    /// No such duration.
    #[error("{text:?} is no duration of a password: {} are, or a start and an end", DURATIONS.join(", "))]
    Duration {
        /// What was given.
        text: String,
    },
    /// Both, or neither.
    #[error("say for how long (--for, valid_for) or until when (--until, until), and not both")]
    Times,
    /// Not a time.
    #[error(transparent)]
    When(#[from] WhenError),
    /// Not a window.
    #[error(transparent)]
    Window(#[from] WindowError),
    /// It would be over.
    #[error("the end is over already")]
    Over,
    /// It begins too late.
    #[error("a password begins to count within {} days", CUSTOM_AHEAD_MAX_MINUTES / (24 * 60))]
    Ahead,
    /// A service for another scope, or none for its own.
    #[error("a service is named with the scope `service`, and only there")]
    Service,
    /// Not the name of a service.
    #[error("{name:?} is no PAM service: names are those of the files in /etc/pam.d")]
    ServiceName {
        /// What was given.
        name: String,
    },
    /// Not an account.
    #[error("{name:?} is no account name")]
    User {
        /// What was given.
        name: String,
    },
    /// A reset has no window.
    #[error("a password that ends a wait is for today: no times are needed")]
    Reset,
}

/// A wish, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wished {
    /// What it is for.
    pub purpose: Purpose,
    /// The one account.
    pub user: Option<String>,
    /// When.
    pub term: Term,
}

impl Wished {
    /// * `day`: of whose day it has to be used.
    /// * `clocks`: whose clocks the times are by.
    ///
    /// # Errors
    /// See [`WishError`].
    pub fn of(
        wish: &NewOfflinePassword,
        now: UnixTime,
        day: &Zone,
        clocks: &Zone,
    ) -> Result<Self, WishError> {
        let user = wish.user.as_deref().map(|name| {
            UserName::new(name)
                .map(|name| name.to_string())
                .map_err(|_| WishError::User { name: name.into() })
        });
        let (purpose, user) = (purpose(wish)?, user.transpose()?);
        let has_times = wish.from.is_some() || wish.until.is_some();
        let term = match (&wish.valid_for, purpose == Purpose::LockoutReset) {
            (None, true) if !has_times => {
                Term::Preset { duration: Duration::Minutes15, before: day.end_of_day(now)? }
            }
            (_, true) => return Err(WishError::Reset),
            (Some(text), false) if !has_times => {
                Term::Preset { duration: duration(text)?, before: day.end_of_day(now)? }
            }
            (None, false) => window(wish, now, clocks)?,
            (Some(_), false) => return Err(WishError::Times),
        };
        Ok(Self { purpose, user, term })
    }
}

fn purpose(wish: &NewOfflinePassword) -> Result<Purpose, WishError> {
    let services = match (wish.scope, &wish.service) {
        (OfflineScope::Service, Some(name)) => {
            if !is_pam_service(name) {
                return Err(WishError::ServiceName { name: name.clone() });
            }
            Services::One(name.clone())
        }
        (OfflineScope::Service, None) => return Err(WishError::Service),
        (_, Some(_)) => return Err(WishError::Service),
        (OfflineScope::AllServices, None) => Services::All,
        (OfflineScope::FileTransfer, None) => Services::FileTransfers,
        (OfflineScope::LockoutReset, None) => return Ok(Purpose::LockoutReset),
    };
    Ok(Purpose::Access(services))
}

/// Whether a service of PAM can be called so: a file in `/etc/pam.d`.
pub fn is_pam_service(name: &str) -> bool {
    let is_file = !name.is_empty() && name.len() <= SERVICE_BYTES_MAX && !name.starts_with('.');
    is_file && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/')
}

fn duration(text: &str) -> Result<Duration, WishError> {
    let found = DURATIONS.iter().zip(Duration::ALL).find(|(known, _)| **known == text);
    found.map(|(_, duration)| duration).ok_or_else(|| WishError::Duration { text: text.to_owned() })
}

fn window(wish: &NewOfflinePassword, now: UnixTime, clocks: &Zone) -> Result<Term, WishError> {
    let until = wish.until.as_deref().ok_or(WishError::Times)?;
    let start = match wish.from.as_deref() {
        Some(from) => clocks.moment(from)?,
        None => now - now % 60,
    };
    let end = clocks.moment(until)?;
    let window = Window::new(start, end)?;
    if end <= now {
        return Err(WishError::Over);
    }
    if start > now.saturating_add(CUSTOM_AHEAD_MAX_MINUTES * 60) {
        return Err(WishError::Ahead);
    }
    Ok(Term::Custom(window))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-23, 15:30 in Vienna.
    const NOW: UnixTime = 1_795_444_200;

    fn wish(scope: OfflineScope) -> NewOfflinePassword {
        NewOfflinePassword {
            host: "web1".into(),
            user: None,
            scope,
            service: None,
            valid_for: None,
            from: None,
            until: None,
            time_zone: None,
            why: None,
            mail: None,
        }
    }

    fn of(wish: &NewOfflinePassword) -> Result<Wished, WishError> {
        let [day, clocks] = ["Europe/Helsinki", "Europe/Vienna"].map(|name| Zone::named(name).unwrap());
        Wished::of(wish, NOW, &day, &clocks)
    }

    // covers: N4, N5
    #[test]
    fn each_duration_counts_from_its_use_on_the_hosts_present_day() {
        for (text, minutes) in
            DURATIONS.iter().zip([15, 30, 60, 120, 240, 480, 1_440, 2_880, 7_200, 20_160, 43_200])
        {
            let preset =
                NewOfflinePassword { valid_for: Some((*text).into()), ..wish(OfflineScope::AllServices) };
            let Term::Preset { duration, before } = of(&preset).unwrap().term else { panic!("{text}") };
            // Midnight in Helsinki is 22:00 in UTC.
            assert_eq!((duration.minutes(), before.seconds()), (minutes, 1_795_471_200), "{text}");
        }
        for text in ["", "3h", "1w", "2 h", "120m"] {
            let odd = NewOfflinePassword { valid_for: Some(text.into()), ..wish(OfflineScope::AllServices) };
            assert!(matches!(of(&odd), Err(WishError::Duration { .. })), "{text}");
        }
    }

    // covers: N6
    #[test]
    fn a_start_and_an_end_are_by_the_clocks_that_were_named() {
        let custom = |from: Option<&str>, until: Option<&str>| NewOfflinePassword {
            from: from.map(str::to_owned),
            until: until.map(str::to_owned),
            ..wish(OfflineScope::AllServices)
        };
        let term = |from, until| of(&custom(from, until)).map(|wished| wished.term);
        let window = term(Some("2026-11-23T16:00"), Some("2026-11-23T18:00")).unwrap();
        assert_eq!(window, Term::Custom(Window::new(1_795_446_000, 1_795_453_200).unwrap()));
        let Term::Custom(open) = term(None, Some("2026-11-23T18:00")).unwrap() else { panic!("no window") };
        assert_eq!(open.start(), NOW);
        assert!(matches!(term(Some("2026-11-23T10:00"), Some("2026-11-23T15:30")), Err(WishError::Over)));
        assert!(matches!(term(Some("2027-04-01T10:00"), Some("2027-04-01T12:00")), Err(WishError::Ahead)));
        assert!(matches!(term(Some("2026-11-23T16:00"), None), Err(WishError::Times)));
        assert!(matches!(term(None, None), Err(WishError::Times)));
        assert!(matches!(
            term(Some("2026-11-23T18:00"), Some("2026-11-23T16:00")),
            Err(WishError::Window(_))
        ));
        let both =
            NewOfflinePassword { valid_for: Some("1h".into()), ..custom(None, Some("2026-11-23T18:00")) };
        assert!(matches!(of(&both), Err(WishError::Times)));
    }

    // covers: N2, N11, N13
    #[test]
    fn a_password_is_for_a_service_for_all_for_files_or_ends_a_wait() {
        let preset = |scope| NewOfflinePassword { valid_for: Some("1h".into()), ..wish(scope) };
        let purpose = |wish: &NewOfflinePassword| of(wish).map(|wished| wished.purpose);
        let sshd = NewOfflinePassword { service: Some("sshd".into()), ..preset(OfflineScope::Service) };
        assert_eq!(purpose(&sshd).unwrap(), Purpose::Access(Services::One("sshd".into())));
        assert_eq!(
            purpose(&preset(OfflineScope::FileTransfer)).unwrap(),
            Purpose::Access(Services::FileTransfers)
        );
        assert_eq!(purpose(&wish(OfflineScope::LockoutReset)).unwrap(), Purpose::LockoutReset);
        assert!(matches!(purpose(&preset(OfflineScope::LockoutReset)), Err(WishError::Reset)));
        assert!(matches!(purpose(&preset(OfflineScope::Service)), Err(WishError::Service)));
        let both = NewOfflinePassword { service: Some("sshd".into()), ..preset(OfflineScope::AllServices) };
        assert!(matches!(purpose(&both), Err(WishError::Service)));
        for name in ["", "../sshd", "a b", ".", "a\u{202e}"] {
            let odd = NewOfflinePassword { service: Some(name.into()), ..preset(OfflineScope::Service) };
            assert!(matches!(purpose(&odd), Err(WishError::ServiceName { .. })), "{name:?}");
        }
        let alice = NewOfflinePassword { user: Some("alice".into()), ..sshd.clone() };
        assert_eq!(of(&alice).unwrap().user.as_deref(), Some("alice"));
        let odd = NewOfflinePassword { user: Some("a b".into()), ..sshd };
        assert!(matches!(of(&odd), Err(WishError::User { .. })));
    }
}
