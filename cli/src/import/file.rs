//! A file of tokens becomes rows and faults. Formats are `pskc`'s; here is where the bytes come from, what opens
//! them, and whether a key may be used at this time.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::UNIX_EPOCH;

use data_encoding::HEXLOWER_PERMISSIVE;
use pskc::{Fault, KeyPackage, PskcError, TokenRow, Unlock};
use wire::admin::ImportFault;
use zeroize::Zeroizing;

use super::private_file;
use crate::args::{FileFormat, ImportOrder};
use crate::failure::Failure;
use crate::output::escape::escaped;
use crate::typed::Typed;
use crate::verbs::Session;

/// What a file holds.
#[derive(Debug)]
pub struct Batch {
    /// What can be imported, in the file's order.
    pub rows: Vec<TokenRow>,
    /// What cannot, and why.
    pub faults: Vec<ImportFault>,
    /// What a row's number counts: lines or packages.
    pub rows_named: &'static str,
}

/// Reads the file that is ordered.
///
/// # Errors
/// When it cannot be read as a whole; what concerns one row is one of [`Batch::faults`].
pub fn read(order: &ImportOrder, session: &Session) -> Result<Batch, Failure> {
    let key = Secrecy::of(order)?;
    let bytes = read_whole(&order.file)?;
    let format = order.format.unwrap_or_else(|| format_of(&bytes));
    let unfit = |problem: String| Failure::ImportFile { path: order.file.clone(), problem };
    let batch = match (format, &key) {
        (FileFormat::Csv, Secrecy::None) => {
            let list = pskc::csv::read(&bytes).map_err(|error| unfit(error.to_string()))?;
            Batch::of(list.rows, "line")
        }
        (FileFormat::Csv, _) => {
            return Err(unfit("a CSV file is never encrypted, and a key was given".into()));
        }
        (FileFormat::Pskc, key) => {
            let packages = match pskc::read(&bytes, &key.unlock()) {
                Err(PskcError::KeyNeeded { name }) => {
                    pskc::read(&bytes, &Secrecy::ask_key(&name, order, &session.typed)?.unlock())
                }
                Err(PskcError::PassphraseNeeded { name }) => {
                    pskc::read(&bytes, &Secrecy::ask_passphrase(&name, order, &session.typed)?.unlock())
                }
                outcome => outcome,
            };
            let packages = packages.map_err(|error| unfit(error.to_string()))?.packages;
            let now = session.now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
            let now = i64::try_from(now).unwrap_or(i64::MAX);
            Batch::of(packages.into_iter().map(|package| usable_at(package?, now)), "package")
        }
    };
    Ok(batch)
}

impl Batch {
    fn of(rows: impl IntoIterator<Item = Result<TokenRow, Fault>>, rows_named: &'static str) -> Self {
        let mut batch = Self { rows: Vec::new(), faults: Vec::new(), rows_named };
        for row in rows {
            match row {
                Ok(row) => batch.rows.push(row),
                Err(Fault { row, serial, reason }) => {
                    batch.faults.push(ImportFault { row, serial, reason: reason.to_string() });
                }
            }
        }
        batch
    }
}

/// The token of a package whose key may be used for one-time passwords now.
///
/// * `now`: seconds since the Unix epoch.
fn usable_at(package: KeyPackage, now: i64) -> Result<TokenRow, Fault> {
    match package.obstacle_at(now) {
        None => Ok(package.token),
        Some(reason) => Err(Fault { row: package.token.row, serial: package.token.serial, reason }),
    }
}

/// XML begins with `<`, after a byte order mark and blanks perhaps; a list of tokens never does.
fn format_of(bytes: &[u8]) -> FileFormat {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match bytes.trim_ascii_start().first() {
        Some(b'<') => FileFormat::Pskc,
        _ => FileFormat::Csv,
    }
}

/// What opens an encrypted file.
enum Secrecy {
    None,
    Key(Zeroizing<[u8; 16]>),
    Passphrase(Zeroizing<String>),
}

impl Secrecy {
    /// What the order names.
    fn of(order: &ImportOrder) -> Result<Self, Failure> {
        if let Some(path) = &order.key_file {
            let unfit =
                |problem: &str| Failure::UnfitFile { path: path.clone(), problem: problem.to_owned() };
            return parse_key(&private_file::first_line(path)?).map(Self::Key).map_err(unfit);
        }
        let path = order.passphrase_file.as_deref();
        path.map_or(Ok(Self::None), |path| private_file::first_line(path).map(Self::Passphrase))
    }

    fn ask_key(name: &str, order: &ImportOrder, typed: &Typed) -> Result<Self, Failure> {
        may_ask_for(order, "the file is encrypted: name its key with --key-file")?;
        let question = format!("Pre-shared key {}, 32 hexadecimal digits: ", escaped(name));
        let line = typed.line("the pre-shared key of the file", &question)?;
        parse_key(&line)
            .map(Self::Key)
            .map_err(|_| Failure::Usage { problem: "a key has 32 hexadecimal digits" })
    }

    fn ask_passphrase(name: &str, order: &ImportOrder, typed: &Typed) -> Result<Self, Failure> {
        may_ask_for(order, "the file is encrypted: name its passphrase with --passphrase-file")?;
        let question = format!("Passphrase {}: ", escaped(name));
        typed.line("the passphrase of the file", &question).map(Self::Passphrase)
    }

    fn unlock(&self) -> Unlock<'_> {
        match self {
            Self::None => Unlock::None,
            Self::Key(key) => Unlock::PreSharedKey(key),
            Self::Passphrase(passphrase) => Unlock::Passphrase(passphrase),
        }
    }
}

/// Where stdin is the file itself, or the wrong thing was named, nothing can be asked for.
fn may_ask_for(order: &ImportOrder, problem: &'static str) -> Result<(), Failure> {
    if order.key_file.is_some() || order.passphrase_file.is_some() {
        return Err(Failure::ImportFile {
            path: order.file.clone(),
            problem: "it is encrypted with the other of key and passphrase".to_owned(),
        });
    }
    if is_stdin(&order.file) { Err(Failure::Usage { problem }) } else { Ok(()) }
}

fn parse_key(line: &str) -> Result<Zeroizing<[u8; 16]>, &'static str> {
    const WRONG: &str = "is not a key of 32 hexadecimal digits";
    let digits = line.trim().as_bytes();
    let mut key = Zeroizing::new([0; 16]);
    if digits.len() != 2 * key.len() {
        return Err(WRONG);
    }
    HEXLOWER_PERMISSIVE.decode_mut(digits, &mut *key).map_err(|_| WRONG)?;
    Ok(key)
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn read_whole(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let fault = |source| Failure::ReadFile { path: path.into(), source };
    let bytes = if is_stdin(path) {
        read_wiped(&mut io::stdin().lock(), 0)
    } else {
        let mut file = File::open(path).map_err(fault)?;
        let length = file.metadata().map_err(fault)?.len();
        read_wiped(&mut file, usize::try_from(length).unwrap_or(usize::MAX))
    };
    bytes.map_err(fault)
}

/// Reads to the end, or to one byte more than a file may have, which `pskc` then refuses. Where memory has to
/// grow, what it leaves behind is wiped.
///
/// * `length`: how many bytes there seem to be.
fn read_wiped(input: &mut impl Read, length: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    const STEP_BYTES: usize = 1024 * 1024;
    let bytes_max = pskc::FILE_BYTES_MAX + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(length.saturating_add(1).min(bytes_max)));
    loop {
        if bytes.len() == bytes.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(2 * bytes.capacity() + STEP_BYTES));
            larger.extend_from_slice(&bytes);
            bytes = larger;
        }
        let (start, end) = (bytes.len(), bytes.capacity().min(bytes.len() + STEP_BYTES).min(bytes_max));
        bytes.resize(end, 0);
        let outcome = input.read(&mut bytes[start..]);
        bytes.truncate(start + *outcome.as_ref().unwrap_or(&0));
        match outcome {
            Ok(0) => return Ok(bytes),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_the_format() {
        let check = |text: &str, format| assert_eq!(format_of(text.as_bytes()), format, "{text:?}");
        check("<?xml version=\"1.0\"?>", FileFormat::Pskc);
        check("\u{feff}\r\n <pskc:KeyContainer>", FileFormat::Pskc);
        check("serial,secret,type\n", FileFormat::Csv);
        check("2600123456789,3132,hotp", FileFormat::Csv);
        check("", FileFormat::Csv);
    }

    #[test]
    fn a_key_has_32_hexadecimal_digits() {
        assert_eq!(parse_key("00112233445566778899AABBccddeeff ").expect("a key")[15], 0xff);
        for line in ["", "0011", "00112233445566778899aabbccddeefg", "00112233445566778899aabbccddeeff00"] {
            assert!(parse_key(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_file_is_read_whole_whatever_its_length_was_said_to_be() {
        let text = vec![b'x'; 3 * 1024 * 1024 + 7];
        for length in [0, 5, text.len(), text.len() + 9] {
            assert_eq!(*read_wiped(&mut &text[..], length).expect("read"), text);
        }
    }
}
