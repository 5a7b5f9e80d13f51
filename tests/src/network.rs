//! Machines of a network: name spaces with an interface each, joined to the one where the test itself is.
//!
//! A place has its own network, host name, and folders of Postern; users, PAM files and the system log are the
//! sandbox's. The test's own side has every place's first address, and as many more as a test gives it.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::machine::run;

/// Run inside, before anything else: folders of its own where Postern has its files, then a wait for the test's end.
const SETTLE: &str = "set -eu
hostname \"$1\"
ip link set lo up
for folder in /etc/postern /run/postern /var/lib/postern-agent /run/postern-offline \
    /var/lib/postern-offline /var/lib/postern-offline-note; do
    mkdir -p \"$folder\"
    mount -t tmpfs -o mode=755 postern \"$folder\"
done
echo settled
exec cat";

/// A machine of the network; gone when dropped, with every process that is told to end with it.
pub struct Place {
    anchor: Child,
    /// Its other end keeps the place; the place ends with the test.
    _held: ChildStdin,
    number: u8,
    /// Seconds that the real machine had run when this one was started anew.
    restarted: AtomicU64,
}

impl Place {
    /// * `number`: 1 to 254; its network is 10.90.NUMBER.0/24, the test has .1 in it and the place .2.
    /// * `name`: its host name.
    ///
    /// # Panics
    /// Outside the sandbox, or without the rights for name spaces.
    pub fn new(number: u8, name: &str) -> Self {
        let inside = std::env::var_os("POSTERN_SANDBOX").is_some();
        assert!(inside, "changes the network: run it with `cargo xtask test`, which makes a sandbox");
        let mut command = Command::new("unshare");
        command.args(["--mount", "--net", "--uts", "--propagation", "private", "--", "sh", "-c", SETTLE]);
        command.args(["settle", name]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut anchor = command.spawn().expect("unshare");
        let held = anchor.stdin.take().expect("its input");
        let mut line = String::new();
        let mut said = BufReader::new(anchor.stdout.take().expect("its output"));
        said.read_line(&mut line).expect("a place settles");
        assert_eq!(line, "settled\n", "{name} could not be made");
        let place = Self { anchor, _held: held, number, restarted: AtomicU64::new(0) };
        place.connect();
        place
    }

    fn connect(&self) {
        let (ours, target) = (format!("host{}", self.number), self.anchor.id().to_string());
        run("ip", &["link", "add", &ours, "type", "veth", "peer", "name", "eth0", "netns", &target]);
        run("ip", &["address", "add", &format!("{}/24", self.gateway()), "dev", &ours]);
        run("ip", &["link", "set", &ours, "up"]);
        self.run("ip", &["address", "add", &format!("{}/24", self.address()), "dev", "eth0"]);
        self.run("ip", &["link", "set", "eth0", "up"]);
        self.run("ip", &["route", "add", "default", "via", &self.gateway()]);
    }

    /// Its address.
    pub fn address(&self) -> String {
        format!("10.90.{}.2", self.number)
    }

    /// The test's address in its network.
    pub fn gateway(&self) -> String {
        format!("10.90.{}.1", self.number)
    }

    /// The same command there.
    pub fn enter(&self, command: &Command) -> Command {
        let mut entered = Command::new("nsenter");
        entered.args(["--mount", "--net", "--uts", "--target", &self.anchor.id().to_string(), "--"]);
        let restarted = self.restarted.load(Ordering::Relaxed);
        if restarted > 0 {
            entered.args(["unshare", "--time", "--boottime", &format!("-{restarted}"), "--"]);
        }
        entered.arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => entered.env(key, value),
                None => entered.env_remove(key),
            };
        }
        entered
    }

    /// Runs a tool there.
    ///
    /// # Panics
    /// When it fails, with what it said.
    #[track_caller]
    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(program);
        command.args(arguments);
        let mut command = self.enter(&command);
        let output = command.stdin(Stdio::null()).output();
        let output = output.unwrap_or_else(|error| panic!("cannot run nsenter: {error}"));
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{program} {arguments:?}: {}: {text}", output.status);
        text
    }

    /// A file of it, as the test reaches it.
    pub fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.anchor.id()))
    }

    /// Puts it into a time zone, as `timedatectl` does. Its `/etc` is a copy from then on.
    pub fn set_time_zone(&self, zone: &str) {
        let script = "set -eu
mkdir /run/postern/etc
cp -a /etc/. /run/postern/etc/
ln -sf \"/usr/share/zoneinfo/$1\" /run/postern/etc/localtime
mount --bind /run/postern/etc /etc";
        self.run("sh", &["-c", script, "zone", zone]);
    }

    /// Has the kernel say that the machine was started anew just now, and forgets what lasts until then. What runs does not
    /// hear of it.
    pub fn restart(&self) {
        let script = "set -eu
find /run/postern-offline -mindepth 1 -delete
cat /proc/sys/kernel/random/uuid > /run/postern-offline/boot_id
mount --bind /run/postern-offline/boot_id /proc/sys/kernel/random/boot_id";
        self.run("sh", &["-c", script]);
        let ran = rustix::time::clock_gettime(rustix::time::ClockId::Boottime).tv_sec;
        self.restarted.store(ran.unsigned_abs(), Ordering::Relaxed);
    }

    /// Pulls its cable, or puts it back.
    pub fn set_link(&self, is_up: bool) {
        run("ip", &["link", "set", &format!("host{}", self.number), if is_up { "up" } else { "down" }]);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // The kernel takes its time to clear a name space away, and the next place has the same name for its cable.
        let _ = Command::new("ip").args(["link", "del", &format!("host{}", self.number)]).output();
        let _ = self.anchor.kill();
        let _ = self.anchor.wait();
    }
}

/// Gives the test's side another address, which every place reaches.
pub fn add_address(address: &str) {
    run("ip", &["address", "replace", &format!("{address}/32"), "dev", "lo"]);
}

/// Takes it away: what is sent there from then on is lost without a word.
pub fn remove_address(address: &str) {
    run("ip", &["address", "flush", "dev", "lo", "to", &format!("{address}/32")]);
}
