//! A login as the host describes it, bounded and ready for records.

use serde::{Deserialize, Serialize};
use wire::login::{Begin, FIELD_BYTES_MAX};

use crate::accounts::{UserName, UserNameError};
use crate::clock::UnixTime;
use crate::engine::Source;
use crate::hosts::HostIdentity;

/// Who wants to log in, to what, from where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// The account, exactly as PAM named it.
    pub user: String,
    /// The PAM service.
    pub service: String,
    /// At which host, by its certificate; absent on the machine itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostIdentity>,
    /// Where from; absent when local.
    pub rhost: Option<String>,
    /// Which terminal; `ssh` under sshd.
    pub tty: Option<String>,
    /// Who asks, under `su` and `sudo`.
    pub ruser: Option<String>,
    /// Width of the terminal.
    pub columns: Option<u16>,
    /// Which session of the terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Until when its host would let it in alone, by an offline password that was used before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offline_grant_until: Option<UnixTime>,
}

impl Login {
    /// Takes over a request. Fields that are too long are cut; they are shown and counted, never trusted.
    ///
    /// * `host`: who sent it, by its certificate; none on the machine itself.
    pub fn new(begin: Begin, host: Option<HostIdentity>) -> Self {
        let Begin { user, service, rhost, tty, ruser, columns, session, offline_grant_until, .. } = begin;
        let offline_grant_until = offline_grant_until.filter(|_| host.is_some());
        let [user, service] = [user, service].map(cut);
        let [rhost, tty, ruser, session] =
            [rhost, tty, ruser, session].map(|field| field.map(cut).filter(|text| !text.is_empty()));
        Self { user, service, host, rhost, tty, ruser, columns, session, offline_grant_until }
    }

    /// From a program that asks for the code itself.
    pub fn from(user: &str, service: &str, host: Option<HostIdentity>, rhost: Option<&str>) -> Self {
        let [user, service] = [user, service].map(|field| cut(field.into()));
        let rhost = rhost.map(|field| cut(field.into())).filter(|text| !text.is_empty());
        Self {
            user,
            service,
            host,
            rhost,
            tty: None,
            ruser: None,
            columns: None,
            session: None,
            offline_grant_until: None,
        }
    }

    /// Something that was done for a user at a program of ours.
    pub fn at(user: &str, service: &str) -> Self {
        Self::from(user, service, None, None)
    }

    /// The account as an identity.
    ///
    /// # Errors
    /// When it is not exactly an account name.
    pub fn user_name(&self) -> Result<UserName, UserNameError> {
        UserName::new(&self.user)
    }

    /// What throttles count.
    pub fn source(&self) -> Source {
        Source::new(self.host.as_ref().map(|host| host.id), self.rhost.as_deref())
    }

    /// Whether the program on the host drops text that no question follows (sshd before OpenSSH 10.3).
    pub fn needs_question_after_text(&self) -> bool {
        self.tty.as_deref() == Some("ssh")
    }
}

fn cut(text: String) -> String {
    match text.char_indices().find(|(start, character)| start + character.len_utf8() > FIELD_BYTES_MAX) {
        Some((start, _)) => text[..start].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: E18
    #[test]
    fn long_fields_are_cut_at_a_character() {
        let begin = Begin {
            api_version: 1,
            request_id: String::new(),
            user: "alice".into(),
            service: "sshd".into(),
            rhost: Some("\u{e9}".repeat(3_000)),
            ruser: Some(String::new()),
            tty: Some("ssh".into()),
            columns: None,
            session: None,
            offline_grant_until: None,
        };
        let login = Login::new(begin, None);
        assert_eq!(login.rhost.as_ref().map(String::len), Some(FIELD_BYTES_MAX));
        assert_eq!(login.ruser, None);
        assert!(login.needs_question_after_text());
    }
}
