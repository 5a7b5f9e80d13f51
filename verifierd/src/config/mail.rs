//! The mail server.

use std::net::IpAddr;
use std::path::PathBuf;

use lettre::message::Mailbox;
use serde::{Deserialize, Serialize};

/// Where mails are handed in, and as whose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailConfig {
    /// Name or address of the server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is encrypted.
    pub tls: MailTls,
    /// What stands in `From`.
    pub from: Mailbox,
    /// Who we are to the server, and the file with the password; nobody in particular, where there is none.
    pub login: Option<(String, PathBuf)>,
    /// The authorities that the server's certificate may be of, in PEM form; the machine's own where there is none.
    pub trust_file: Option<PathBuf>,
}

/// How the connection to the mail server is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailTls {
    /// After `STARTTLS`, without which nothing is sent (RFC 3207).
    #[default]
    Starttls,
    /// From the first byte on (RFC 8314).
    Tls,
    /// Not at all: to this machine alone.
    None,
}

/// The section as written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMail {
    server: String,
    #[serde(default)]
    tls: MailTls,
    from: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trust_file: Option<PathBuf>,
}

impl From<&MailConfig> for RawMail {
    fn from(mail: &MailConfig) -> Self {
        let (username, password_file) = mail.login.clone().unzip();
        let server = if mail.host.contains(':') { format!("[{}]", mail.host) } else { mail.host.clone() };
        Self {
            server: format!("{server}:{}", mail.port),
            tls: mail.tls,
            from: mail.from.to_string(),
            username,
            password_file,
            trust_file: mail.trust_file.clone(),
        }
    }
}

impl RawMail {
    /// All that is wrong goes into `faults`; the section is `None` then.
    pub(super) fn check(self, faults: &mut Vec<String>) -> Option<MailConfig> {
        let Self { server, tls, from, username, password_file, trust_file } = self;
        let before = faults.len();
        let paths = [("password_file", &password_file), ("trust_file", &trust_file)];
        for (name, path) in paths.into_iter().filter_map(|(name, path)| Some((name, path.as_ref()?))) {
            if !path.is_absolute() {
                faults.push(format!("mail.{name} = {path:?}: an absolute path is needed"));
            }
        }
        let place = parse_server(&server);
        if place.is_none() {
            faults.push(format!(
                "mail.server = {server:?}: a name or an address and a port is needed, such as \
                 \"smtp.example.org:587\""
            ));
        }
        let mailbox = from.parse::<Mailbox>().ok().filter(|_| from.is_ascii());
        if mailbox.is_none() {
            faults.push(format!(
                "mail.from = {from:?}: an address is needed, such as \"Postern <postern@example.org>\""
            ));
        }
        let login = match (username, password_file) {
            (Some(username), Some(file)) => Some((username, file)),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                faults.push("mail.username and mail.password_file: one of them alone is of no use".into());
                None
            }
        };
        let (host, port) = place?;
        let is_here =
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(|host| host.to_canonical().is_loopback());
        if tls == MailTls::None && !is_here {
            faults.push(format!(
                "mail.tls = \"none\": passwords go to {host:?} for everybody to read; \"starttls\" or \"tls\" is \
                 needed, or a server on this machine"
            ));
        }
        let mail = MailConfig { host, port, tls, from: mailbox?, login, trust_file };
        (faults.len() == before).then_some(mail)
    }
}

/// `smtp.example.org:587`, `192.0.2.1:25`, `[2001:db8::1]:25`.
fn parse_server(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse::<u16>().ok().filter(|port| *port > 0)?;
    let host = match host.strip_prefix('[') {
        Some(address) => {
            let address = address.strip_suffix(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            address
        }
        None => host,
    };
    let is_name = |letter: u8| letter.is_ascii_alphanumeric() || matches!(letter, b'.' | b'-' | b'_');
    let is_right = host.contains(':') || (!host.is_empty() && host.bytes().all(is_name));
    is_right.then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn parse(lines: &str) -> Result<MailConfig, String> {
        let text = format!("version = 1\n[mail]\nfrom = \"postern@example.org\"\n{lines}");
        let config = Config::parse(&text).map_err(|faults| faults.to_string())?;
        let again = Config::parse(&config.to_text()).unwrap();
        assert_eq!(again.mail, config.mail);
        Ok(config.mail.unwrap())
    }

    // covers: C14
    #[test]
    fn mails_are_encrypted_but_to_this_machine() {
        let server = |name: &str, tls: &str| parse(&format!("server = {name:?}\ntls = {tls:?}"));
        assert_eq!(parse("server = \"smtp.example.org:587\"").unwrap().tls, MailTls::Starttls);
        for here in ["127.0.0.1:25", "[::1]:25", "localhost:2525", "[::ffff:127.0.0.1]:25"] {
            assert_eq!(server(here, "none").unwrap().tls, MailTls::None, "{here}");
        }
        for elsewhere in ["smtp.example.org:25", "192.0.2.1:25", "[2001:db8::1]:25", "localhost.example:25"] {
            assert!(server(elsewhere, "none").unwrap_err().contains("for everybody to read"), "{elsewhere}");
            assert!(server(elsewhere, "tls").is_ok(), "{elsewhere}");
        }
    }

    #[test]
    fn faults_name_the_key_the_value_and_what_would_be_right() {
        for server in ["smtp.example.org", "smtp.example.org:0", ":25", "a b:25", "[x]:25", "smtp:smtp"] {
            let faults = parse(&format!("server = {server:?}")).unwrap_err();
            assert!(faults.contains(&format!("mail.server = {server:?}: a name or an address")), "{faults}");
        }
        let right = "server = \"smtp.example.org:587\"\n";
        let faults = parse(&format!("{right}username = \"postern\"")).unwrap_err();
        assert!(faults.contains("one of them alone"), "{faults}");
        let faults = parse(&format!("{right}trust_file = \"roots.pem\"")).unwrap_err();
        assert!(faults.contains("mail.trust_file = \"roots.pem\": an absolute path"), "{faults}");
        let faults =
            Config::parse("version = 1\n[mail]\nserver = \"a:25\"\nfrom = \"x\\r\\nBcc: y@z\"").unwrap_err();
        assert!(faults.to_string().contains("mail.from"), "{faults}");
    }
}
