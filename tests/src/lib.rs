//! The rig of the whole-system tests: real sshd, sudo, su and login around the built programs.
//!
//! Deliberately never reaches inside: it starts programs, types on terminals, and reads what they say. It changes
//! users and PAM files, so it works only in the sandbox that `cargo xtask` makes.
//!
//! | module | holds |
//! | --- | --- |
//! | [`programs`] | where the programs are |
//! | [`time`] | the one clock, waiting with a deadline, and the daemon's own clock |
//! | [`machine`] | users, PAM files, the `/dev/log` that catches what the module logs |
//! | [`sshd`] | the SSH server, and clients for it |
//! | [`terminal`] | a program on a terminal of its own: what it says, what is typed |
//! | [`verifier`] | `verifierd` with a configuration: start, kill, restart, reload |
//! | [`agent`] | `postern-agent` with a configuration: joined, started, ended |
//! | [`fleet`] | hosts with sshd, the module and an agent each |
//! | [`cut_off`] | the same with offline passwords, and logins while no verifier answers |
//! | [`network`], [`relay`] | machines of a network, and a network that is cut |
//! | [`login_socket`] | the login socket as the PAM module uses it, for tests with many logins at once |
//! | [`api`] | verification without a dialogue, as other programs ask for it |
//! | [`keys`] | programs that ask over HTTPS with a key of a person |
//! | [`metrics`] | what the daemon counts, and how much memory it has
//! | [`raw`], [`http2`] | bytes and frames that no honest program says |
//! | [`verify_socket`] | one code, one verdict, on connections that are kept open |
//! | [`pages`], [`browser`] | the pages for browsers, as `curl` and as a real browser sees them |
//! | [`page_checks`] | what is wrong with a page for whoever reads it |
//! | [`postern`] | the command `postern` |
//! | [`flows`] | what people do again and again: enrol, log in, get refused |
//! | [`authenticator`] | a phone: reads the enrolment off the screen, tells one-time passwords |
//! | [`fob`] | a hardware token: a button that counts, or a clock that is off |
//! | [`batch`] | the file that comes with a box of tokens: PSKC and CSV |
//! | [`faults`] | system calls that fail, power that goes, resources that end |
//! | [`site`], [`showcase`] | sshd, pages, mails and persons, all at once; with something of everything |
//! | [`persons`] | persons, and how they ask for issued passwords |
//! | [`slapd`] | a directory of persons |
//! | [`smtp`] | a mail server with moods |
//! | [`notices`] | the command that tells users what happened |
//! | [`witness`] | command lines and environments while something goes on |
//! | [`history`] | the history checker: judges what clients were told by what is stored |
//! | [`scenario`] | a fault while people log in, and the judgement |
//! | [`soak`] | a long steady load, and what grows under it |
//! | [`chance`] | chance that is the same in every run |

#![forbid(unsafe_code)]

pub mod agent;
pub mod api;
pub mod authenticator;
pub mod batch;
pub mod browser;
pub mod chance;
pub mod cut_off;
pub mod faults;
pub mod fleet;
pub mod flows;
pub mod fob;
pub mod history;
pub mod http2;
pub mod keys;
pub mod login_socket;
pub mod machine;
pub mod metrics;
pub mod network;
pub mod notices;
pub mod page_checks;
pub mod pages;
pub mod persons;
pub mod postern;
pub mod programs;
pub mod raw;
pub mod relay;
pub mod scenario;
pub mod showcase;
pub mod site;
pub mod slapd;
pub mod smtp;
pub mod soak;
pub mod sshd;
pub mod staff;
pub mod terminal;
pub mod time;
pub mod traces;
pub mod verifier;
pub mod verify_socket;
pub mod witness;

/// How many rounds a test makes: few in `cargo xtask test`, all of them in `cargo xtask soak`.
///
/// * `variable`: set by soak.
///
/// # Panics
/// When the variable is set and is no number.
pub fn rounds(variable: &str, few: usize) -> usize {
    std::env::var(variable).map_or(few, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}
