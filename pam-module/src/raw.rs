//! The calls that have no safe binding: the PAM conversation with several messages, PAM_TTY, the peer of a socket, and
//! what a recorder does before it begins. The only file with unsafe code.
//!
//! The types stand beside the header they come from, `security/_pam_types.h` of Linux-PAM. pamsm's own
//! conversation is not used: it crashes on an absent reply array, sends one message, and neither wipes nor
//! frees answers. Pointers become owned values in the function that received them.

#![expect(unsafe_code, reason = "libpam, getsockopt(2) and what follows fork(2) are C interfaces")]

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::{ptr, slice};

use pamsm::Pam;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit};
use wire::login::ANSWER_BYTES_MAX;
use zeroize::{Zeroize, Zeroizing};

use crate::conversation::{ConversationFailed, Message, RawAnswer, Style};

/// `struct pam_message { int msg_style; const char *msg; };`
#[repr(C)]
struct PamMessage {
    style: c_int,
    text: *const c_char,
}

/// `struct pam_response { char *resp; int resp_retcode; };`
#[repr(C)]
struct PamResponse {
    text: *mut c_char,
    unused: c_int,
}

/// `int (*conv)(int num_msg, const struct pam_message **msg, struct pam_response **resp, void *appdata_ptr);`
type ConversationFunction =
    unsafe extern "C" fn(c_int, *mut *const PamMessage, *mut *mut PamResponse, *mut c_void) -> c_int;

/// `struct pam_conv { int (*conv)(...); void *appdata_ptr; };`
#[repr(C)]
struct PamConv {
    function: Option<ConversationFunction>,
    application: *mut c_void,
}

/// `#define PAM_SUCCESS 0`, as libpam and conversation functions return it to us.
const DONE: c_int = 0;
/// `#define PAM_TTY 3`
const PAM_TTY: c_int = 3;
/// `#define PAM_CONV 5`
const PAM_CONV: c_int = 5;

/// The first descriptor that is no standard stream.
const FIRST_OTHER: c_uint = 3;
/// `#define CLOSE_RANGE_CLOEXEC (1U << 2)`, Linux 5.11.
const CLOSE_ON_EXEC: c_uint = 4;
/// The last signal, those of real time included (signal(7)).
const SIGNALS_MAX: c_int = 64;
/// Open files that a recorder can have at least, and the size of its stack: what the kernel gives to the first process.
const FILES_MIN: u64 = 1_024;
/// See [`FILES_MIN`].
const STACK_BYTES_MIN: u64 = 8 * 1024 * 1024;

// Linked by pamsm.
unsafe extern "C" {
    /// `int pam_get_item(const pam_handle_t *pamh, int item_type, const void **item);`
    fn pam_get_item(handle: *const c_void, item_type: c_int, item: *mut *const c_void) -> c_int;
    /// `void pam_syslog(const pam_handle_t *pamh, int priority, const char *fmt, ...);`
    fn pam_syslog(handle: *const c_void, priority: c_int, format: *const c_char, ...);
}

/// One call of the application's conversation function with all `messages`; one reply per message, `None`
/// where the application gave none. Answers are wiped where the application left them.
///
/// # Errors
/// When there is no conversation function or it fails. What it may have answered is not looked at then: some
/// applications leave pointers to freed memory behind.
pub(crate) fn converse(
    pam: &Pam,
    messages: &[Message],
) -> Result<Vec<Option<RawAnswer>>, ConversationFailed> {
    let conversation = item(pam, PAM_CONV).ok_or(ConversationFailed)?.cast::<PamConv>();
    // SAFETY: libpam keeps PAM_CONV as a struct pam_conv until pam_end, which cannot run during our call.
    let conversation = unsafe { conversation.read() };
    let function = conversation.function.ok_or(ConversationFailed)?;
    let count = c_int::try_from(messages.len()).map_err(|_| ConversationFailed)?;
    let texts: Vec<_> = messages.iter().map(|message| terminated(&message.text)).collect();
    let raw: Vec<_> =
        messages.iter().zip(&texts).map(|(message, text)| PamMessage::new(message.style, text)).collect();
    // Linux-PAM wants an array of pointers, others a pointer to an array; neighbours in `raw` serve both.
    let mut pointers: Vec<*const PamMessage> = raw.iter().map(ptr::from_ref).collect();
    let mut replies: *mut PamResponse = ptr::null_mut();
    // SAFETY: the application set this function under PAM's contract; `pointers` has `count` messages whose
    // texts end in NUL, and all of them outlive the call.
    let code = unsafe { function(count, pointers.as_mut_ptr(), &raw mut replies, conversation.application) };
    if code != DONE {
        return Err(ConversationFailed);
    }
    Ok(take_replies(replies, messages.len()))
}

/// PAM_TTY, copied.
pub(crate) fn tty(pam: &Pam) -> Option<Vec<u8>> {
    let text = item(pam, PAM_TTY)?.cast::<c_char>();
    // SAFETY: libpam keeps PAM_TTY as a string that ends in NUL; it is copied before anything else runs.
    let text = unsafe { CStr::from_ptr(text) };
    Some(text.to_bytes().to_vec())
}

/// Logs a fixed text without allocating memory of ours.
pub(crate) fn log_fixed(pam: &Pam, priority: c_int, text: &'static CStr) {
    // SAFETY: the handle is libpam's own; the format takes one string, which ends in NUL.
    unsafe { pam_syslog(handle(pam), priority, c"%s".as_ptr(), text.as_ptr()) };
}

/// The user id of the process that listens at the other end, as the kernel noted it.
///
/// Not rustix's `socket_peercred`: its process id is declared never to be zero, which it is for a peer in
/// another process id namespace.
pub(crate) fn peer_uid(socket: &OwnedFd) -> Result<u32, Errno> {
    let mut peer = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut length = libc::socklen_t::try_from(size_of::<libc::ucred>()).map_err(|_| Errno::INVAL)?;
    let (level, option, value) = (libc::SOL_SOCKET, libc::SO_PEERCRED, (&raw mut peer).cast::<c_void>());
    // SAFETY: `value` points to `length` writable bytes of a type without invalid values.
    let code = unsafe { libc::getsockopt(socket.as_raw_fd(), level, option, value, &raw mut length) };
    if code != 0 {
        return Err(std::io::Error::last_os_error()
            .raw_os_error()
            .map_or(Errno::IO, Errno::from_raw_os_error));
    }
    Ok(peer.uid)
}

/// Has a program begin without anything of its caller: no open file but the standard streams, no signal that is ignored or
/// held back, no terminal, no limit and no low rank that the user has set himself, and files that nobody else can read.
pub(crate) fn stand_alone(command: &mut Command) {
    // SAFETY: between fork and exec only system calls are made: nothing allocates, locks or panics.
    unsafe { command.pre_exec(stand_alone_now) };
}

fn stand_alone_now() -> std::io::Result<()> {
    // Its own group, to be ended as one; no keys of the user's terminal reach it.
    rustix::process::setsid()?;
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    for limit in [Resource::Fsize, Resource::Cpu, Resource::As, Resource::Data] {
        raise(limit, Rlimit { current: None, maximum: None });
    }
    for (limit, least) in [(Resource::Nofile, FILES_MIN), (Resource::Stack, STACK_BYTES_MIN)] {
        raise(limit, at_least(rustix::process::getrlimit(limit), least));
    }
    // The first that the system ends when its memory is short would be what a user does not want: see proc(5). Who may not
    // raise himself stays where he is.
    let _left = rustix::process::setpriority_process(None, 0);
    let _left =
        rustix::fs::open(c"/proc/self/oom_score_adj", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
            .and_then(|score| rustix::io::write(score, b"0"));
    for signal in 1..=SIGNALS_MAX {
        // SAFETY: sets no function; signals that cannot be set say so, and nothing comes of it.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    let mut none = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `none` is a place for one set.
    unsafe { libc::sigemptyset(none.as_mut_ptr()) };
    // SAFETY: `none` is a set by the call before; the former one is not asked for.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut()) };
    // SAFETY: closes nothing now, so that the standard library can still tell that exec failed.
    let code = unsafe { libc::syscall(libc::SYS_close_range, FIRST_OTHER, c_uint::MAX, CLOSE_ON_EXEC) };
    if code == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// Raises a limit, as far as it can be raised: a container may have set it, and says no.
fn raise(limit: Resource, to: Rlimit) {
    if rustix::process::setrlimit(limit, to).is_err() {
        let maximum = rustix::process::getrlimit(limit).maximum;
        let _left = rustix::process::setrlimit(limit, Rlimit { current: maximum, maximum });
    }
}

/// A limit that a user may have lowered, as high as it has to be.
fn at_least(limit: Rlimit, least: u64) -> Rlimit {
    // None is no limit.
    let raised = |limit: Option<u64>| limit.map(|limit| limit.max(least));
    Rlimit { current: raised(limit.current), maximum: raised(limit.maximum) }
}

impl PamMessage {
    fn new(style: Style, text: &[u8]) -> Self {
        // `#define PAM_PROMPT_ECHO_OFF 1`, `PAM_PROMPT_ECHO_ON 2`, `PAM_ERROR_MSG 3`, `PAM_TEXT_INFO 4`
        let style = match style {
            Style::HiddenQuestion => 1,
            Style::ShownQuestion => 2,
            Style::Error => 3,
            Style::Info => 4,
        };
        Self { style, text: text.as_ptr().cast() }
    }
}

/// libpam's handle inside pamsm's.
fn handle(pam: &Pam) -> *const c_void {
    const { assert!(size_of::<Pam>() == size_of::<*const c_void>()) };
    // SAFETY: `Pam` is #[repr(transparent)] over the handle (pamsm 0.5.5, src/pam.rs).
    unsafe { ptr::from_ref(pam).cast::<*const c_void>().read() }
}

/// An item that is not absent. Valid until the item is set again.
fn item(pam: &Pam, item_type: c_int) -> Option<*const c_void> {
    let mut item = ptr::null();
    // SAFETY: the handle is libpam's own, and `item` is a place for one pointer.
    let code = unsafe { pam_get_item(handle(pam), item_type, &raw mut item) };
    (code == DONE && !item.is_null()).then_some(item)
}

/// `text` without NUL bytes, and one at the end.
fn terminated(text: &str) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len().saturating_add(1)));
    bytes.extend(text.bytes().filter(|byte| *byte != 0));
    bytes.push(0);
    bytes
}

/// Copies, wipes and frees what a conversation function returned. An absent array means no answers.
fn take_replies(replies: *mut PamResponse, count: usize) -> Vec<Option<RawAnswer>> {
    let mut answers = Vec::with_capacity(count);
    if replies.is_null() {
        answers.resize_with(count, || None);
        return answers;
    }
    for index in 0..count {
        // SAFETY: the contract of conversation functions: on success the array has one entry per message.
        let entry = unsafe { replies.add(index) };
        // SAFETY: as above; the entry is initialised, and any bit pattern is a pointer and an int.
        let entry = unsafe { entry.read() };
        answers.push(take_text(entry.text));
    }
    // SAFETY: the contract: the array comes from malloc and belongs to us; it is not used again.
    unsafe { libc::free(replies.cast()) };
    answers
}

/// Copies at most one byte more than an answer may have, wipes all of it, frees it.
fn take_text(text: *mut c_char) -> Option<RawAnswer> {
    if text.is_null() {
        return None;
    }
    // SAFETY: the contract: an answer ends in NUL.
    let length = unsafe { libc::strlen(text) };
    // SAFETY: `length` bytes before the NUL are the answer's own and nobody else holds them.
    let bytes = unsafe { slice::from_raw_parts_mut(text.cast::<u8>(), length) };
    let copied = length.min(ANSWER_BYTES_MAX.saturating_add(1));
    let answer = Zeroizing::new(bytes.iter().take(copied).copied().collect::<Vec<u8>>());
    bytes.zeroize();
    // SAFETY: the contract: an answer comes from malloc and belongs to us; it is not used again.
    unsafe { libc::free(text.cast()) };
    Some(answer)
}
