//! Whose request it is, under whatever name: nobody decides about his own.

use super::record::RequestRecord;
use crate::accounts::UserName;
use crate::people::Person;

/// Whether somebody would decide about his own request: as the person, from the account that it opens, or under another
/// spelling of the address that it names.
pub(super) fn is_own(record: &RequestRecord, person: &Person, account: Option<&UserName>) -> bool {
    let requester = record.person.as_ref();
    let by_person = requester.is_some_and(|requester| requester.id == person.id);
    let by_account = account.is_some_and(|account| account.as_str() == record.user);
    let mailbox = person.email.as_ref().map(|email| mailbox(&email.to_string()));
    let named = [requester.and_then(|requester| requester.email.as_deref()), Some(record.typed.as_str())];
    let by_address =
        mailbox.is_some_and(|own| named.into_iter().flatten().any(|named| self::mailbox(named) == own));
    by_person || by_account || by_address
}

/// Where an address leads, as most servers have it: without regard to case and to what follows a `+`.
fn mailbox(address: &str) -> String {
    let folded = address.to_ascii_lowercase();
    match folded.split_once('@') {
        Some((local, domain)) => {
            let local = local.split('+').next().unwrap_or(local);
            format!("{local}@{domain}")
        }
        None => folded,
    }
}
