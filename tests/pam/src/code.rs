//! The PAM return codes the tests expect, from `security/_pam_types.h`.

/// PAM_SUCCESS.
pub const SUCCESS: i32 = 0;
/// PAM_SERVICE_ERR.
pub const SERVICE_ERR: i32 = 3;
/// PAM_SYSTEM_ERR.
pub const SYSTEM_ERR: i32 = 4;
/// PAM_PERM_DENIED.
pub const PERM_DENIED: i32 = 6;
/// PAM_AUTH_ERR.
pub const AUTH_ERR: i32 = 7;
/// PAM_AUTHINFO_UNAVAIL.
pub const AUTHINFO_UNAVAIL: i32 = 9;
/// PAM_USER_UNKNOWN.
pub const USER_UNKNOWN: i32 = 10;
/// PAM_CONV_ERR.
pub const CONV_ERR: i32 = 19;
