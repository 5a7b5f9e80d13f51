//! Who logs in, to what, from where: what PAM and the terminal say, made fit for a request.
//!
//! Nothing here is trusted to be true; the user name is refused rather than changed, everything else is only
//! recorded and may be altered to be printable.

use std::fmt;
use std::os::fd::OwnedFd;

use rustix::fs::{FileType, Mode, OFlags};
use wire::login::{FIELD_BYTES_MAX, USER_BYTES_MAX};
use wire::session::Leader;

use crate::fault::fault_point;
use crate::text;
use crate::verifier::above_stdio;

/// A login as the verifier gets it described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Login {
    /// PAM_USER, byte for byte.
    pub user: String,
    /// PAM_SERVICE.
    pub service: String,
    /// The client's address.
    pub rhost: Option<String>,
    /// PAM_RUSER.
    pub ruser: Option<String>,
    /// PAM_TTY.
    pub tty: Option<String>,
    /// The terminal's width.
    pub columns: Option<u16>,
    /// Which session of the terminal this is.
    pub session: Option<String>,
}

/// The bytes that PAM holds; `None` where it holds nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct PamItems {
    /// PAM_USER.
    pub user: Vec<u8>,
    /// PAM_SERVICE.
    pub service: Option<Vec<u8>>,
    /// PAM_RHOST.
    pub rhost: Option<Vec<u8>>,
    /// PAM_RUSER.
    pub ruser: Option<Vec<u8>>,
    /// PAM_TTY.
    pub tty: Option<Vec<u8>>,
    /// The PAM environment's SSH_CONNECTION: `client-address client-port server-address server-port`.
    pub ssh_connection: Option<Vec<u8>>,
}

/// The user name cannot be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UserMalformed;

impl Login {
    /// Describes the login. Asks the terminal for its width, if PAM_TTY names one.
    ///
    /// # Errors
    /// When the user name is empty, too long, not UTF-8, or has control characters.
    pub(crate) fn describe(items: &PamItems) -> Result<Self, UserMalformed> {
        fault_point!("login::describe");
        Ok(Self {
            user: parse_user(&items.user)?,
            service: field(items.service.as_deref()).unwrap_or_default(),
            rhost: items.rhost(),
            ruser: field(items.ruser.as_deref()),
            tty: field(items.tty.as_deref()),
            columns: items.tty.as_deref().and_then(columns),
            session: session(),
        })
    }
}

impl PamItems {
    /// sshd's own word for the client's address, because PAM_RHOST may be a name from the client's DNS.
    pub(crate) fn rhost(&self) -> Option<String> {
        let connection =
            self.ssh_connection.as_deref().and_then(|value| value.split(|byte| *byte == b' ').next());
        field(connection).or_else(|| field(self.rhost.as_deref()))
    }
}

/// For the debug log: the fields in one line, escaped.
impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let optional =
            |value: &Option<String>| text::for_log(value.as_deref().unwrap_or_default().as_bytes());
        write!(
            f,
            "user={} service={}",
            text::for_log(self.user.as_bytes()),
            text::for_log(self.service.as_bytes())
        )?;
        write!(f, " rhost={} ruser={}", optional(&self.rhost), optional(&self.ruser))?;
        write!(f, " tty={} columns={}", optional(&self.tty), self.columns.unwrap_or_default())
    }
}

fn parse_user(bytes: &[u8]) -> Result<String, UserMalformed> {
    let user = std::str::from_utf8(bytes).map_err(|_| UserMalformed)?;
    let is_name = !user.is_empty() && user.len() <= USER_BYTES_MAX && !user.contains(char::is_control);
    is_name.then(|| user.to_owned()).ok_or(UserMalformed)
}

/// Some services set items to the empty string where they mean none.
fn field(bytes: Option<&[u8]>) -> Option<String> {
    bytes.filter(|bytes| !bytes.is_empty()).map(|bytes| text::for_field(bytes, FIELD_BYTES_MAX))
}

/// The width of the terminal `tty` names, if it is one.
fn columns(tty: &[u8]) -> Option<u16> {
    fault_point!("login::columns");
    let terminal = open_terminal(tty)?;
    let size = rustix::termios::tcgetwinsize(&terminal).ok()?;
    (size.ws_col != 0).then_some(size.ws_col)
}

/// Names the session that this process is in, if it has a terminal: when the machine started, which process leads the
/// session and when that one started, and which terminal it has. A number of a process or a terminal is used again;
/// with the others it is not. The kernel says all of it; who is in a session cannot get into another.
fn session() -> Option<String> {
    fault_point!("login::session");
    let (leader, terminal) = session_of(&read_small("/proc/self/stat")?)?;
    let start = start_of(&read_small(&format!("/proc/{leader}/stat"))?)?;
    Some(format!("{} {leader} {start} {terminal}", boot()?))
}

/// When the machine started, as a name that no other start has.
pub(crate) fn boot() -> Option<String> {
    read_small("/proc/sys/kernel/random/boot_id").map(|boot| boot.trim().to_owned())
}

/// The process that we are in: whoever opens a session waits for its end.
pub(crate) fn this_process() -> Option<Leader> {
    let stat = read_small("/proc/self/stat")?;
    Some(Leader { pid: stat.split(' ').next()?.parse().ok()?, start: start_of(&stat)? })
}

/// The leader of a process's session and the session's terminal, from its `stat` (proc_pid_stat(5)); none without one.
fn session_of(stat: &str) -> Option<(i64, i64)> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let (leader, terminal) = (fields.nth(3)?.parse().ok()?, fields.next()?.parse().ok()?);
    (leader > 0 && terminal != 0).then_some((leader, terminal))
}

/// When a process started, in ticks since the machine did.
fn start_of(stat: &str) -> Option<u64> {
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// A file of /proc, the first 1,024 bytes of it.
fn read_small(path: &str) -> Option<String> {
    const BYTES_MAX: usize = 1_024;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, Mode::empty()).and_then(above_stdio).ok()?;
    let mut bytes = vec![0; BYTES_MAX];
    let read = rustix::io::read(&opened, &mut bytes).ok()?;
    bytes.truncate(read);
    // A process may be called by any bytes, also half a character.
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Opens names that only the kernel gives to terminals: PAM_TTY comes from the application, and merely
/// opening another device can have effects.
fn open_terminal(tty: &[u8]) -> Option<OwnedFd> {
    let name = std::str::from_utf8(tty).ok()?;
    let device = name.strip_prefix("/dev/")?;
    let number = device.strip_prefix("pts/").or_else(|| device.strip_prefix("tty"))?;
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::open(name, flags, Mode::empty()).and_then(above_stdio).ok()?;
    let stat = rustix::fs::fstat(&opened).ok()?;
    (FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice).then_some(opened)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(items: PamItems) -> Login {
        Login::describe(&PamItems { user: b"alice".to_vec(), ..items }).unwrap()
    }

    #[test]
    fn user_names_are_taken_as_they_are_or_not_at_all() {
        let longest = [b'x'; 255];
        let taken: [&[u8]; 6] =
            [b"alice", b"../../../etc/shadow", b"a:b", b"%n%s", b"-oProxyCommand=x", b"alice "];
        for user in taken.into_iter().chain([&longest[..], "jürgen".as_bytes()]) {
            assert_eq!(parse_user(user).map(String::into_bytes), Ok(user.to_vec()));
        }
        let too_long = [b'x'; 256];
        let refused: [&[u8]; 7] =
            [b"", b"root\nAccepted", b"\x1b]0;x\x07", b"a\xff", "\u{9b}2J".as_bytes(), b"\x7f", &too_long];
        for user in refused {
            assert_eq!(parse_user(user), Err(UserMalformed));
        }
    }

    #[test]
    fn the_client_address_is_the_one_sshd_saw() {
        let rhost = Some(b"client.example".to_vec());
        let ssh_connection = Some(b"192.0.2.1 5000 192.0.2.2 22".to_vec());
        let both = check(PamItems { rhost: rhost.clone(), ssh_connection, ..PamItems::default() });
        assert_eq!(both.rhost.as_deref(), Some("192.0.2.1"));
        assert_eq!(check(PamItems { rhost, ..PamItems::default() }).rhost.as_deref(), Some("client.example"));
        assert_eq!(check(PamItems { rhost: Some(Vec::new()), ..PamItems::default() }).rhost, None);
        let empty = PamItems { ssh_connection: Some(Vec::new()), ..PamItems::default() };
        assert_eq!(check(empty).rhost, None);
    }

    #[test]
    fn odd_items_are_recorded_in_a_printable_form() {
        let login = check(PamItems {
            service: Some(b"ss\nhd".to_vec()),
            ruser: Some(b"\xff".to_vec()),
            tty: Some(vec![b't'; 5000]),
            ..PamItems::default()
        });
        assert_eq!(login.service, "ss\u{fffd}hd");
        assert_eq!(login.ruser.as_deref(), Some("\u{fffd}"));
        assert_eq!(login.tty.map(|tty| tty.len()), Some(FIELD_BYTES_MAX));
    }

    // covers: P4
    #[test]
    fn a_session_is_told_by_its_leader_and_its_terminal_whatever_the_program_is_called() {
        let stat = |name: &str, terminal| {
            let rest = "0 0 0 0 0 0 0 0 0 0 0 0 0 4711 9 9";
            format!("77 ({name}) S 1 77 42 {terminal} -1 {rest}")
        };
        for name in ["sudo", "a) S 9 9 9 9", "(", "two words"] {
            assert_eq!(session_of(&stat(name, 34_816)), Some((42, 34_816)), "{name}");
            assert_eq!(start_of(&stat(name, 34_816)), Some(4711), "{name}");
        }
        assert_eq!(session_of(&stat("cron", 0)), None);
        for odd in ["", "77 (x", "77 (x) S", "77 (x) S 1 77 y 4"] {
            assert_eq!((session_of(odd), start_of(odd)), (None, None), "{odd}");
        }
        assert_eq!(session_of("77 (x) S 1 77 0 4"), None);
        assert_eq!(session(), session());
        let own = this_process().expect("the kernel shows it");
        assert_eq!((u32::try_from(own.pid), this_process()), (Ok(std::process::id()), Some(own)));
        assert_eq!(boot().map(|boot| boot.len()), Some(36));
    }

    // covers: P4
    #[test]
    fn a_process_may_be_called_by_any_bytes() {
        std::fs::write("/proc/thread-self/comm", b"\xff\xc3").unwrap();
        let stat = read_small("/proc/thread-self/stat").expect("it can be read");
        assert!(start_of(&stat).is_some(), "{stat}");
    }

    #[test]
    fn only_terminals_are_asked_for_their_width() {
        let names = [
            "ssh",
            "tty1",
            ":0",
            "/dev/null",
            "/dev/watchdog",
            "/dev/pts/../null",
            "/dev/pts/",
            "/etc/passwd",
        ];
        for name in names {
            assert!(open_terminal(name.as_bytes()).is_none(), "{name} was opened");
        }
    }
}
