//! The file that comes with a box of tokens: PSKC (RFC 6030) and CSV, as vendors write it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use data_encoding::BASE64;

use crate::fob::{Fob, Pace};
use crate::machine::{folder, run};
use crate::programs::PYTHON;

/// Writes PSKC files with python3-pskc.
const WRITE_PSKC: &str = include_str!("../write_pskc.py");

/// First line of a CSV file.
pub const CSV_HEAD: &str = "serial,secret,type,digits,period|counter,algorithm";

/// How the key of an encrypted PSKC file is agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// None: the secrets stand in the file.
    Plain,
    /// A key of 16 bytes that both sides know.
    PreShared,
    /// A passphrase, through PBKDF2.
    Passphrase,
}

/// The pre-shared key of the rig's files, in hexadecimal.
pub const PRE_SHARED_KEY: &str = "00112233445566778899aabbccddeeff";
/// The passphrase of the rig's files.
pub const PASSPHRASE: &str = "correct horse battery staple";

/// One line of CSV for a token, its secret in hexadecimal.
pub fn csv_line(fob: &Fob) -> String {
    csv_line_with_secret(fob, &fob.secret_hex())
}

/// The same with the secret in other words.
pub fn csv_line_with_secret(fob: &Fob, secret: &str) -> String {
    let (digits, number) = (fob.digits, fob.pace_number());
    format!("{},{secret},{},{digits},{number},{}", fob.serial, fob.type_name(), fob.algorithm.name())
}

/// A CSV file of tokens.
pub fn csv<'a>(fobs: impl IntoIterator<Item = &'a Fob>) -> String {
    fobs.into_iter().fold(format!("{CSV_HEAD}\n"), |mut text, fob| {
        let _ = writeln!(text, "{}", csv_line(fob));
        text
    })
}

/// A plain PSKC file of tokens, with the rows of RFC 6030 that vendors use.
pub fn pskc(fobs: &[Fob]) -> String {
    let packages: String = fobs.iter().map(key_package).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<KeyContainer Version=\"1.0\" Id=\"rig\" \
         xmlns=\"urn:ietf:params:xml:ns:keyprov:pskc\">\n{packages}</KeyContainer>\n"
    )
}

fn key_package(fob: &Fob) -> String {
    let Fob { serial, digits, .. } = fob;
    let (algorithm, pace) = match fob.pace {
        Pace::Presses { counter } => {
            ("hotp", format!("<Counter><PlainValue>{counter}</PlainValue></Counter>"))
        }
        Pace::Clock { interval, .. } => (
            "totp",
            format!(
                "<Time><PlainValue>0</PlainValue></Time>\
                 <TimeInterval><PlainValue>{interval}</PlainValue></TimeInterval>"
            ),
        ),
    };
    let suite = format!("<Suite>HMAC-{}</Suite>", fob.algorithm.name());
    let secret = BASE64.encode(fob.secret());
    format!(
        "  <KeyPackage>\n    <DeviceInfo><Manufacturer>oath.RIG</Manufacturer><SerialNo>{serial}</SerialNo>\
         </DeviceInfo>\n    <Key Id=\"{serial}\" Algorithm=\"urn:ietf:params:xml:ns:keyprov:pskc:{algorithm}\">\n\
         \x20     <Issuer>Rig</Issuer>\n      <AlgorithmParameters>{suite}\
         <ResponseFormat Length=\"{digits}\" Encoding=\"DECIMAL\"/></AlgorithmParameters>\n\
         \x20     <Data><Secret><PlainValue>{secret}</PlainValue></Secret>{pace}</Data>\n    </Key>\n  \
         </KeyPackage>\n"
    )
}

/// A PSKC file written by python3-pskc, from the same tokens.
///
/// # Panics
/// When it does not write one.
pub fn pskc_by_python(fobs: &[Fob], lock: Lock) -> String {
    let rows: Vec<String> = fobs
        .iter()
        .map(|fob| {
            let suite = format!("HMAC-{}", fob.algorithm.name());
            let fields = [&fob.serial, fob.type_name(), &suite, &fob.secret_hex()];
            format!("{} {} {}", fields.join(" "), fob.digits, fob.pace_number())
        })
        .collect();
    let lock = match lock {
        Lock::Plain => ["plain", ""],
        Lock::PreShared => ["key", PRE_SHARED_KEY],
        Lock::Passphrase => ["passphrase", PASSPHRASE],
    };
    let output = Command::new(PYTHON).args(["-c", WRITE_PSKC]).args(lock).args(rows).output();
    let output = output.unwrap_or_else(|error| panic!("cannot run {PYTHON}: {error}"));
    assert!(output.status.success(), "python3-pskc: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("XML in UTF-8")
}

/// Runs `pskctool` on a PSKC file.
///
/// # Panics
/// When it finds a fault in it.
pub fn pskctool(arguments: &[&str], file: &Path) -> String {
    run("pskctool", &[arguments, &[&file.display().to_string()]].concat())
}

/// A PSKC file that `pskctool` wrote and signed, and whose signature it was.
pub struct Signed {
    /// The document.
    pub text: String,
    /// The signer's certificate.
    pub certificate: PathBuf,
}

/// Has `pskctool` read a PSKC file, and write and sign its own.
///
/// # Panics
/// When it does not.
pub fn sign_with_pskctool(file: &Path) -> Signed {
    let (key, certificate) = (folder().join("signer.key"), folder().join("signer.crt"));
    let paths = [&key, &certificate].map(|path| path.display().to_string());
    let [key, certificate] = [paths[0].as_str(), paths[1].as_str()];
    run(
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=rig",
            "-keyout",
            key,
            "-out",
            certificate,
        ],
    );
    let text = pskctool(&["--sign", "--sign-key", key, "--sign-crt", certificate], file);
    Signed { text, certificate: certificate.into() }
}

/// Puts a text into a file of the rig's folder, readable by root alone, and says where it is.
///
/// # Panics
/// When it cannot be written.
pub fn file(name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let path = folder().join(name);
    fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its mode");
    path
}
