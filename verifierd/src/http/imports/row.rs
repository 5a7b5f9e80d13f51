//! One token that comes from outside, checked: what a row of an import or a new token may say.
//!
//! Faults name what is wrong and what would be right. None of them repeats a secret.

use data_encoding::HEXLOWER_PERMISSIVE;
use otp_core::matching::RESYNCHRONIZE_MAX;
use otp_core::{Algorithm, Digits, SharedSecret, TimeInterval};
use wire::admin::{ImportRow, TokenType};
use zeroize::{Zeroize, Zeroizing};

use crate::accounts::{Factor, NewHardware, TokenParameters};

/// Longest serial number in bytes. Makers print 7 to 13 characters; 64 are what PSKC files were seen to hold.
pub const SERIAL_BYTES_MAX: usize = 64;

/// The largest counter: what the store can hold of a number that only rises.
pub const COUNTER_MAX: u64 = i64::MAX as u64;

/// What serial numbers look like where nobody says otherwise: 13 digits.
const USUAL_FORMAT: &str = "#############";

/// What every serial number of an import looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SerialFormat {
    /// Whatever is a serial number at all.
    Any,
    /// `#` a digit, `@` an upper-case letter, everything else itself.
    Mask(String),
}

impl SerialFormat {
    /// Takes a format as an administrator writes it; 13 digits where he does not.
    ///
    /// # Errors
    /// When no serial number could look like it.
    pub fn new(text: Option<&str>) -> Result<Self, String> {
        match text {
            Some("any") => Ok(Self::Any),
            text => {
                let mask = text.unwrap_or(USUAL_FORMAT);
                check_serial(mask).map_err(|_| {
                    format!(
                        "the serial format is \"any\" or 1 to {SERIAL_BYTES_MAX} characters: # for a digit, @ for an \
                         upper-case letter, everything else for itself, no spaces"
                    )
                })?;
                Ok(Self::Mask(mask.into()))
            }
        }
    }

    fn check(&self, serial: &str) -> Result<(), String> {
        check_serial(serial)?;
        let Self::Mask(mask) = self else { return Ok(()) };
        let fits = |(wanted, found): (u8, u8)| match wanted {
            b'#' => found.is_ascii_digit(),
            b'@' => found.is_ascii_uppercase(),
            itself => found == itself,
        };
        if mask.len() == serial.len() && mask.bytes().zip(serial.bytes()).all(fits) {
            return Ok(());
        }
        match mask.as_str() {
            USUAL_FORMAT => Err("the serial number is not 13 digits; give another format, or \"any\"".into()),
            mask => Err(format!(
                "the serial number does not look like {mask:?} (# a digit, @ an upper-case letter)"
            )),
        }
    }
}

/// Checks what every serial number is.
///
/// # Errors
/// When it is empty, too long, or holds something else than printable ASCII without spaces.
pub fn check_serial(serial: &str) -> Result<(), String> {
    let printable = serial.bytes().all(|byte| byte.is_ascii_graphic());
    if (1..=SERIAL_BYTES_MAX).contains(&serial.len()) && printable {
        return Ok(());
    }
    Err(format!("a serial number is 1 to {SERIAL_BYTES_MAX} printable ASCII characters without spaces"))
}

/// What is said of a token's codes; absent where the usual holds.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    /// Event- or time-based.
    pub token_type: TokenType,
    /// The hash function.
    pub algorithm: Option<&'a str>,
    /// Length of a code.
    pub digits: Option<u8>,
    /// Seconds per time step.
    pub time_interval: Option<u32>,
    /// The counter expected next.
    pub counter: Option<u64>,
}

/// Checks what a token computes with, and gives the counter to begin with.
///
/// # Errors
/// The first fault.
pub fn parameters(said: Said<'_>) -> Result<(TokenParameters, u64), String> {
    let algorithm = said.algorithm.map_or(Ok(Algorithm::Sha1), Algorithm::from_name);
    let algorithm = algorithm.map_err(|error| error.to_string())?;
    let digits = said.digits.map_or(Ok(Digits::SIX), Digits::new).map_err(|error| error.to_string())?;
    let factor = match said.token_type {
        TokenType::Totp if said.counter.is_some() => {
            return Err("a counter goes with an event-based token (hotp), not with a time-based one".into());
        }
        TokenType::Hotp if said.time_interval.is_some() => {
            return Err(
                "a time interval goes with a time-based token (totp), not with an event-based one".into()
            );
        }
        TokenType::Hotp => Factor::Counter,
        TokenType::Totp => {
            let interval = said.time_interval.map_or(Ok(TimeInterval::THIRTY), TimeInterval::new);
            Factor::Time(interval.map_err(|error| error.to_string())?)
        }
    };
    let counter = said.counter.unwrap_or(0);
    if counter > COUNTER_MAX {
        return Err(format!("a counter is at most {COUNTER_MAX}, not {counter}"));
    }
    Ok((TokenParameters { algorithm, digits, factor }, counter))
}

/// Reads a secret in hexadecimal.
///
/// # Errors
/// When it is something else, or has a wrong length.
pub fn secret(hexadecimal: &str) -> Result<SharedSecret, String> {
    let bytes = HEXLOWER_PERMISSIVE.decode(hexadecimal.as_bytes()).map(Zeroizing::new);
    let bytes =
        bytes.map_err(|_| "the secret is not hexadecimal: an even number of the digits 0 to 9 and a to f")?;
    SharedSecret::from_bytes(&bytes).map_err(|error| error.to_string())
}

/// Wipes the secrets of rows that nobody looks at.
pub fn wipe(rows: Vec<ImportRow>) {
    for mut row in rows {
        row.secret.zeroize();
    }
}

/// Checks a row. Its secret is wiped, whatever becomes of it.
///
/// # Errors
/// The first fault.
pub fn check_row(row: ImportRow, format: &SerialFormat) -> Result<NewHardware, String> {
    let ImportRow {
        serial, token_type, secret, algorithm, digits, time_interval, counter, time_drift, ..
    } = row;
    let hexadecimal = Zeroizing::new(secret);
    format.check(&serial)?;
    let said = Said { token_type, algorithm: Some(&algorithm), digits: Some(digits), time_interval, counter };
    let (parameters, counter) = parameters(said)?;
    if time_drift.is_some() && parameters.factor == Factor::Counter {
        return Err("a drift goes with a time-based token (totp), not with an event-based one".into());
    }
    let time_drift = time_drift.unwrap_or(0);
    if time_drift.unsigned_abs() > RESYNCHRONIZE_MAX {
        return Err(format!("a drift is at most {RESYNCHRONIZE_MAX} time steps each way, not {time_drift}"));
    }
    Ok(NewHardware { serial, parameters, secret: self::secret(&hexadecimal)?, counter, time_drift })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A row that nothing is wrong with.
    pub fn row(serial: &str) -> ImportRow {
        ImportRow {
            row: 2,
            serial: serial.into(),
            token_type: TokenType::Hotp,
            secret: "3132333435363738393031323334353637383930".into(),
            algorithm: "SHA1".into(),
            digits: 6,
            time_interval: None,
            counter: Some(0),
            time_drift: None,
        }
    }

    fn totp() -> ImportRow {
        let row = row("2600123456789");
        ImportRow {
            token_type: TokenType::Totp,
            counter: None,
            time_interval: Some(30),
            time_drift: Some(-3),
            ..row
        }
    }

    fn checked(row: ImportRow) -> Result<NewHardware, String> {
        check_row(row, &SerialFormat::new(None).unwrap())
    }

    fn check(row: ImportRow, expected: &str) {
        let secret = row.secret.clone();
        let fault = checked(row).expect_err(expected);
        assert!(fault.contains(expected), "{fault:?} does not say {expected:?}");
        assert!(secret.is_empty() || !fault.contains(&secret), "{fault:?} tells the secret");
    }

    // covers: A1, A18
    #[test]
    fn a_right_row_is_a_token_with_what_it_says() {
        let token = checked(row("2600123456789")).unwrap();
        assert_eq!((token.serial.as_str(), token.counter, token.time_drift), ("2600123456789", 0, 0));
        assert_eq!(
            (token.parameters.factor, token.secret.expose()),
            (Factor::Counter, b"12345678901234567890".as_slice())
        );
        let token = checked(totp()).unwrap();
        assert_eq!((token.parameters.factor, token.time_drift), (Factor::Time(TimeInterval::THIRTY), -3));
        let last = ImportRow { counter: Some(COUNTER_MAX), ..row("2600123456789") };
        assert_eq!(checked(last).unwrap().counter, COUNTER_MAX);
        let upper = ImportRow { secret: "ABCDEF".repeat(6), ..row("2600123456789") };
        assert_eq!(checked(upper).unwrap().secret.expose().len(), 18);
    }

    // covers: A1, A18
    #[test]
    fn a_faulty_row_is_told_with_what_would_be_right() {
        let hotp = || row("2600123456789");
        let with_secret = |secret: String| ImportRow { secret, ..hotp() };
        check(row("260012345678"), "not 13 digits");
        check(row("26001234567890"), "not 13 digits");
        check(row("260012345678A"), "not 13 digits");
        check(row(""), "1 to 64 printable ASCII characters");
        check(row("2600 23456789"), "without spaces");
        check(row("260012345678\u{661}"), "printable ASCII");
        check(row("\u{1b}[2J"), "printable ASCII");
        check(row(&"1".repeat(65)), "1 to 64");
        check(with_secret(String::new()), "at least 16 bytes, not 0");
        check(with_secret("00".into()), "at least 16 bytes, not 1");
        check(with_secret("ab".repeat(15)), "at least 16 bytes, not 15");
        check(with_secret("ab".repeat(129)), "at most 128 bytes");
        check(with_secret("ab".repeat(20) + "a"), "not hexadecimal");
        check(with_secret("xyz0".repeat(10)), "not hexadecimal");
        check(with_secret(" ab".repeat(20)), "not hexadecimal");
        check(ImportRow { algorithm: "MD5".into(), ..hotp() }, "must be SHA1, SHA256 or SHA512");
        check(ImportRow { digits: 5, ..hotp() }, "6, 7 or 8 digits, not 5");
        check(ImportRow { digits: 9, ..hotp() }, "6, 7 or 8 digits, not 9");
        check(
            ImportRow { time_interval: Some(30), ..hotp() },
            "a time interval goes with a time-based token",
        );
        check(ImportRow { time_drift: Some(0), ..hotp() }, "a drift goes with a time-based token");
        check(ImportRow { counter: Some(COUNTER_MAX + 1), ..hotp() }, "at most 9223372036854775807");
        check(ImportRow { counter: Some(0), ..totp() }, "a counter goes with an event-based token");
        check(ImportRow { time_interval: Some(0), ..totp() }, "1 to 86400 seconds, not 0");
        check(ImportRow { time_interval: Some(86_401), ..totp() }, "1 to 86400 seconds");
        check(ImportRow { time_drift: Some(1_001), ..totp() }, "at most 1000 time steps each way, not 1001");
        check(ImportRow { time_drift: Some(i32::MIN), ..totp() }, "at most 1000 time steps");
    }

    // covers: A3
    #[test]
    fn a_serial_number_looks_like_its_format() {
        let fits =
            |format: Option<&str>, serial: &str| SerialFormat::new(format).unwrap().check(serial).is_ok();
        assert!(fits(None, "2600123456789"));
        assert!(fits(Some("any"), "PT-7.x/y") && !fits(Some("any"), "P T") && !fits(Some("any"), ""));
        assert!(fits(Some("@@-####"), "AB-0123") && fits(Some("FT#"), "FT7"));
        for serial in ["Ab-0123", "AB_0123", "AB-012A", "AB-01234", "AB-012", "##-####"] {
            assert!(!fits(Some("@@-####"), serial), "{serial}");
        }
        for format in ["", "# #", "\u{e9}", "a\tb", &"#".repeat(65)] {
            assert!(SerialFormat::new(Some(format)).is_err(), "{format:?}");
        }
    }
}
