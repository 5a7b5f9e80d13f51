//! What the modules of a stack ask for and what they may answer, in the abstract.
//!
//! A module that is not listed is taken for one that asks for something and may answer anything.

use super::line::Rule;

/// The part that a module plays in a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Ours.
    Ours,
    /// Checks who the user is, by what is named here.
    Factor(&'static str),
    /// Says yes to everybody.
    Permit,
    /// Says no to everybody.
    Deny,
    /// Says yes to root.
    RootOk,
    /// Says yes or no by who, where from or when, without asking.
    Condition,
    /// Says nothing that counts.
    Silent,
    /// Not known.
    Unknown,
}

/// One way in which a module may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The factor was right.
    Right,
    /// The factor was wrong.
    Wrong,
    /// The caller is root, which was enough.
    IsRoot,
    /// Ours: a code was accepted.
    Accepted,
    /// Ours: no code is demanded.
    NotDemanded,
    /// Ours: refused.
    Refused,
    /// Ours: nobody can decide.
    Unavailable,
    /// Anything else.
    Plain,
}

/// The part of a line's module.
pub fn part(rule: &Rule) -> Part {
    match rule.module_name().trim_end_matches(".so") {
        "pam_postern" => Part::Ours,
        "pam_unix" | "pam_sss" | "pam_ldap" | "pam_krb5" | "pam_winbind" | "pam_pwdfile" | "pam_userdb"
        | "pam_tcb" | "pam_kanidm" | "pam_himmelblau" | "pam_systemd_home" | "pam_radius_auth" => {
            Part::Factor("password")
        }
        "pam_google_authenticator" | "pam_oath" | "pam_duo" => Part::Factor("a code of another module"),
        "pam_fprintd" => Part::Factor("a fingerprint"),
        "pam_u2f" => Part::Factor("a security key"),
        "pam_pkcs11" => Part::Factor("a smart card"),
        "pam_ssh_agent_auth" => Part::Factor("a key of the ssh agent"),
        "pam_permit" => Part::Permit,
        "pam_deny" => Part::Deny,
        "pam_rootok" => Part::RootOk,
        "pam_succeed_if" | "pam_listfile" | "pam_access" | "pam_localuser" | "pam_usertype" | "pam_wheel"
        | "pam_nologin" | "pam_securetty" | "pam_shells" | "pam_time" | "pam_faillock" | "pam_tally2"
        | "pam_rhosts" | "pam_exec" | "pam_script" | "pam_sepermit" => Part::Condition,
        "pam_env" | "pam_faildelay" | "pam_group" | "pam_cap" | "pam_mail" | "pam_motd" | "pam_keyinit"
        | "pam_warn" | "pam_echo" | "pam_limits" | "pam_gnome_keyring" | "pam_kwallet5" | "pam_ecryptfs"
        | "pam_mount" | "pam_umask" | "pam_systemd" | "pam_selinux" | "pam_loginuid" | "pam_issue" => {
            Part::Silent
        }
        _ => Part::Unknown,
    }
}

/// Every way in which it may end, with the name of the result that PAM gets.
pub fn endings(part: Part, fails_open: bool) -> &'static [(&'static str, Ending)] {
    use Ending::{Accepted, NotDemanded, Plain, Refused, Right, Unavailable, Wrong};
    match part {
        Part::Ours if fails_open => &[
            ("success", Accepted),
            ("ignore", NotDemanded),
            ("auth_err", Refused),
            ("service_err", Refused),
            ("system_err", Refused),
            ("ignore", Unavailable),
        ],
        Part::Ours => &[
            ("success", Accepted),
            ("ignore", NotDemanded),
            ("auth_err", Refused),
            ("service_err", Refused),
            ("system_err", Refused),
            ("authinfo_unavail", Unavailable),
        ],
        Part::Factor(_) => &[("success", Right), ("auth_err", Wrong)],
        Part::Permit => &[("success", Plain)],
        Part::Deny => &[("auth_err", Plain)],
        Part::RootOk => &[("auth_err", Plain), ("success", Ending::IsRoot)],
        Part::Condition => &[("auth_err", Plain), ("success", Plain), ("ignore", Plain)],
        Part::Silent => &[("ignore", Plain)],
        Part::Unknown => &[("success", Right), ("auth_err", Wrong), ("ignore", Plain)],
    }
}
