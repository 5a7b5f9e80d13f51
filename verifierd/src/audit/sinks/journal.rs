//! The journal of systemd, by its own protocol: a datagram for each record, with a field for each of the record's.
//!
//! A value that holds a line break is written with its length, so it cannot begin a field of its own. Source:
//! systemd.io/JOURNAL_NATIVE_PROTOCOL. Waits for a second at most where the journal does not read.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use wire::admin::AuditRecord;

use super::{Outlet, OutletError};

/// Where the journal listens.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";

/// A journal that works takes a datagram in microseconds.
const SEND_WAIT_MAX: Duration = Duration::from_secs(1);

/// As in syslog: RFC 5424, 6.2.1.
mod priority {
    pub(super) const CRITICAL: &str = "2";
    pub(super) const WARNING: &str = "4";
    pub(super) const NOTICE: &str = "5";
    pub(super) const INFORMATIONAL: &str = "6";
}

/// Sends to the journal.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    socket: Option<UnixDatagram>,
}

impl Journal {
    pub(super) fn at(path: &Path) -> Self {
        Self { path: path.into(), socket: None }
    }

    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        let socket = match &self.socket {
            Some(socket) => socket,
            None => {
                let socket = UnixDatagram::unbound()?;
                socket.set_write_timeout(Some(SEND_WAIT_MAX))?;
                self.socket.insert(socket)
            }
        };
        // By its path each time: a journal that was started anew has another socket there.
        socket.send_to(datagram, &self.path).map(drop)
    }
}

impl Outlet for Journal {
    fn take(&mut self, records: &[AuditRecord]) -> (usize, Result<(), OutletError>) {
        for (taken, record) in records.iter().enumerate() {
            if let Err(error) = self.send(&datagram(record)) {
                return (taken, Err(OutletError::io("send to the journal at", &self.path, error)));
            }
        }
        (records.len(), Ok(()))
    }
}

/// A record as a datagram: the fields that every entry of a journal has, and `POSTERN_` with each of the record's.
fn datagram(record: &AuditRecord) -> Vec<u8> {
    let mut datagram = Vec::new();
    put(&mut datagram, "MESSAGE", &message(record));
    put(&mut datagram, "PRIORITY", priority_of(record));
    put(&mut datagram, "SYSLOG_IDENTIFIER", "verifierd");
    let fields = serde_json::to_value(record).expect("a record holds only numbers and texts");
    for (name, value) in fields.as_object().into_iter().flatten() {
        let name = format!("POSTERN_{}", name.to_ascii_uppercase());
        match value {
            Value::String(text) => put(&mut datagram, &name, text),
            other => put(&mut datagram, &name, &other.to_string()),
        }
    }
    datagram
}

/// Appends a field.
fn put(datagram: &mut Vec<u8>, name: &str, value: &str) {
    datagram.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        datagram.push(b'\n');
        datagram.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        datagram.push(b'=');
    }
    datagram.extend_from_slice(value.as_bytes());
    datagram.push(b'\n');
}

/// What `journalctl` shows in a line; names as somebody else typed them are escaped.
fn message(record: &AuditRecord) -> String {
    let parts = [
        ("", record.verdict.as_deref()),
        ("", Some(record.reason.as_str())),
        ("user ", record.user.as_deref()),
        ("service ", record.service.as_deref()),
        ("host ", record.host.as_deref()),
        ("from ", record.rhost.as_deref()),
        ("token ", record.token.as_deref()),
        ("by ", record.actor.as_deref()),
        ("", Some(record.reference.as_str())),
    ];
    let said = parts.into_iter().filter_map(|(name, value)| value.map(|value| (name, value)));
    let said: Vec<String> = said.map(|(name, value)| format!("{name}{}", value.escape_debug())).collect();
    format!("{}: {}", record.event.escape_debug(), said.join(", "))
}

fn priority_of(record: &AuditRecord) -> &'static str {
    match (record.event.as_str(), record.verdict.as_deref()) {
        ("store_behind", _) => priority::CRITICAL,
        ("guesses_from_one_source", _) | (_, Some("unavailable")) => priority::WARNING,
        (_, Some("deny")) => priority::NOTICE,
        _ => priority::INFORMATIONAL,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Reads a datagram as the journal does.
    fn fields(mut rest: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut fields = BTreeMap::new();
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| matches!(byte, b'=' | b'\n')).expect("a field has a name");
            let name = String::from_utf8(rest[..end].to_vec()).expect("a name is ASCII");
            let value;
            if rest[end] == b'=' {
                let line = rest.iter().position(|byte| *byte == b'\n').expect("a field ends");
                value = rest[end + 1..line].to_vec();
                rest = &rest[line + 1..];
            } else {
                let (length, after) = rest[end + 1..].split_first_chunk::<8>().expect("a length");
                let length = u64::from_le_bytes(*length) as usize;
                value = after[..length].to_vec();
                assert_eq!(after[length], b'\n');
                rest = &after[length + 1..];
            }
            assert!(fields.insert(name, value).is_none(), "a field stands there twice");
        }
        fields
    }

    proptest! {
        // covers: I03
        #[test]
        fn whatever_a_record_holds_it_is_one_entry_with_its_own_fields(
            user in any::<Option<String>>(), rhost in "[\n=A-Z_]{0,30}", detail in any::<String>(), sequence in 1..u64::MAX,
        ) {
            let record = AuditRecord {
                sequence,
                event: "login".into(),
                reason: "wrong_code".into(),
                user: user.clone(),
                rhost: Some(rhost.clone()),
                detail: Some(detail.clone()),
                ..AuditRecord::default()
            };
            let fields = fields(&datagram(&record));
            let allowed = ["MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER"];
            prop_assert!(fields.keys().all(|name| allowed.contains(&name.as_str()) || name.starts_with("POSTERN_")));
            let read = |name: &str| fields.get(name).map(|value| String::from_utf8(value.clone()).expect("text"));
            prop_assert_eq!(read("POSTERN_USER"), user);
            prop_assert_eq!(read("POSTERN_RHOST"), Some(rhost));
            prop_assert_eq!(read("POSTERN_DETAIL"), Some(detail));
            prop_assert_eq!(read("POSTERN_SEQUENCE"), Some(sequence.to_string()));
            let message = read("MESSAGE").expect("there is one");
            prop_assert!(!message.contains(char::is_control), "{}", message);
        }
    }

    // covers: I03
    #[test]
    fn a_line_break_in_a_name_begins_no_field() {
        let user = "eve\nPRIORITY=0\nPOSTERN_VERDICT=allow";
        let (verdict, user) = (Some("deny".into()), Some(user.into()));
        let record = AuditRecord { event: "login".into(), verdict, user, ..AuditRecord::default() };
        let fields = fields(&datagram(&record));
        assert_eq!((&fields["PRIORITY"][..], &fields["POSTERN_VERDICT"][..]), (&b"5"[..], &b"deny"[..]));
    }
}
