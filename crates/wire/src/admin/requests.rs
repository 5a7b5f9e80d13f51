//! Requests for one-time passwords, as approvers and administrators see them.

use serde::{Deserialize, Serialize};

use super::MailProgress;

/// How a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RequestState {
    /// It waits for a decision.
    Pending,
    /// Its password waits to be used.
    Issued,
    /// Its password was used.
    Used,
    /// An approver said no.
    Denied,
    /// It was taken back.
    Cancelled,
    /// Nobody decided, or nobody used the password.
    Expired,
    /// Something that it rests on changed, or too many wrong tries were made.
    Void,
}

/// How a password was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RequestWay {
    /// An approver decides.
    Approval,
    /// Nobody does.
    Automatic,
    /// An approver decides, and it is urgent.
    Emergency,
}

/// A request. The number that the requester sees is not in it: he tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AccessRequest {
    /// Which: 26 characters of Crockford's base 32.
    pub id: String,
    /// How it stands.
    pub state: RequestState,
    /// How it was asked for.
    pub way: RequestWay,
    /// Which account it opens.
    pub user: String,
    /// By which PAM service.
    pub service: String,
    /// At which host of the fleet, as it was called then; absent on the verifier's own machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Where from; absent when local.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rhost: Option<String>,
    /// Login name of the person who asks; absent where no person fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// His address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// What he said he is, where he was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_as: Option<String>,
    /// Why it is urgent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was made, RFC 3339 in UTC.
    pub asked: String,
    /// Until when it can be decided, or its password can be used.
    pub until: String,
    /// Who approved it; absent where nobody did, or nobody had to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    /// When its password was issued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued: Option<String>,
    /// How the mail with the password stands; absent where there is none, or nobody knows any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mail: Option<MailProgress>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// Who ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<String>,
    /// Why it ended, where there is more to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Whether the caller decides about it.
    pub is_yours_to_decide: bool,
}

/// Requests, the newest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RequestList {
    /// [`crate::API_VERSION`].
    pub api_version: u16,
    /// Always `request_list`.
    pub kind: String,
    /// Those that the caller may see.
    pub items: Vec<AccessRequest>,
}

/// An approval.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(example = json!({"number": 42})))]
#[serde(deny_unknown_fields)]
pub struct ApproveRequest {
    /// The number that the requester sees, as he told it: 10 to 99.
    pub number: u16,
}

/// A request that was approved.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApprovedRequest {
    /// As it is from now on.
    #[serde(flatten)]
    pub request: AccessRequest,
    /// The password, where the approver tells it; absent where it goes by mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}
