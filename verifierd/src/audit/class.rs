//! Which class an event belongs to, and so for how long its records are kept.

use serde::{Deserialize, Serialize};

/// What records are told apart by when it is said how long they are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Decisions, and what was seen of guessing.
    Login,
    /// Who came in, and when he left.
    Session,
    /// Changes of users, tokens, recovery codes, hosts, persons and bans; requests for passwords.
    Change,
    /// The daemon and its store.
    Service,
}

impl Class {
    /// The word for it in the configuration and in records.
    pub fn word(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Session => "session",
            Self::Change => "change",
            Self::Service => "service",
        }
    }

    /// The class of an event. One that is in no class is kept for ever: a newer daemon may have written it.
    pub fn of(event: &str) -> Option<Self> {
        EVENTS.iter().find(|(_, events)| events.contains(&event)).map(|(class, _)| *class)
    }
}

/// Every event that there is.
const EVENTS: [(Class, &[&str]); 4] = [
    (
        Class::Login,
        &["login", "self_service", "token_tested", "guesses_from_one_source", "person_key_refused"],
    ),
    (Class::Session, &["session_opened", "session_closed", "session_reported", "sessions_left_out"]),
    (
        Class::Change,
        &[
            "user_otp_on",
            "user_otp_off",
            "user_enrolled_at_login",
            "user_unlocked",
            "recovery_codes_made",
            "recovery_codes_voided",
            "token_added",
            "tokens_imported",
            "token_removed",
            "token_assigned",
            "token_associated",
            "token_resynchronized",
            "token_disassociated",
            "token_disabled",
            "person_password_disabled",
            "token_lost",
            "token_enabled",
            "ban_lifted",
            "enrolment_shown",
            "authority_created",
            "host_enrolled",
            "host_joined",
            "host_join_refused",
            "host_certified",
            "host_key_changed",
            "host_group_set",
            "host_renamed",
            "host_revoked",
            "offline_key_given",
            "offline_password_made",
            "offline_password_revoked",
            "offline_password_used",
            "offline_universal_asked_for",
            "offline_universal_enabled",
            "offline_universal_released",
            "offline_universal_disabled",
            "offline_universal_used",
            "person_added",
            "person_changed",
            "person_removed",
            "security_key_added",
            "security_key_removed",
            "person_key_added",
            "person_key_revoked",
            "access_requested",
            "access_approved",
            "access_denied",
            "access_cancelled",
            "access_expired",
            "access_issued",
            "access_resent",
            "access_voided",
        ],
    ),
    (
        Class::Service,
        &[
            "service_started",
            "store_behind",
            "store_settled",
            "audit_expired",
            "audit_damaged",
            "mail_failed",
        ],
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    // covers: P7
    #[test]
    fn every_event_that_is_documented_belongs_to_one_class_and_no_other_does() {
        let page = include_str!("../../../docs/audit.md");
        let row = page.lines().find(|line| line.starts_with("| `event` |")).expect("the page has the row");
        let told: BTreeSet<&str> =
            row.split('`').skip(3).step_by(2).filter(|word| !word.is_empty()).collect();
        let classed: Vec<&str> = EVENTS.iter().flat_map(|(_, events)| events.iter().copied()).collect();
        let distinct: BTreeSet<&str> = classed.iter().copied().collect();
        assert_eq!(classed.len(), distinct.len(), "an event stands in two classes");
        // Not an event of ours, but what stands for a record that cannot be read.
        let told: BTreeSet<&str> = told.into_iter().filter(|event| *event != "unreadable").collect();
        assert_eq!(told, distinct);
    }

    #[test]
    fn a_class_is_called_the_same_everywhere() {
        for (class, events) in EVENTS {
            assert_eq!(serde_json::to_value(class).unwrap(), class.word());
            assert!(events.iter().all(|event| Class::of(event) == Some(class)));
        }
        assert_eq!(Class::of("unreadable"), None);
    }
}
