//! What a request gets that was not done: from our errors to the closed set of `wire::error`.

use axum::Json;
use axum::response::{IntoResponse, Response};
use wire::error::{ErrorBody, ErrorCode, ErrorDetail};

use crate::accounts::ChangeError;
use crate::http::imports::ImportError;
use serve::reply::status_of;

/// An error answer on its way.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: ErrorCode,
    pub(super) message: String,
}

/// An error answer.
///
/// * `message`: one line that names the thing and what would be right.
pub(super) fn refusal(code: ErrorCode, message: String) -> Refusal {
    Refusal { code, message }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self { code, message } = self;
        (status_of(code), Json(ErrorBody { error: ErrorDetail { code, message } })).into_response()
    }
}

impl From<ChangeError> for Refusal {
    fn from(error: ChangeError) -> Self {
        let code = match error {
            ChangeError::NoSuchToken { .. } | ChangeError::NoSuchUser { .. } => ErrorCode::NotFound,
            ChangeError::SerialExists { .. }
            | ChangeError::SecretExists { .. }
            | ChangeError::WrongState { .. }
            | ChangeError::LastToken { .. }
            | ChangeError::TooManyTokens { .. }
            | ChangeError::AppForHolder { .. }
            | ChangeError::NothingProved { .. }
            | ChangeError::NotFresh { .. }
            | ChangeError::OtpOff { .. } => ErrorCode::Conflict,
            ChangeError::AppForNobody => ErrorCode::Malformed,
            ChangeError::NotStored { .. }
            | ChangeError::Random(_)
            | ChangeError::Busy
            | ChangeError::Invalid(_) => ErrorCode::Unavailable,
        };
        refusal(code, error.to_string())
    }
}

impl From<ImportError> for Refusal {
    fn from(error: ImportError) -> Self {
        let code = match error {
            ImportError::Busy | ImportError::Faulty { .. } => ErrorCode::Conflict,
            ImportError::Gone => ErrorCode::NotFound,
            ImportError::Key(_) => ErrorCode::Unavailable,
        };
        refusal(code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_that_was_not_made_says_whose_fault_it_is() {
        let code = |error: ChangeError| Refusal::from(error).code;
        let serial = || "S".to_owned();
        assert_eq!(code(ChangeError::NoSuchToken { serial: serial() }), ErrorCode::NotFound);
        assert_eq!(code(ChangeError::SerialExists { serial: serial() }), ErrorCode::Conflict);
        assert_eq!(code(ChangeError::LastToken { serial: serial() }), ErrorCode::Conflict);
        assert_eq!(code(ChangeError::Busy), ErrorCode::Unavailable);
    }
}
