//! Catches what libpam would send to the system's log, per thread.
//!
//! These functions take the place of the C library's for every library of the process. They are not declared
//! with variable arguments, which stable Rust cannot define; on the ABIs of Linux on x86-64 and AArch64 the
//! two strings that `pam_syslog` passes arrive in the same registers.

use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_int};

thread_local! {
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// The lines of this thread since the last call, each with the service in front, as syslog gets them.
pub fn take() -> Vec<String> {
    LINES.with_borrow_mut(std::mem::take)
}

fn keep(format: *const c_char, first: *const c_char, second: *const c_char) {
    // SAFETY: syslog's contract: the format is a string.
    let format = unsafe { CStr::from_ptr(format) };
    if format != c"%s %s" {
        return; // not from pam_syslog
    }
    // SAFETY: the format says that this argument is a string.
    let first = unsafe { CStr::from_ptr(first) };
    // SAFETY: as above.
    let second = unsafe { CStr::from_ptr(second) };
    let line = format!("{} {}", first.to_string_lossy(), second.to_string_lossy());
    LINES.with_borrow_mut(|lines| lines.push(line));
}

/// `void syslog(int priority, const char *format, ...);`
#[unsafe(no_mangle)]
pub extern "C" fn syslog(_: c_int, format: *const c_char, first: *const c_char, second: *const c_char) {
    keep(format, first, second);
}

/// The same in programs that were built with `_FORTIFY_SOURCE`.
#[unsafe(no_mangle)]
pub extern "C" fn __syslog_chk(
    _: c_int,
    _: c_int,
    format: *const c_char,
    first: *const c_char,
    second: *const c_char,
) {
    keep(format, first, second);
}
