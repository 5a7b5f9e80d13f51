//! Mails with passwords.

use serde::{Deserialize, Serialize};

/// How the mail with a password stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum MailProgress {
    /// It is on its way.
    Waiting,
    /// The mail server took it.
    Sent,
    /// It could not be delivered.
    Failed,
}

impl MailProgress {
    /// The words for it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Waiting => "on its way",
            Self::Sent => "sent",
            Self::Failed => "not delivered",
        }
    }
}
