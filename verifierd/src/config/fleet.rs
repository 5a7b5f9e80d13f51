//! The listener of the fleet.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use rustls::pki_types::ServerName;
use serde::{Deserialize, Serialize};

use super::CertificateFiles;
use crate::hosts::is_dns_name;

/// Most names of one verifier: each is in its certificate, which every handshake carries. Two networks, two address
/// families and some aliases need fewer.
pub const NAMES_MAX: usize = 16;

/// Where agents ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetConfig {
    /// Address and port.
    pub listen: SocketAddr,
    /// What agents call this verifier: 1 to [`NAMES_MAX`] DNS names (lower case) and addresses.
    pub names: Vec<ServerName<'static>>,
    /// The site's authority that signs hosts and this verifier; Postern's own where there is none.
    pub authority: Option<CertificateFiles>,
}

impl FleetConfig {
    /// Where agents find this verifier, one for each of its names, as `postern-agent` takes them.
    pub fn urls(&self) -> Vec<String> {
        let port = self.listen.port();
        let url = |name: &ServerName<'static>| match text(name).parse::<IpAddr>() {
            Ok(IpAddr::V6(address)) => format!("https://[{address}]:{port}"),
            _ => format!("https://{}:{port}", text(name)),
        };
        self.names.iter().map(url).collect()
    }
}

fn text(name: &ServerName<'_>) -> String {
    name.to_str().into_owned()
}

/// The section as written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFleet {
    listen: String,
    names: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca_certificate_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca_private_key_file: Option<PathBuf>,
}

impl From<&FleetConfig> for RawFleet {
    fn from(fleet: &FleetConfig) -> Self {
        let files = fleet.authority.clone();
        let (ca_certificate_file, ca_private_key_file) =
            files.map(|files| (files.certificate_file, files.private_key_file)).unzip();
        Self {
            listen: fleet.listen.to_string(),
            names: fleet.names.iter().map(text).collect(),
            ca_certificate_file,
            ca_private_key_file,
        }
    }
}

impl RawFleet {
    /// All that is wrong goes into `faults`; the section is `None` then.
    pub(super) fn check(self, faults: &mut Vec<String>) -> Option<FleetConfig> {
        let before = faults.len();
        let listen = self.listen.parse::<SocketAddr>();
        if listen.is_err() {
            let given = &self.listen;
            faults.push(format!(
                "fleet.listen = {given:?}: an address and a port such as \"0.0.0.0:7443\" is needed"
            ));
        }
        let names = check_names(&self.names, faults);
        let authority = self.check_authority(faults);
        let listen = listen.ok()?;
        (faults.len() == before).then_some(FleetConfig { listen, names, authority })
    }

    fn check_authority(self, faults: &mut Vec<String>) -> Option<CertificateFiles> {
        let (certificate_file, private_key_file) = match (self.ca_certificate_file, self.ca_private_key_file)
        {
            (Some(certificate_file), Some(private_key_file)) => (certificate_file, private_key_file),
            (None, None) => return None,
            (Some(_), None) | (None, Some(_)) => {
                faults.push(
                    "fleet.ca_certificate_file and fleet.ca_private_key_file: one of them alone is of no use"
                        .into(),
                );
                return None;
            }
        };
        for (name, path) in
            [("ca_certificate_file", &certificate_file), ("ca_private_key_file", &private_key_file)]
        {
            if !path.is_absolute() {
                faults.push(format!("fleet.{name} = {path:?}: an absolute path is needed"));
            }
        }
        Some(CertificateFiles { certificate_file, private_key_file })
    }
}

fn check_names(given: &[String], faults: &mut Vec<String>) -> Vec<ServerName<'static>> {
    let mut names: Vec<ServerName<'static>> = Vec::new();
    for name in given {
        match server_name(name) {
            Some(known) if names.contains(&known) => {
                faults.push(format!("fleet.names: {name:?} is there twice"));
            }
            Some(new) => names.push(new),
            None => faults.push(format!(
                "fleet.names: {name:?} is neither a DNS name in lower case nor an address such as \"192.0.2.5\""
            )),
        }
    }
    if given.is_empty() || given.len() > NAMES_MAX {
        faults.push(format!(
            "fleet.names = {given:?}: 1 to {NAMES_MAX} names are needed, those that agents call this verifier by"
        ));
    }
    names
}

/// One name; what looks like an address and is none (`192.0.2`) is a name that DNS cannot have.
fn server_name(given: &str) -> Option<ServerName<'static>> {
    if let Ok(address) = given.parse::<IpAddr>() {
        return (!address.is_unspecified()).then(|| address.into());
    }
    let is_numeric =
        given.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    if is_numeric || !is_dns_name(given) {
        return None;
    }
    ServerName::try_from(given.to_owned()).ok()
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn with(lines: &str) -> String {
        format!("version = 1\n[fleet]\n{lines}\n")
    }

    fn check(lines: &str, expected: &str) {
        let faults = Config::parse(&with(lines)).expect_err(lines).to_string();
        assert!(faults.contains(expected), "{faults:?} does not say {expected:?}");
    }

    // covers: I13
    #[test]
    fn without_its_section_there_is_no_fleet() {
        assert_eq!(Config::parse("version = 1").unwrap().fleet, None);
    }

    #[test]
    fn agents_find_a_verifier_by_each_of_its_names() {
        let text =
            with("listen = \"0.0.0.0:7443\"\nnames = [\"otp1.example.org\", \"192.0.2.5\", \"2001:db8::5\"]");
        let config = Config::parse(&text).unwrap();
        let urls = config.fleet.as_ref().unwrap().urls();
        assert_eq!(
            urls,
            ["https://otp1.example.org:7443", "https://192.0.2.5:7443", "https://[2001:db8::5]:7443"]
        );
        assert_eq!(Config::parse(&config.to_text()).unwrap(), config);
    }

    #[test]
    fn other_names_are_taken_over_and_another_address_or_authority_needs_a_restart() {
        let config = |port: u16, name: &str, files: &str| {
            let lines = format!("listen = \"0.0.0.0:{port}\"\nnames = [{name:?}]\n{files}");
            Config::parse(&with(&lines)).unwrap()
        };
        let files = "ca_certificate_file = \"/c\"\nca_private_key_file = \"/k\"";
        let old = config(1, "otp1", "");
        assert!(old.needs_restart(&config(1, "otp2", "")).is_empty());
        for newer in [config(2, "otp1", ""), config(1, "otp1", files), Config::parse("version = 1").unwrap()]
        {
            assert_eq!(old.needs_restart(&newer), ["fleet"]);
        }
    }

    #[test]
    fn two_listeners_need_two_addresses() {
        let api = "[api]\nlisten = \"127.0.0.1:7443\"\nkey_file = \"/k\"";
        let lines = format!("listen = \"127.0.0.1:7443\"\nnames = [\"otp1\"]\n{api}");
        check(&lines, "api.listen and fleet.listen = \"127.0.0.1:7443\": each listener needs its own");
    }

    #[test]
    fn faults_of_the_fleet_name_the_key_the_value_and_what_would_be_right() {
        let (listen, names) = ("listen = \"0.0.0.0:7443\"\n", "names = [\"otp1\"]\n");
        check(listen, "missing field `names`");
        check(names, "missing field `listen`");
        check(&format!("listen = \"otp1\"\n{names}"), "fleet.listen = \"otp1\": an address and a port");
        check(&format!("{listen}names = []"), "fleet.names = []: 1 to 16 names are needed");
        for wrong in
            ["OTP1", "otp1.", "*.example.org", "192.0.2", "otp_1", "", "0.0.0.0", "::", "a b", "https://x"]
        {
            check(&format!("{listen}names = [{wrong:?}]"), &format!("fleet.names: {wrong:?} is neither"));
        }
        check(&format!("{listen}names = [\"otp1\", \"otp1\"]"), "\"otp1\" is there twice");
        check(&format!("{listen}{names}ca_certificate_file = \"/c\""), "one of them alone is of no use");
        let files = "ca_certificate_file = \"c\"\nca_private_key_file = \"/k\"";
        check(
            &format!("{listen}{names}{files}"),
            "fleet.ca_certificate_file = \"c\": an absolute path is needed",
        );
        check(&format!("{listen}{names}key = \"00\""), "unknown field `key`");
    }
}
