//! Offline passwords: whether hosts check any, and what whoever stands at a prompt reads.

use serde::{Deserialize, Serialize};
use wire::printable::is_risky;

use crate::offline::is_pam_service;

/// Most services whose logins only move files.
const FILE_TRANSFER_SERVICES_MAX: usize = 16;

/// Longest text for whoever needs help, in characters: two lines of a terminal.
pub const CONTACT_CHARACTERS_MAX: usize = 160;

/// Whether a reason has to be given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Justification {
    /// It may be.
    #[default]
    Optional,
    /// Without one no password is made.
    Required,
}

/// What holds of offline passwords.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OfflineConfig {
    /// Whether hosts check any. What was made before opens nothing while they do not.
    pub enabled: bool,
    /// Whether a password may end a wait after wrong tries.
    pub lockout_reset: bool,
    /// Whether whoever makes one says why.
    pub justification: Justification,
    /// Whom to call, for whoever stands at the prompt of a host that reaches no verifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// PAM services whose logins only move files.
    pub file_transfer_services: Vec<String>,
    /// Whether refusals reach a host at which an offline password still lets in.
    pub revocations_pierce_freeze: bool,
    /// Who sees the universal password.
    pub universal_visible_to: UniversalVisibleTo,
}

/// Who sees whether there is a universal password, and may turn it on and off and release it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UniversalVisibleTo {
    /// Administrators, and whoever may do everything.
    #[default]
    Admin,
    /// Whoever may do everything.
    Super,
}

impl Default for OfflineConfig {
    fn default() -> Self {
        Self {
            // A host that is cut off cannot be given a key any more: so it has one before.
            enabled: true,
            lockout_reset: false,
            justification: Justification::default(),
            contact: None,
            file_transfer_services: vec!["sshd-files".into()],
            revocations_pierce_freeze: true,
            universal_visible_to: UniversalVisibleTo::default(),
        }
    }
}

impl OfflineConfig {
    /// The same, with what is wrong of it added to the faults.
    pub(super) fn check(self, faults: &mut Vec<String>) -> Self {
        let is_shown = |text: &String| {
            !text.trim().is_empty()
                && text.chars().count() <= CONTACT_CHARACTERS_MAX
                && !text.chars().any(is_risky)
        };
        if let Some(contact) = self.contact.as_ref().filter(|contact| !is_shown(contact)) {
            faults.push(format!(
                "offline.contact = {contact:?}: one line of up to {CONTACT_CHARACTERS_MAX} characters is needed, none of them \
                 invisible"
            ));
        }
        let many = self.file_transfer_services.len() > FILE_TRANSFER_SERVICES_MAX;
        if let Some(name) = self
            .file_transfer_services
            .iter()
            .find(|name| !is_pam_service(name))
            .or(self.file_transfer_services.last().filter(|_| many))
        {
            faults.push(format!(
                "offline.file_transfer_services = {name:?}: up to {FILE_TRANSFER_SERVICES_MAX} names of files in /etc/pam.d are needed"
            ));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(&format!("version = 1\n{text}")).map_err(|faults| faults.to_string())
    }

    // covers: N9, N11, N15
    #[test]
    fn hosts_check_offline_passwords_unless_told_otherwise_and_what_is_said_is_written_as_it_was() {
        let config = parse("").unwrap().offline;
        assert!(config.enabled && !config.lockout_reset && config.contact.is_none());
        assert_eq!(config.justification, Justification::Optional);
        let config = parse(
            "[offline]\nenabled = false\nlockout_reset = true\njustification = \"required\"\n\
             contact = \"The help desk: +43 1 234 56 78\"\nfile_transfer_services = [\"sftp\"]\n\
             revocations_pierce_freeze = false\nuniversal_visible_to = \"super\"",
        )
        .unwrap();
        let (offline, again) = (&config.offline, Config::parse(&config.to_text()).unwrap());
        assert_eq!(&again.offline, offline);
        assert!(!offline.enabled && offline.lockout_reset);
        assert_eq!(offline.justification, Justification::Required);
        assert_eq!(offline.contact.as_deref(), Some("The help desk: +43 1 234 56 78"));
        assert_eq!(
            (&offline.file_transfer_services[..], offline.revocations_pierce_freeze),
            (&["sftp".to_owned()][..], false)
        );
        assert_eq!(offline.universal_visible_to, UniversalVisibleTo::Super);
    }

    // covers: N15
    #[test]
    fn a_contact_is_one_line_that_can_be_shown() {
        for contact in ["", " ", "a\\nb", "\u{202e}", "\\u001b[2J", &"x".repeat(161)] {
            let refused = parse(&format!("[offline]\ncontact = \"{contact}\"")).unwrap_err();
            assert!(refused.contains("offline.contact"), "{contact:?}: {refused}");
        }
        assert!(parse("[offline]\njustification = \"never\"").is_err());
        assert!(parse("[offline]\nuniversal = true").is_err(), "two administrators turn it on");
        assert!(parse("[offline]\nuniversal_visible_to = \"helpdesk\"").is_err());
        for odd in ["", "../sshd", "a b"] {
            let refused = parse(&format!("[offline]\nfile_transfer_services = [{odd:?}]")).unwrap_err();
            assert!(refused.contains("offline.file_transfer_services"), "{refused}");
        }
    }
}
