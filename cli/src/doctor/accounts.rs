//! The accounts of this machine: the one that was asked about, and those that Postern refuses as unknown.

use super::daemon::Unanswered;
use super::demand::Policy;
use super::examine::name;
use super::finding::{Code, Finding};
use super::machine::Machine;
use super::not_checked;

/// The accounts that were made here; those of a directory service are not listed, as they may be very many.
const PASSWD: &str = "/etc/passwd";

/// From this uid on accounts are people's: `UID_MIN` of Debian, Red Hat and Arch.
const PEOPLE_UID_MIN: u32 = 1000;

/// Most accounts that are named; the rest is counted.
const NAMED_MAX: usize = 10;

/// The account that was asked about.
pub struct Account {
    /// Whether it is root's, by its uid.
    pub is_root: bool,
}

/// The account by what `getent` said.
pub fn asked_about(machine: &Machine) -> (Option<Account>, Vec<Finding>) {
    let text = match &machine.told.account {
        None => return (None, Vec::new()),
        Some(Ok(text)) => text.trim_end(),
        // Not known is not missing.
        Some(Err(why)) => {
            let unknown = Some(Account { is_root: false });
            return (unknown, vec![not_checked(&format!("the account: {why}"))]);
        }
    };
    let fields: Vec<&str> = text.split(':').collect();
    let [_, _, uid, _, _, _, shell] = fields.as_slice() else {
        let message = "the user has no account on this machine: every login is refused";
        let remedy = "the account's exact name, or the name service that should know it";
        return (None, vec![Finding::new(Code::AccountMissing, message, remedy)]);
    };
    let no_shell = ends_logins(shell).then(|| {
        let message = format!("the account's shell is {shell}: a login ends at once, code or not");
        Finding::new(Code::NoShell, message, "nothing, if that is meant; else chsh")
    });
    (Some(Account { is_root: *uid == "0" }), no_shell.into_iter().collect())
}

/// Accounts that can log in and are refused because Postern does not know them, root first. Nothing where one was
/// asked about: what is demanded of him says it.
pub fn unknown(machine: &Machine, policy: &Policy) -> Option<Finding> {
    let users = machine.told.server.daemon()?.users.as_ref()?;
    if policy.on_unenrolled.as_deref() != Some("deny") {
        return None;
    }
    let unlooked = |why: &str| Some(not_checked(&format!("which accounts Postern does not know: {why}")));
    let users = match users {
        Ok(users) => users,
        Err(Unanswered::NotAllowed) => return unlooked("you may not ask verifierd"),
        Err(Unanswered::Unreachable(why)) => return unlooked(why),
    };
    let Ok(text) = machine.read(PASSWD) else { return unlooked("/etc/passwd cannot be read") };
    let mut people: Vec<(u32, &str)> = text.lines().filter_map(person).collect();
    people.retain(|(_, name)| !users.iter().any(|known| known == name));
    people.sort_unstable();
    let names: Vec<&str> = people.iter().map(|(_, name)| *name).take(NAMED_MAX).collect();
    let more = match people.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let message = format!(
        "Postern does not know {}{more}: with on_unenrolled = \"deny\" they are refused wherever our line asks",
        names.join(", ")
    );
    let remedy = "on_unenrolled = \"ignore\" for the roll-out, or `postern user set NAME --otp on` for each";
    (!people.is_empty()).then(|| Finding::new(Code::AccountsUnknown, message, remedy))
}

/// Uid and name of an account that somebody can log in to.
fn person(line: &str) -> Option<(u32, &str)> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _, uid, _, _, _, shell] = fields.as_slice() else { return None };
    let uid = uid.parse().ok()?;
    ((uid == 0 || uid >= PEOPLE_UID_MIN) && !ends_logins(shell)).then_some((uid, *name))
}

/// Whether a shell is one that ends every login.
fn ends_logins(shell: &str) -> bool {
    matches!(name(shell), "nologin" | "false")
}
