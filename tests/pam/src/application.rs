//! A PAM application: starts a transaction from a configuration folder, converses as told, returns the codes.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;
use std::ptr;

use crate::log;

/// `struct pam_message`
#[repr(C)]
struct RawMessage {
    style: c_int,
    text: *const c_char,
}

/// `struct pam_response`
#[repr(C)]
struct RawReply {
    text: *mut c_char,
    unused: c_int,
}

type RawFunction = extern "C" fn(c_int, *const *const RawMessage, *mut *mut RawReply, *mut c_void) -> c_int;

/// `struct pam_conv`
#[repr(C)]
struct RawConversation {
    function: Option<RawFunction>,
    data: *mut c_void,
}

#[link(name = "pam")]
unsafe extern "C" {
    fn pam_start_confdir(
        service: *const c_char,
        user: *const c_char,
        conversation: *const RawConversation,
        folder: *const c_char,
        handle: *mut *mut c_void,
    ) -> c_int;
    fn pam_authenticate(handle: *mut c_void, flags: c_int) -> c_int;
    fn pam_acct_mgmt(handle: *mut c_void, flags: c_int) -> c_int;
    fn pam_setcred(handle: *mut c_void, flags: c_int) -> c_int;
    fn pam_open_session(handle: *mut c_void, flags: c_int) -> c_int;
    fn pam_close_session(handle: *mut c_void, flags: c_int) -> c_int;
    fn pam_chauthtok(handle: *mut c_void, flags: c_int) -> c_int;
    fn pam_set_item(handle: *mut c_void, item: c_int, value: *const c_void) -> c_int;
    fn pam_putenv(handle: *mut c_void, assignment: *const c_char) -> c_int;
    fn pam_end(handle: *mut c_void, status: c_int) -> c_int;
}

/// An item of the transaction, by its number in `security/_pam_types.h`.
#[derive(Clone, Copy, Debug)]
pub enum Item {
    /// PAM_USER.
    User = 2,
    /// PAM_TTY.
    Tty = 3,
    /// PAM_RHOST.
    Rhost = 4,
    /// PAM_AUTHTOK.
    Authtok = 6,
    /// PAM_RUSER.
    Ruser = 8,
}

/// How a message is presented, by its number in `security/_pam_types.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// PAM_PROMPT_ECHO_OFF.
    Hidden,
    /// PAM_PROMPT_ECHO_ON.
    Shown,
    /// PAM_ERROR_MSG.
    Error,
    /// PAM_TEXT_INFO.
    Info,
}

/// One message of a conversation call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// How it is presented.
    pub style: Style,
    /// What it says.
    pub text: Vec<u8>,
}

/// What the conversation function does.
#[derive(Clone, Debug)]
pub enum Reaction {
    /// Succeeds; one entry per message, `None` a null pointer. Missing entries are null pointers.
    Reply(Vec<Option<Vec<u8>>>),
    /// Succeeds without an array.
    NoArray,
    /// Fails with this code, without an array.
    Fail(i32),
    /// Fails with this code and leaves a pointer to nowhere.
    FailDangling(i32),
}

/// Lets the conversation function act on the transaction that called it.
#[derive(Clone, Copy)]
pub struct Handle(*mut c_void);

impl Handle {
    /// `pam_set_item`; returns its code.
    pub fn set(self, item: Item, value: &[u8]) -> i32 {
        let value = c_string(value);
        // SAFETY: the handle is live during the transaction; libpam copies the value.
        unsafe { pam_set_item(self.0, item as c_int, value.as_ptr().cast()) }
    }
}

/// Answers one call of the conversation function.
pub type Converse<'a> = dyn FnMut(Handle, &[Message]) -> Reaction + 'a;

/// Which phases follow a successful authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phases {
    /// None.
    Authenticate,
    /// The account phase.
    Account,
    /// Account, credentials, session open and close.
    Session,
    /// The same without an authentication, as after a key; it is told to have succeeded.
    SessionAlone,
    /// Account, credentials, session open and close, change of password; the result is the first code that is
    /// not PAM_SUCCESS.
    All,
}

/// One transaction to run.
#[derive(Clone, Debug)]
pub struct Transaction<'a> {
    /// The user, or `None` so that libpam asks.
    pub user: Option<&'a [u8]>,
    /// Items set before authentication.
    pub items: Vec<(Item, &'a [u8])>,
    /// Assignments for the PAM environment.
    pub environment: Vec<&'a str>,
    /// What follows authentication.
    pub phases: Phases,
    /// PAM_USER is set to this after authentication.
    pub user_after: Option<&'a [u8]>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The first code that was not PAM_SUCCESS, else PAM_SUCCESS.
    pub code: i32,
    /// Each conversation call's messages.
    pub seen: Vec<Vec<Message>>,
    /// What was logged.
    pub log: Vec<String>,
}

impl Default for Transaction<'_> {
    fn default() -> Self {
        Self {
            user: Some(b"alice"),
            items: Vec::new(),
            environment: Vec::new(),
            phases: Phases::Authenticate,
            user_after: None,
        }
    }
}

impl Transaction<'_> {
    /// Runs with the service file `postern` of `folder`; `before` is called between start and authentication.
    ///
    /// # Panics
    /// When libpam cannot start the transaction.
    pub fn run_after(&self, folder: &Path, converse: &mut Converse<'_>, before: impl FnOnce()) -> Outcome {
        log::take();
        let mut context = Context { converse, handle: ptr::null_mut(), seen: Vec::new() };
        let data = (&raw mut context).cast();
        let conversation = RawConversation { function: Some(converse_raw), data };
        let user = self.user.map(c_string);
        let user = user.as_ref().map_or(ptr::null(), |user| user.as_ptr());
        let folder = c_string(folder.as_os_str().as_encoded_bytes());
        let mut handle = ptr::null_mut();
        // SAFETY: all strings and the conversation outlive the transaction, which pam_end closes below.
        let code = unsafe {
            pam_start_confdir(c"postern".as_ptr(), user, &conversation, folder.as_ptr(), &raw mut handle)
        };
        assert_eq!(code, 0, "pam_start_confdir");
        // SAFETY: `context` outlives the transaction; nothing else refers to it until the first call.
        unsafe { data.cast::<Context<'_, '_>>().as_mut() }.expect("data points to the context").handle =
            handle;
        for (item, value) in &self.items {
            assert_eq!(Handle(handle).set(*item, value), 0, "pam_set_item {item:?}");
        }
        for assignment in &self.environment {
            let assignment = c_string(assignment.as_bytes());
            // SAFETY: the handle is live; libpam copies the string.
            assert_eq!(unsafe { pam_putenv(handle, assignment.as_ptr()) }, 0, "pam_putenv");
        }
        before();
        let code = self.phases(handle);
        // SAFETY: the handle is live and not used again.
        unsafe { pam_end(handle, code) };
        Outcome { code, seen: context.seen, log: log::take() }
    }

    /// Runs the transaction.
    pub fn run(&self, folder: &Path, converse: &mut Converse<'_>) -> Outcome {
        self.run_after(folder, converse, || {})
    }

    /// Runs it with a user who types `answer` at every question.
    pub fn typing(&self, folder: &Path, answer: &[u8]) -> Outcome {
        self.run(folder, &mut |_, messages| typed(messages, answer))
    }

    fn phases(&self, handle: *mut c_void) -> i32 {
        const ESTABLISH_CRED: c_int = 2;
        type Phase = unsafe extern "C" fn(*mut c_void, c_int) -> c_int;
        let code = match self.phases {
            Phases::SessionAlone => 0,
            // SAFETY: the handle is live.
            _ => unsafe { pam_authenticate(handle, 0) },
        };
        if code != 0 {
            return code;
        }
        if let Some(user) = self.user_after {
            Handle(handle).set(Item::User, user);
        }
        let all: [(Phase, c_int); 5] = [
            (pam_acct_mgmt, 0),
            (pam_setcred, ESTABLISH_CRED),
            (pam_open_session, 0),
            (pam_close_session, 0),
            (pam_chauthtok, 0),
        ];
        let count = match self.phases {
            Phases::Authenticate => 0,
            Phases::Account => 1,
            Phases::Session | Phases::SessionAlone => 4,
            Phases::All => all.len(),
        };
        // SAFETY: the handle is live.
        let mut codes = all.iter().take(count).map(|(phase, flags)| unsafe { phase(handle, *flags) });
        codes.find(|code| *code != 0).unwrap_or(0)
    }
}

/// The reaction of a user who types `answer` at every question.
pub fn typed(messages: &[Message], answer: &[u8]) -> Reaction {
    let reply = |message: &Message| match message.style {
        Style::Hidden | Style::Shown => Some(answer.to_vec()),
        Style::Error | Style::Info => None,
    };
    Reaction::Reply(messages.iter().map(reply).collect())
}

struct Context<'a, 'b> {
    converse: &'a mut Converse<'b>,
    handle: *mut c_void,
    seen: Vec<Vec<Message>>,
}

extern "C" fn converse_raw(
    count: c_int,
    messages: *const *const RawMessage,
    replies: *mut *mut RawReply,
    data: *mut c_void,
) -> c_int {
    let count = usize::try_from(count).expect("a count of messages is not negative");
    let messages: Vec<Message> = (0..count).map(|index| read_message(messages, index)).collect();
    // SAFETY: `data` is the context that `run` made for this transaction, which is on this thread's stack.
    let context = unsafe { data.cast::<Context<'_, '_>>().as_mut() }.expect("the context is there");
    context.seen.push(messages.clone());
    let (array, code) = match (context.converse)(Handle(context.handle), &messages) {
        Reaction::Reply(texts) => (make_replies(count, texts), 0),
        Reaction::NoArray => (ptr::null_mut(), 0),
        Reaction::Fail(code) => (ptr::null_mut(), code),
        Reaction::FailDangling(code) => (ptr::dangling_mut(), code),
    };
    // SAFETY: the caller's contract: a place for one pointer.
    unsafe { replies.write(array) };
    code
}

fn read_message(messages: *const *const RawMessage, index: usize) -> Message {
    // SAFETY: the caller's contract: `index` is below the count.
    let message = unsafe { messages.add(index) };
    // SAFETY: as above: one pointer per message.
    let message = unsafe { message.read() };
    // SAFETY: as above: it points to a message.
    let message = unsafe { message.read() };
    // SAFETY: as above: its text is a string.
    let text = unsafe { CStr::from_ptr(message.text) };
    let style = match message.style {
        1 => Style::Hidden,
        2 => Style::Shown,
        3 => Style::Error,
        4 => Style::Info,
        style => panic!("no message has style {style}"),
    };
    Message { style, text: text.to_bytes().to_vec() }
}

fn make_replies(count: usize, texts: Vec<Option<Vec<u8>>>) -> *mut RawReply {
    // SAFETY: calloc has no requirements.
    let array = unsafe { libc::calloc(count, size_of::<RawReply>()) }.cast::<RawReply>();
    for (index, text) in texts.into_iter().enumerate().take(count) {
        let reply = RawReply { text: text.map_or(ptr::null_mut(), copy_text), unused: 0 };
        // SAFETY: `index` is below `count`.
        let place = unsafe { array.add(index) };
        // SAFETY: calloc gave the place, aligned for any type.
        unsafe { place.write(reply) };
    }
    array
}

/// A copy from malloc, with a NUL behind it; a NUL inside stays where it is.
fn copy_text(mut text: Vec<u8>) -> *mut c_char {
    text.push(0);
    // SAFETY: malloc has no requirements.
    let copy = unsafe { libc::malloc(text.len()) }.cast::<u8>();
    // SAFETY: both are `text.len()` bytes and do not overlap.
    unsafe { ptr::copy_nonoverlapping(text.as_ptr(), copy, text.len()) };
    copy.cast()
}

fn c_string(bytes: &[u8]) -> CString {
    CString::new(bytes).expect("a value for libpam has no NUL")
}
