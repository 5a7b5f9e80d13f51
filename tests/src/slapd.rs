//! A directory: Debian's `slapd` with a few people, or with many, encrypted in both ways.

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::machine::{folder, run};
use crate::time::wait_for;

/// Where it listens: first the port for StartTLS, then the one that is encrypted from the first byte on.
const PORTS: [u16; 2] = [3389, 3636];

/// What it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shows {
    /// A certificate for `localhost` that is trusted.
    Right,
    /// One for another name that is trusted.
    WrongName,
    /// One for `localhost` that is not.
    Untrusted,
}

impl Shows {
    fn word(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::WrongName => "wrong_name",
            Self::Untrusted => "untrusted",
        }
    }
}

/// The directory's server; killed when dropped.
#[derive(Debug)]
pub struct Slapd {
    child: Option<Child>,
    folder: PathBuf,
}

/// The password of everybody in it.
pub const PASSWORD: &str = "a password of the directory";

const OUR_PASSWORD: &str = "what postern binds with";
const PASSWORD_FILE: &str = "/etc/postern/directory.password";
const TRUST_FILE: &str = "/etc/postern/directory-trust.pem";

impl Slapd {
    /// With what the list of this file says and more entries in LDIF; not started yet.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn new(more: &str) -> Self {
        let folder = folder().join("slapd");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("data")).expect("its folder");
        let slapd = Self { child: None, folder };
        for (shows, name) in [
            (Shows::Right, "localhost"),
            (Shows::WrongName, "elsewhere.example"),
            (Shows::Untrusted, "localhost"),
        ] {
            slapd.make_certificate(shows, name);
        }
        slapd.write_config(Shows::Right);
        fs::write(slapd.file("people.ldif"), format!("{PEOPLE}{more}")).expect("its people");
        let (config, people) = (slapd.file("slapd.conf"), slapd.file("people.ldif"));
        run("/usr/sbin/slapadd", &["-q", "-f", &config, "-l", &people]);
        slapd
    }

    fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn make_certificate(&self, shows: Shows, name: &str) {
        let (key, certificate) =
            (self.file(&format!("{}.key", shows.word())), self.file(&format!("{}.pem", shows.word())));
        let (subject, names) = (format!("/CN={name}"), format!("subjectAltName=DNS:{name}"));
        let line = format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -keyout {key} -out {certificate} \
             -subj {subject} -addext {names} -addext basicConstraints=critical,CA:FALSE"
        );
        run("openssl", &line.split_whitespace().collect::<Vec<_>>());
    }

    fn write_config(&self, shows: Shows) {
        let (folder, word) = (self.folder.display(), shows.word());
        let config = format!(
            "include /etc/ldap/schema/core.schema\ninclude /etc/ldap/schema/cosine.schema\n\
             include /etc/ldap/schema/inetorgperson.schema\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\n\
             TLSCertificateFile {folder}/{word}.pem\nTLSCertificateKeyFile {folder}/{word}.key\n\
             security tls=1\npidfile {folder}/slapd.pid\nsizelimit 500\n\
             database mdb\nmaxsize 1073741824\nsuffix dc=example,dc=org\nrootdn cn=root,dc=example,dc=org\n\
             directory {folder}/data\nindex uid,mail,entryUUID eq\n\
             access to attrs=userPassword by anonymous auth by * none\n\
             access to * by dn.exact=cn=postern,dc=example,dc=org read by * none\n"
        );
        fs::write(self.file("slapd.conf"), config).expect("its configuration");
    }

    /// The section of the configuration.
    ///
    /// * `more`: lines for its end.
    pub fn section(encrypted_at_once: bool, more: &str) -> String {
        let [plain, encrypted] = PORTS;
        let url = if encrypted_at_once {
            format!("ldaps://localhost:{encrypted}")
        } else {
            format!("ldap://localhost:{plain}")
        };
        format!(
            "[directory]\nurl = \"{url}\"\nbind_dn = \"cn=postern,dc=example,dc=org\"\n\
             bind_password_file = \"{PASSWORD_FILE}\"\ntrust_file = \"{TRUST_FILE}\"\nbase = \"dc=example,dc=org\"\n\
             filter = \"(&(objectClass=inetOrgPerson)(!(employeeType=left)))\"\n\
             attributes = {{ account = \"description\", group = \"ou\" }}\n{more}\n\
             [directory.roles]\n\"cn=admins,dc=example,dc=org\" = \"admin\"\n"
        )
    }

    /// Writes the files that [`Self::section`] names, into /etc/postern.
    ///
    /// # Panics
    /// When they cannot be written.
    pub fn write_files(&self) {
        fs::write(PASSWORD_FILE, OUR_PASSWORD).expect("our password");
        run("chmod", &["600", PASSWORD_FILE]);
        let trusted =
            ["right.pem", "wrong_name.pem"].map(|name| fs::read(self.file(name)).expect("a certificate"));
        fs::write(TRUST_FILE, trusted.concat()).expect("what is trusted");
    }

    /// Starts it, and waits until it listens.
    ///
    /// # Panics
    /// When it runs, or does not start.
    pub fn start(&mut self, shows: Shows) {
        assert!(self.child.is_none(), "it runs");
        self.write_config(shows);
        let [plain, encrypted] = PORTS;
        let at = format!("ldap://127.0.0.1:{plain} ldaps://127.0.0.1:{encrypted}");
        let log = fs::File::create(self.file("log")).expect("its log");
        let mut command = Command::new("/usr/sbin/slapd");
        command.args(["-d", "0", "-h", &at, "-f", &self.file("slapd.conf")]);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("its log")).stderr(log);
        let mut child = command.spawn().expect("slapd");
        wait_for("slapd to listen", || {
            let ended = child.try_wait().expect("slapd");
            assert!(ended.is_none(), "slapd ended: {ended:?}: {:?}", fs::read_to_string(self.file("log")));
            PORTS.iter().all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok()).then_some(())
        });
        self.child = Some(child);
    }

    /// Ends it: nobody listens.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stops it where it stands: connections are taken, and nothing is answered.
    ///
    /// # Panics
    /// When it does not run.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    ///
    /// # Panics
    /// When it does not run.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        let id = Pid::from_raw(i32::try_from(child.id()).expect("a process id")).expect("a process id");
        kill_process(id, signal).expect("the signal");
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A person in LDIF.
///
/// * `more`: more lines, each with its end.
pub fn person(login: &str, more: &str) -> String {
    format!(
        "\ndn: uid={login},dc=example,dc=org\nobjectClass: inetOrgPerson\nuid: {login}\ncn: {login} of the directory\ndescription: {login}\n\
         sn: {login}\nmail: {login}@example.org\nuserPassword: {PASSWORD}\n{more}"
    )
}

/// The root, ourselves, and a reference to another server.
const PEOPLE: &str = "dn: dc=example,dc=org
objectClass: dcObject
objectClass: organization
dc: example
o: Example

dn: cn=postern,dc=example,dc=org
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: postern
userPassword: what postern binds with

dn: ou=elsewhere,dc=example,dc=org
objectClass: referral
objectClass: extensibleObject
ou: elsewhere
ref: ldap://192.0.2.99/ou=elsewhere,dc=example,dc=org
";
