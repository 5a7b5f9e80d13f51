//! Hands one mail in at the server (RFC 5321), by a library that knows how.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use lettre::address::AddressError;
use lettre::message::{Message, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Code;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use owned_files::{Access, OpenError, read_ours};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use zeroize::Zeroizing;

use super::Letter;
use super::record::MailRecord;
use crate::clock::UnixTime;
use crate::config::{MailConfig, MailTls};

/// How long one step of the conversation may take. RFC 5321, section 4.5.3.2 would wait for minutes; a server that takes as
/// long is tried again.
const STEP_MAX: Duration = Duration::from_secs(20);

/// How long the whole of it may take.
pub const CONVERSATION_MAX: Duration = Duration::from_secs(60);

/// Longest part of what a server says that is kept.
const WHY_CHARACTERS_MAX: usize = 200;

/// Why a mail was not handed in.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// A file that the configuration names cannot be used.
    #[error("cannot use [mail] {setting}")]
    File {
        /// Which setting names it.
        setting: &'static str,
        /// Why.
        source: OpenError,
    },
    /// It holds no certificates.
    #[error("{path} holds no certificates in PEM form")]
    Trust {
        /// The file.
        path: PathBuf,
    },
    /// The mail cannot be put together.
    #[error("the mail cannot be put together")]
    Message(#[from] lettre::error::Error),
    /// An address is none.
    #[error("not an address")]
    Address(#[from] AddressError),
    /// The server refused, or is not there.
    #[error("{}", said(.0))]
    Server(#[from] lettre::transport::smtp::Error),
    /// It takes too long.
    #[error("the mail server takes too long")]
    TooLong,
}

impl SendError {
    /// Whether the same mail will be refused whenever it comes.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Server(error) => error.is_permanent() && !error.status().is_some_and(concerns_us),
            Self::Message(_) | Self::Address(_) => true,
            // Somebody may mend these.
            Self::File { .. } | Self::Trust { .. } | Self::TooLong => false,
        }
    }

    /// In one line, for records and pages.
    pub fn line(&self) -> String {
        let mut line = self.to_string();
        if let Self::File { source, .. } = self {
            line = format!("{line}: {source}");
        }
        let plain = |letter: char| if letter.is_control() { ' ' } else { letter };
        line.chars().map(plain).take(WHY_CHARACTERS_MAX).collect()
    }
}

/// Whether a refusal is of whoever hands in and not of the mail: 530, 534, 535 and 538 are about our name and password.
/// Source: RFC 4954, section 6.
fn concerns_us(code: Code) -> bool {
    matches!(u16::from(code), 530 | 534 | 535 | 538)
}

/// What went wrong, and what the server or the system said of it.
fn said(error: &lettre::transport::smtp::Error) -> String {
    let mut cause: &(dyn Error + 'static) = error;
    while let Some(next) = cause.source() {
        cause = next;
        if cause.is::<io::Error>() {
            break;
        }
    }
    // That is what a handshake that fails is.
    let is_handshake =
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::InvalidData);
    let what = if error.is_timeout() {
        "the mail server does not answer in time"
    } else if error.is_tls() || is_handshake {
        "the connection to the mail server cannot be encrypted"
    } else if error.is_permanent() {
        "the mail server refused"
    } else if error.is_transient() {
        "the mail server refused for now"
    } else if error.is_client() {
        "the mail server does not offer what is needed"
    } else {
        "the mail server cannot be reached"
    };
    match error.status() {
        Some(code) => format!("{what}: {code} {cause}"),
        None => format!("{what}: {cause}"),
    }
}

/// Hands a mail in. One that was handed in before and comes again has the same id, so whoever gets both sees one.
///
/// # Errors
/// See [`SendError`].
pub(super) async fn send(
    config: &MailConfig,
    record: &MailRecord,
    letter: &Letter,
    now: UnixTime,
) -> Result<(), SendError> {
    let message = message(config, record, letter, now)?;
    let transport = transport(config)?;
    match tokio::time::timeout(CONVERSATION_MAX, transport.send(message)).await {
        Ok(sent) => sent.map(drop).map_err(SendError::from),
        Err(_) => Err(SendError::TooLong),
    }
}

fn message(
    config: &MailConfig,
    record: &MailRecord,
    letter: &Letter,
    now: UnixTime,
) -> Result<Message, SendError> {
    let domain = config.from.email.domain();
    // Names of hosts and services stand in it. A line has one subject.
    let subject: String = letter.subject.chars().filter(|letter| !letter.is_control()).collect();
    let parts = MultiPart::alternative_plain_html(letter.text.to_string(), letter.html.to_string());
    let message = Message::builder()
        .from(config.from.clone())
        .to(record.to.parse::<Address>()?.into())
        .subject(subject)
        .message_id(Some(format!("<{:032x}@{domain}>", record.id().0)))
        .date(UNIX_EPOCH + Duration::from_secs(now))
        .raw_header(automatic())
        .multipart(parts)?;
    Ok(message)
}

/// No answer, no notice of absence. Source: RFC 3834, section 5.
fn automatic() -> lettre::message::header::HeaderValue {
    let name = lettre::message::header::HeaderName::new_from_ascii_str("Auto-Submitted");
    lettre::message::header::HeaderValue::new(name, "auto-generated".into())
}

fn transport(config: &MailConfig) -> Result<AsyncSmtpTransport<Tokio1Executor>, SendError> {
    let tls = match config.tls {
        MailTls::None => Tls::None,
        MailTls::Starttls => Tls::Required(parameters(config)?),
        MailTls::Tls => Tls::Wrapper(parameters(config)?),
    };
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&config.host)
        .port(config.port)
        .timeout(Some(STEP_MAX))
        .hello_name(ClientId::Domain(name))
        .tls(tls);
    Ok(match &config.login {
        None => builder.build(),
        Some((user, file)) => {
            let password = read("password_file", file, Access::OnlyOurs)?;
            let password = String::from_utf8_lossy(password.trim_ascii()).into_owned();
            builder.credentials(Credentials::new(user.clone(), password)).build()
        }
    })
}

/// Whoever the server says that it is must be who is meant, by an authority that is trusted.
fn parameters(config: &MailConfig) -> Result<TlsParameters, SendError> {
    let builder = TlsParameters::builder(config.host.clone());
    let builder = match &config.trust_file {
        None => builder,
        Some(path) => {
            let text = read("trust_file", path, Access::WrittenByUs)?;
            let roots: Vec<_> = CertificateDer::pem_slice_iter(&text).filter_map(Result::ok).collect();
            if roots.is_empty() {
                return Err(SendError::Trust { path: path.clone() });
            }
            let builder = builder.certificate_store(CertificateStore::None);
            let add = |builder: lettre::transport::smtp::client::TlsParametersBuilder,
                       root: CertificateDer| {
                let root = Certificate::from_der(root.to_vec());
                root.map(|root| builder.add_root_certificate(root))
            };
            roots.into_iter().try_fold(builder, add)?
        }
    };
    Ok(builder.build_rustls()?)
}

fn read(setting: &'static str, path: &Path, access: Access) -> Result<Zeroizing<Vec<u8>>, SendError> {
    read_ours(path, access).map(Zeroizing::new).map_err(|source| SendError::File { setting, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::mail::{MailId, NewLetter};
    use crate::people::EmailAddress;

    fn written(subject: &str, text: &str) -> String {
        let config = "version = 1\n[mail]\nserver = \"smtp.example.org:587\"\nfrom = \"Postern <postern@example.org>\"";
        let config = Config::parse(config).unwrap().mail.unwrap();
        let to = EmailAddress::parse("alice@example.org").unwrap();
        let new = NewLetter { to, occasion: vec![], until: 0, is_urgent: false };
        let (text, html) = (Zeroizing::new(text.to_owned()), Zeroizing::new(format!("<p>{text}</p>")));
        let letter = Letter { subject: subject.into(), text, html };
        let message = message(&config, &MailRecord::new(MailId(7), new), &letter, 1_800_000_000).unwrap();
        assert_eq!(
            message.envelope().to().iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["alice@example.org"]
        );
        String::from_utf8(message.formatted()).unwrap()
    }

    // covers: C09
    #[test]
    fn nothing_that_a_letter_says_becomes_a_header_a_command_or_a_long_line() {
        let plain = written("hello", "hello");
        let heads = |mail: &str| {
            let head = mail.split("\r\n\r\n").next().unwrap().to_owned();
            let names = head.lines().filter(|line| !line.starts_with([' ', '\t']));
            names.map(|line| line.split(':').next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        for subject in [
            "a\r\nBcc: x@y.example",
            "a\nBcc: x@y.example\n\nbody",
            "\0a\u{85}b\u{2028}",
            &"\u{e9}".repeat(2_000),
        ] {
            let mail = written(subject, subject);
            assert_eq!(heads(&mail), heads(&plain), "{subject:?}");
        }
        let mail = written("a\r\nBcc: x@y.example", "hello");
        assert!(
            mail.contains("\r\nSubject: aBcc: x@y.example\r\n"),
            "what is encoded comes out again elsewhere: {mail}"
        );
        let mail = written("hello", &format!("\r\n.\r\nMAIL FROM:<x>\r\n\u{e9}{}", "x".repeat(5_000)));
        assert!(mail.split("\r\n").all(|line| line.len() <= 998), "RFC 5322, section 2.1.1");
        assert!(mail.is_ascii());
    }

    // covers: C14
    #[test]
    fn a_mail_that_comes_again_has_the_same_name() {
        let name = |mail: &str| mail.lines().find(|line| line.starts_with("Message-ID:")).unwrap().to_owned();
        let (one, other) = (written("hello", "hello"), written("other", "other"));
        assert_eq!(name(&one), name(&other));
        assert!(name(&one).ends_with("@example.org>"), "{one}");
        assert!(
            one.contains("Auto-Submitted: auto-generated") && one.contains("Date: Fri, 15 Jan 2027"),
            "{one}"
        );
    }
}
