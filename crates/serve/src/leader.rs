//! Whether the process that a session lives as long as is still there, as `/proc` says.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use wire::session::Leader;

/// Where the kernel tells about processes.
const PROC: &str = "/proc";

/// Whether a session is over, as far as can be told: the machine has started anew since, or its leader is gone. Where
/// neither is known, or the kernel shows us nothing of the process, it is not.
pub fn is_over(boot: Option<&str>, leader: Option<Leader>) -> bool {
    is_over_in(Path::new(PROC), boot, leader)
}

/// * `proc`: what shows the processes.
fn is_over_in(proc: &Path, boot: Option<&str>, leader: Option<Leader>) -> bool {
    let present = fs::read_to_string(proc.join("sys/kernel/random/boot_id")).ok();
    if let (Some(then), Some(now)) = (boot, present)
        && then != now.trim()
    {
        return true;
    }
    leader.is_some_and(|leader| is_gone(proc, leader))
}

fn is_gone(proc: &Path, leader: Leader) -> bool {
    // No process has a number below 1, and `Pid` holds none.
    let Some(pid) = (leader.pid > 0).then(|| Pid::from_raw(leader.pid)).flatten() else { return true };
    match fs::read(proc.join(leader.pid.to_string()).join("stat")) {
        // What cannot be understood tells nothing.
        Ok(stat) => state_and_start(&stat)
            .is_some_and(|(state, start)| start != leader.start || matches!(state, b'Z' | b'X')),
        // A hardened unit sees no processes of others; whether there is one of this number can be asked all the same.
        Err(error) if error.kind() == ErrorKind::NotFound => test_kill_process(pid) == Err(Errno::SRCH),
        Err(_) => false,
    }
}

/// State and start of a process (proc_pid_stat(5), fields 3 and 22). Its name may hold anything.
fn state_and_start(stat: &[u8]) -> Option<(u8, u64)> {
    let name_ends = stat.iter().rposition(|byte| *byte == b')')?;
    let mut fields = stat.get(name_ends + 1..)?.split(|byte| *byte == b' ').filter(|field| !field.is_empty());
    let state = *fields.next()?.first()?;
    let start = str::from_utf8(fields.nth(18)?).ok()?.parse().ok()?;
    Some((state, start))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine that shows one process, and one that does not know its own start.
    fn machine(pid: i32, stat: &str) -> tempfile::TempDir {
        let proc = tempfile::tempdir().unwrap();
        let place = proc.path().join(pid.to_string());
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join("stat"), stat).unwrap();
        proc
    }

    fn stat(name: &str, state: char, start: u64) -> String {
        format!("77 ({name}) {state} 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 {start} 20 21\n")
    }

    // covers: R10
    #[test]
    fn a_session_is_over_when_its_leader_is_gone_or_another_has_its_number() {
        let leader = |start| Some(Leader { pid: 77, start });
        for name in ["sshd", "a) Z 1 2", "two words", "("] {
            let proc = machine(77, &stat(name, 'S', 4711));
            assert!(!is_over_in(proc.path(), None, leader(4711)), "{name}");
            assert!(is_over_in(proc.path(), None, leader(4710)), "{name}: the number was used again");
        }
        for state in ['Z', 'X'] {
            assert!(is_over_in(machine(77, &stat("sshd", state, 4711)).path(), None, leader(4711)));
        }
        for odd in ["", "77 (sshd", "77 (sshd) S 1 2"] {
            assert!(!is_over_in(machine(77, odd).path(), None, leader(4711)), "{odd:?} tells nothing");
        }
        for pid in [0, -1, i32::MIN] {
            assert!(is_over_in(Path::new(PROC), None, Some(Leader { pid, start: 1 })), "{pid} is no process");
        }
        assert!(!is_over_in(Path::new(PROC), None, None), "of nobody nothing is known");
    }

    // covers: R10
    #[test]
    fn a_session_from_before_the_machines_start_is_over() {
        let proc = machine(77, &stat("sshd", 'S', 4711));
        let leader = Some(Leader { pid: 77, start: 4711 });
        assert!(!is_over_in(proc.path(), Some("one"), leader), "the present start is not known");
        fs::create_dir_all(proc.path().join("sys/kernel/random")).unwrap();
        fs::write(proc.path().join("sys/kernel/random/boot_id"), "one\n").unwrap();
        assert!(!is_over_in(proc.path(), Some("one"), leader));
        assert!(is_over_in(proc.path(), Some("another"), leader) && is_over_in(proc.path(), Some(""), None));
    }

    // covers: R10
    #[test]
    fn a_process_that_the_kernel_hides_is_there_as_long_as_its_number_is_in_use() {
        let hidden = tempfile::tempdir().unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(!is_over_in(hidden.path(), None, Some(Leader { pid: own, start: 1 })));
        // The largest number that Linux gives is 4,194,304.
        assert!(is_over_in(hidden.path(), None, Some(Leader { pid: i32::MAX, start: 1 })));
    }
}
