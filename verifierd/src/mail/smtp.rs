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

/// Longest line of why a mail was not handed in.
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

/// What went wrong. What the system said of it is repeated; of what the server said, only its codes: many a server quotes
/// the mail that it refuses, and with it the password.
fn said(error: &lettre::transport::smtp::Error) -> String {
    let mut cause: &(dyn Error + 'static) = error;
    while let Some(next) = cause.source() {
        cause = next;
        if cause.is::<io::Error>() {
            break;
        }
    }
    let system = cause.downcast_ref::<io::Error>();
    // That is what a handshake that fails is.
    let is_handshake = system.and_then(io::Error::get_ref).is_some_and(|inner| inner.is::<rustls::Error>());
    let what = if error.is_timeout() {
        "the mail server does not answer in time"
    } else if error.is_tls() || is_handshake {
        "the connection to the mail server cannot be encrypted"
    } else if error.is_response() || system.is_some_and(|error| error.kind() == io::ErrorKind::InvalidData) {
        return "what the mail server answers is not SMTP".into();
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
        Some(code) => format!("{what}: {code}{}", enhanced(code, &cause.to_string())),
        None => format!("{what}: {cause}"),
    }
}

/// The enhanced status code that a reply begins with, after a space; nothing where it begins with none. Source: RFC 2034,
/// section 4, and RFC 3463, section 2: a class, a subject and a detail, the latter of one to three digits.
fn enhanced(code: Code, reply: &str) -> String {
    let word = reply.split(' ').next().unwrap_or_default();
    let mut parts = word.split('.');
    let is_class = parts.next().is_some_and(|class| class == code.severity.to_string());
    let is_number =
        |part: &str| matches!(part.len(), 1..=3) && part.bytes().all(|byte| byte.is_ascii_digit());
    let are_numbers = [parts.next(), parts.next()].into_iter().all(|part| part.is_some_and(is_number));
    if is_class && are_numbers && parts.next().is_none() { format!(" {word}") } else { String::new() }
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
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
    use tokio::net::TcpListener;

    fn mail_config(server: &str) -> MailConfig {
        let config =
            format!("version = 1\n[mail]\nserver = \"{server}\"\nfrom = \"Postern <postern@example.org>\"");
        Config::parse(&config).unwrap().mail.unwrap()
    }

    fn letter(subject: &str, text: &str) -> (MailRecord, Letter) {
        let to = EmailAddress::parse("alice@example.org").unwrap();
        let new = NewLetter { to, occasion: vec![], until: 0, is_urgent: false };
        let (text, html) = (Zeroizing::new(text.to_owned()), Zeroizing::new(format!("<p>{text}</p>")));
        (MailRecord::new(MailId(7), new), Letter { subject: subject.into(), text, html })
    }

    fn written(subject: &str, text: &str) -> String {
        let (record, letter) = letter(subject, text);
        let message = message(&mail_config("smtp.example.org:587"), &record, &letter, 1_800_000_000).unwrap();
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

    /// Takes one mail, and says something of it.
    async fn meet(server: TcpListener, says: &[u8]) {
        let (connection, _) = server.accept().await.unwrap();
        let mut connection = BufReader::new(connection);
        connection.write_all(b"220 here\r\n").await.unwrap();
        let (mut line, mut is_mail) = (String::new(), false);
        while connection.read_line(&mut line).await.unwrap() > 0 {
            let answer = match line.trim_end() {
                "." => says,
                _ if is_mail => b"",
                "DATA" => b"354 go on\r\n",
                _ => b"250 taken\r\n",
            };
            is_mail = (is_mail || line.starts_with("DATA")) && line != ".\r\n";
            line.clear();
            connection.write_all(answer).await.unwrap();
        }
    }

    // covers: C13
    #[tokio::test]
    async fn what_a_server_says_is_not_repeated() {
        for (says, told) in [
            (&b"554 5.7.1 spam: AAAAA-BBBBB\r\n"[..], "the mail server refused: 554 5.7.1"),
            (b"451-AAAAA-BBBBB\r\n451 later\r\n", "the mail server refused for now: 451"),
            (b"554 \xff AAAAA-BBBBB\r\n", "what the mail server answers is not SMTP"),
            (b"AAAAA-BBBBB\r\n", "what the mail server answers is not SMTP"),
            (b"650 AAAAA-BBBBB\r\n", "what the mail server answers is not SMTP"),
            (b"554-AAAAA-BBBBB\r\n451 AAAAA-BBBBB\r\n", "what the mail server answers is not SMTP"),
        ] {
            let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let at = server.local_addr().unwrap().to_string();
            let config = MailConfig { tls: MailTls::None, ..mail_config(&at) };
            let (record, letter) = letter("hello", "AAAAA-BBBBB");
            let sending = send(&config, &record, &letter, 1_800_000_000);
            let (sent, ()) = tokio::join!(sending, meet(server, says));
            assert_eq!(sent.unwrap_err().line(), told, "{says:?}");
        }
    }

    // covers: C13
    #[test]
    fn of_what_a_server_says_only_its_codes_are_kept() {
        use lettre::transport::smtp::response::Response;
        let kept = |reply: &str| {
            let reply: Response = format!("{reply}\r\n").parse().unwrap();
            let words = reply.message().collect::<Vec<_>>().join(" ");
            format!("{}{}", reply.code(), enhanced(reply.code(), &words))
        };
        for (reply, codes) in [
            ("554 5.7.1 not taken: AAAAA-BBBBB", "554 5.7.1"),
            ("554-5.7.1 not taken:\r\n554 5.7.1 AAAAA-BBBBB", "554 5.7.1"),
            ("451 4.3.0", "451 4.3.0"),
            ("550 5.123.456 x", "550 5.123.456"),
            ("550 12345-67890 is in it", "550"),
            ("550 1.2.3", "550"),
            ("550 4.7.1 of another class", "550"),
            ("550 5.1234.1", "550"),
            ("550 5.7", "550"),
            ("550 5.7.1.9", "550"),
            ("550 5.7.1AAAAA-BBBBB", "550"),
            ("550 5..1", "550"),
            ("550 5.7.\u{0663}", "550"),
            ("550 ", "550"),
        ] {
            assert_eq!(kept(reply), codes, "{reply:?}");
        }
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
