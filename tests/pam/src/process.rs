//! What of a process the module must leave as it was.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};
use std::{env, fs, mem, ptr};

/// A picture of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Open descriptors and what they are.
    pub descriptors: Vec<String>,
    /// How many threads there are.
    pub threads: usize,
    /// Each signal's handler, flags and mask.
    pub signals: Vec<(usize, i32)>,
    /// The blocked signals of this thread and the umask, as the kernel prints them.
    pub masks: Vec<String>,
    /// The working folder.
    pub folder: String,
    /// The environment.
    pub environment: Vec<(String, String)>,
    /// The locale.
    pub locale: String,
}

/// Takes the picture.
///
/// # Panics
/// When `/proc` is not there.
pub fn picture() -> Picture {
    let status = fs::read_to_string("/proc/thread-self/status").expect("/proc is mounted");
    let masks = ["SigBlk:", "SigIgn:", "SigCgt:", "Umask:"];
    Picture {
        descriptors: descriptors("/proc/self/fd"),
        threads: fs::read_dir("/proc/self/task").expect("/proc is mounted").count(),
        signals: (1..=64).map(disposition).collect(),
        masks: status
            .lines()
            .filter(|line| masks.iter().any(|mask| line.starts_with(mask)))
            .map(String::from)
            .collect(),
        folder: env::current_dir().expect("the folder exists").display().to_string(),
        environment: env::vars().collect(),
        locale: locale(),
    }
}

/// The open descriptors in a `/proc/PID/fd`, as `number -> file`, without the one that lists them.
///
/// # Panics
/// When the folder cannot be read.
pub fn descriptors(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let mut open: Vec<String> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let file = fs::read_link(&path).ok()?;
            let is_listing = file.ends_with("fd") && file.starts_with("/proc");
            (!is_listing)
                .then(|| format!("{} -> {}", path.file_name().unwrap_or_default().display(), file.display()))
        })
        .collect();
    open.sort();
    open
}

/// Runs `work` and tells how long it took.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    #[expect(clippy::disallowed_methods, reason = "measures the module from outside")]
    let now = Instant::now;
    let started = now();
    let result = work();
    (result, now().saturating_duration_since(started))
}

/// Resident memory in KiB.
///
/// # Panics
/// When `/proc` is not there.
pub fn resident_kib() -> u64 {
    status_kib("VmRSS:")
}

/// Address space in KiB.
///
/// # Panics
/// When `/proc` is not there.
pub fn address_space_kib() -> u64 {
    status_kib("VmSize:")
}

/// The process at the other end.
///
/// # Panics
/// When the kernel does not tell.
pub fn peer_pid(stream: &UnixStream) -> i32 {
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = libc::socklen_t::try_from(size_of::<libc::ucred>()).expect("12 bytes");
    let value = (&raw mut peer).cast();
    // SAFETY: `value` points to `length` writable bytes of a type without invalid values.
    let code = unsafe {
        libc::getsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_PEERCRED, value, &raw mut length)
    };
    assert_eq!(code, 0, "getsockopt");
    peer.pid
}

/// Makes this thread, with the rights it has by now, the one that listens; and `backlog` the most connections
/// that wait.
///
/// # Panics
/// When the kernel refuses.
pub fn listen(listener: &UnixListener, backlog: i32) {
    // SAFETY: takes a descriptor and a number.
    let code = unsafe { libc::listen(listener.as_raw_fd(), backlog) };
    assert_eq!(code, 0, "listen");
}

/// Changes the user of this thread alone, which only the bare system call does.
///
/// # Panics
/// When the kernel refuses.
pub fn become_user(uid: u32) {
    // SAFETY: takes three numbers.
    let code = unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) };
    assert_eq!(code, 0, "setresuid");
}

/// A pseudo-terminal of a given width.
pub struct Terminal {
    /// Its path.
    pub name: String,
    master: OwnedFd,
    _slave: OwnedFd,
}

impl Terminal {
    /// Opens one.
    ///
    /// # Panics
    /// When there is no `/dev/ptmx`.
    pub fn open(columns: u16) -> Self {
        let (mut master, mut slave) = (-1, -1);
        let none = ptr::null_mut();
        // SAFETY: two places for descriptors; the other arguments may be null.
        let code = unsafe { libc::openpty(&raw mut master, &raw mut slave, none, ptr::null(), ptr::null()) };
        assert_eq!(code, 0, "openpty");
        let name = fs::read_link(format!("/proc/self/fd/{slave}")).expect("/proc is mounted");
        // SAFETY: openpty made it, and nothing else owns it.
        let master = unsafe { OwnedFd::from_raw_fd(master) };
        // SAFETY: as above.
        let slave = unsafe { OwnedFd::from_raw_fd(slave) };
        let mut terminal = Self { name: name.display().to_string(), master, _slave: slave };
        terminal.resize(columns);
        terminal
    }

    /// Changes its width.
    ///
    /// # Panics
    /// When the kernel refuses.
    pub fn resize(&mut self, columns: u16) {
        let size = libc::winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: TIOCSWINSZ reads a winsize.
        let code = unsafe { libc::ioctl(self.master.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
        assert_eq!(code, 0, "TIOCSWINSZ");
    }
}

fn status_kib(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the line is there");
    line.trim().trim_end_matches(" kB").parse().expect("it is a number")
}

fn disposition(signal: i32) -> (usize, i32) {
    // SAFETY: all-zero bytes are a sigaction.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: a null new action asks for the present one, into a place for it.
    unsafe { libc::sigaction(signal, ptr::null(), &raw mut action) };
    (action.sa_sigaction, action.sa_flags)
}

fn locale() -> String {
    // SAFETY: a null locale asks for the present one.
    let name = unsafe { libc::setlocale(libc::LC_ALL, ptr::null()) };
    // SAFETY: the C library keeps the string until the next call.
    unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned()
}
