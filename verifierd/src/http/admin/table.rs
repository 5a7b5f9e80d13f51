//! Every route, with the verb that it needs and the words of the OpenAPI document.

use axum::http::Method;

use super::routes::Routes;
use super::{
    audit, bans, hosts, imports, keys, metrics, offline, people, policy, recovery, requests, rollout,
    sessions, store, tokens, universal, users,
};
use crate::http::roles::Verb;

#[expect(clippy::too_many_lines, reason = "a table: an entry for each route")]
pub(super) fn routes() -> Routes {
    const GET: Method = Method::GET;
    const PUT: Method = Method::PUT;
    const POST: Method = Method::POST;
    const DELETE: Method = Method::DELETE;
    Routes::new()
        .add(
            Verb::SelfShow,
            (GET, "/v1/self"),
            users::show_self,
            ("show_self", "Who you are, and what Postern knows of you"),
        )
        .add(Verb::UserList, (GET, "/v1/users"), users::list, ("list_users", "All users"))
        .add(Verb::UserShow, (GET, "/v1/users/{name}"), users::show, ("show_user", "One user"))
        .add(
            Verb::UserSetOtp,
            (PUT, "/v1/users/{name}/otp"),
            users::set_otp,
            ("set_otp", "Turn the demand for a one-time password on or off"),
        )
        .add(
            Verb::UserUnlock,
            (POST, "/v1/users/{name}/unlock"),
            users::unlock,
            ("unlock_user", "Clear counts of wrong codes"),
        )
        .add(
            Verb::RecoveryStatus,
            (GET, "/v1/users/{name}/recovery"),
            recovery::status,
            ("show_recovery", "How many recovery codes are left"),
        )
        .add(
            Verb::RecoveryRegenerate,
            (POST, "/v1/users/{name}/recovery"),
            recovery::regenerate,
            ("make_recovery_codes", "Make new recovery codes; those before are void"),
        )
        .add(Verb::TokenList, (GET, "/v1/tokens"), tokens::list, ("list_tokens", "All tokens"))
        .add(Verb::TokenAdd, (POST, "/v1/tokens"), tokens::add, ("add_token", "Add a token"))
        .add(Verb::TokenShow, (GET, "/v1/tokens/{serial}"), tokens::show, ("show_token", "One token"))
        .add(
            Verb::TokenRemove,
            (DELETE, "/v1/tokens/{serial}"),
            tokens::remove,
            ("remove_token", "Remove a token that never worked"),
        )
        .add(
            Verb::TokenAssign,
            (POST, "/v1/tokens/{serial}/assign"),
            tokens::assign,
            ("assign_token", "Give a token to a user, who proves it at his next login"),
        )
        .add(
            Verb::TokenAssociate,
            (POST, "/v1/tokens/{serial}/associate"),
            tokens::associate,
            ("associate_token", "Give a token to a user, proved by a code"),
        )
        .add(
            Verb::TokenResync,
            (POST, "/v1/tokens/{serial}/resync"),
            tokens::resynchronize,
            ("resynchronize_token", "Find counter or drift again"),
        )
        .add(
            Verb::TokenTest,
            (POST, "/v1/tokens/{serial}/test"),
            tokens::test,
            ("test_token", "Check a code, and use it up"),
        )
        .add(
            Verb::TokenDisassociate,
            (POST, "/v1/tokens/{serial}/disassociate"),
            tokens::disassociate,
            ("disassociate_token", "Take a token from its user"),
        )
        .add(
            Verb::TokenDisable,
            (POST, "/v1/tokens/{serial}/disable"),
            tokens::disable,
            ("disable_token", "Stop a token"),
        )
        .add(
            Verb::TokenLost,
            (POST, "/v1/tokens/{serial}/lost"),
            tokens::lost,
            ("lose_token", "Mark a token as lost"),
        )
        .add(
            Verb::TokenEnable,
            (POST, "/v1/tokens/{serial}/enable"),
            tokens::enable,
            ("enable_token", "Let a token work again"),
        )
        .add(
            Verb::TokenImport,
            (POST, "/v1/imports"),
            imports::begin,
            ("begin_import", "Begin an import of many tokens"),
        )
        .add(
            Verb::TokenImport,
            (POST, "/v1/imports/{id}/rows"),
            imports::add,
            ("add_import_rows", "Check rows of an import, and keep them until its end"),
        )
        .add(
            Verb::TokenImport,
            (POST, "/v1/imports/{id}/finish"),
            imports::finish,
            ("finish_import", "Store all rows of an import, or none"),
        )
        .add(
            Verb::TokenImport,
            (DELETE, "/v1/imports/{id}"),
            imports::abandon,
            ("abandon_import", "Forget an import"),
        )
        .add(Verb::BanList, (GET, "/v1/bans"), bans::list, ("list_bans", "Who has to wait after wrong codes"))
        .add(Verb::BanLift, (POST, "/v1/bans/{id}/lift"), bans::lift, ("lift_ban", "End somebody's wait"))
        .add(
            Verb::RequestList,
            (GET, "/v1/requests"),
            requests::list,
            ("list_requests", "Requests for passwords"),
        )
        .add(Verb::RequestShow, (GET, "/v1/requests/{id}"), requests::show, ("show_request", "One request"))
        .add(
            Verb::RequestApprove,
            (POST, "/v1/requests/{id}/approve"),
            requests::approve,
            ("approve_request", "Issue the password of a request, by the number that the requester sees"),
        )
        .add(
            Verb::RequestDeny,
            (POST, "/v1/requests/{id}/deny"),
            requests::deny,
            ("deny_request", "Refuse a request"),
        )
        .add(
            Verb::RequestCancel,
            (POST, "/v1/requests/{id}/cancel"),
            requests::cancel,
            ("cancel_request", "Take a request back"),
        )
        .add(Verb::SessionList, (GET, "/v1/sessions"), sessions::list, ("list_sessions", "Who is in"))
        .add(
            Verb::SessionReport,
            (POST, "/v1/sessions/{id}/report"),
            sessions::report,
            ("report_session", "Say that a session of your own was begun by somebody else"),
        )
        .add(Verb::HostList, (GET, "/v1/hosts"), hosts::list, ("list_hosts", "All hosts of the fleet"))
        .add(Verb::HostEnrol, (POST, "/v1/hosts"), hosts::enrol, ("enrol_host", "Let a host join"))
        .add(Verb::HostShow, (GET, "/v1/hosts/{name}"), hosts::show, ("show_host", "One host"))
        .add(
            Verb::HostRevoke,
            (POST, "/v1/hosts/{name}/revoke"),
            hosts::revoke,
            ("revoke_host", "Refuse a host for ever"),
        )
        .add(
            Verb::HostRename,
            (POST, "/v1/hosts/{name}/rename"),
            hosts::rename,
            ("rename_host", "Give a host another name"),
        )
        .add(
            Verb::HostGroup,
            (PUT, "/v1/hosts/{name}/group"),
            hosts::set_group,
            ("set_host_group", "Put a host into a group, or into none"),
        )
        .add(
            Verb::PersonList,
            (GET, "/v1/persons"),
            people::list,
            ("list_persons", "All persons of Postern's own records"),
        )
        .add(Verb::PersonAdd, (POST, "/v1/persons"), people::add, ("add_person", "Add a person"))
        .add(Verb::PersonShow, (GET, "/v1/persons/{name}"), people::show, ("show_person", "One person"))
        .add(
            Verb::PersonSet,
            (PUT, "/v1/persons/{name}"),
            people::set,
            ("set_person", "Change a person's address, name or role, or whether he is let in"),
        )
        .add(
            Verb::PersonRemove,
            (DELETE, "/v1/persons/{name}"),
            people::remove,
            ("remove_person", "Remove a person"),
        )
        .add(
            Verb::PersonKeysRemove,
            (DELETE, "/v1/persons/{name}/keys"),
            people::remove_keys,
            ("remove_security_keys", "Remove all security keys of a person"),
        )
        .add(
            Verb::PersonPassword,
            (PUT, "/v1/persons/{name}/password"),
            people::set_password,
            ("set_person_password", "Give a person another password"),
        )
        .add(
            Verb::PersonShare,
            (POST, "/v1/persons/{name}/share"),
            people::share,
            ("share_account", "Let a person use an account"),
        )
        .add(
            Verb::PersonShare,
            (POST, "/v1/persons/{name}/unshare"),
            people::unshare,
            ("unshare_account", "Let a person use an account no longer"),
        )
        .add(Verb::KeyList, (GET, "/v1/keys"), keys::list, ("list_keys", "Keys of persons"))
        .add(Verb::KeyAdd, (POST, "/v1/keys"), keys::add, ("add_key", "Make a key, which is told once"))
        .add(Verb::KeyRevoke, (DELETE, "/v1/keys/{id}"), keys::revoke, ("revoke_key", "End a key"))
        .add(
            Verb::OfflineList,
            (GET, "/v1/offline"),
            offline::list,
            ("list_offline_passwords", "Passwords that hosts check alone"),
        )
        .add(
            Verb::OfflineIssue,
            (POST, "/v1/offline"),
            offline::issue,
            ("issue_offline_password", "Make a password that a host checks alone; it is told once"),
        )
        .add(
            Verb::OfflineList,
            (GET, "/v1/offline/{id}"),
            offline::show,
            ("show_offline_password", "One password that a host checks alone, without itself"),
        )
        .add(
            Verb::OfflineRevoke,
            (POST, "/v1/offline/{id}/revoke"),
            offline::revoke,
            ("revoke_offline_password", "Have a password open nothing, once its host hears of it"),
        )
        .add(
            Verb::UniversalShow,
            (GET, "/v1/universal"),
            universal::show,
            ("show_universal_password", "How the password for every host stands"),
        )
        .add(
            Verb::UniversalStep,
            (POST, "/v1/universal/enable"),
            universal::enable,
            ("enable_universal_password", "Turn the password for every host on: two administrators say so"),
        )
        .add(
            Verb::UniversalStep,
            (POST, "/v1/universal/release"),
            universal::release,
            ("release_universal_password", "Tell the password of this hour once: two administrators say so"),
        )
        .add(
            Verb::UniversalStep,
            (POST, "/v1/universal/disable"),
            universal::disable,
            ("disable_universal_password", "Turn the password for every host off: two administrators say so"),
        )
        .add(Verb::PolicyShow, (GET, "/v1/policy"), policy::show, ("show_policy", "What holds where"))
        .add(
            Verb::PolicyTry,
            (GET, "/v1/policy/try"),
            policy::try_login,
            ("try_policy", "What a login would meet"),
        )
        .add(
            Verb::RolloutStatus,
            (GET, "/v1/rollout"),
            rollout::status,
            ("show_rollout", "How far the roll-out is"),
        )
        .add(
            Verb::Explain,
            (GET, "/v1/decisions/{reference}"),
            audit::explain,
            ("explain_decision", "What a reference stands for"),
        )
        .add(Verb::AuditShow, (GET, "/v1/audit"), audit::show, ("show_audit", "A stretch of the audit trail"))
        .add(
            Verb::AuditVerify,
            (GET, "/v1/audit/verify"),
            audit::verify,
            ("verify_audit", "Check the whole chain of the audit trail"),
        )
        .add(Verb::Status, (GET, "/v1/status"), store::status, ("show_status", "How the daemon is"))
        .add(Verb::Metrics, (GET, "/metrics"), metrics::show, ("show_metrics", "What the daemon counts"))
        .add(
            Verb::StoreSettle,
            (POST, "/v1/store/settle"),
            store::settle,
            ("settle_store", "Accept that the store lost something"),
        )
}
