//! One `KeyPackage`: its device, its key, and the values of that key (RFC 6030 §4).

use data_encoding::BASE64;
use zeroize::Zeroizing;

use crate::policy::{self, KeyUsage, Validity};
use crate::problem::Problem;
use crate::token::{
    Algorithm, DIGITS_DEFAULT, SECRET_BYTES_MAX, TIME_INTERVAL_DEFAULT, TokenRow, TokenType, checked_counter,
    checked_digits, checked_secret, checked_serial, checked_time_interval, shown, shown_word,
};
use crate::unlock::{Lock, OpenError, base64};
use crate::xml::Element;

/// One token with what a PSKC document tells beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyPackage {
    /// What is imported. Its `row` is the number of the package.
    pub token: TokenRow,
    /// `Id` of the key. It and the serial stand for each other where the document tells one of them only.
    pub key_id: String,
    /// Who made the device.
    pub manufacturer: Option<String>,
    /// The device's model.
    pub model: Option<String>,
    /// Who issued the key.
    pub issuer: Option<String>,
    /// When the device may be used.
    pub device_validity: Validity,
    /// When the key may be used.
    pub key_validity: Validity,
    /// What the key may be used for; anything where it is empty.
    pub key_usages: Vec<KeyUsage>,
}

/// The names of HOTP: RFC 6030 §10.1, the drafts before it, which devices still ship with, and the bare word
/// that python3-pskc writes.
pub(crate) const HOTP: [&str; 4] = [
    "urn:ietf:params:xml:ns:keyprov:pskc:hotp",
    "urn:ietf:params:xml:ns:keyprov:pskc#hotp",
    "http://www.ietf.org/keyprov/pskc#hotp",
    "hotp",
];

/// The names of TOTP, likewise; its profile never became an RFC.
pub(crate) const TOTP: [&str; 4] = [
    "urn:ietf:params:xml:ns:keyprov:pskc:totp",
    "urn:ietf:params:xml:ns:keyprov:pskc#totp",
    "http://www.ietf.org/keyprov/pskc#totp",
    "totp",
];

impl KeyPackage {
    /// What forbids to use the key for one-time passwords at the moment `now`, in seconds since the Unix epoch:
    /// its time, its device's time, or what it is for.
    pub fn obstacle_at(&self, now: i64) -> Option<Problem> {
        let usages = || self.key_usages.iter().map(|usage| usage.name()).collect::<Vec<_>>().join(", ");
        let is_for_otp = self.key_usages.is_empty() || self.key_usages.contains(&KeyUsage::Otp);
        let usage = (!is_for_otp).then(|| Problem::KeyUsage { usages: usages() });
        usage.or_else(|| self.key_validity.obstacle_at(now)).or_else(|| self.device_validity.obstacle_at(now))
    }
}

/// The serial of a package, for its faults: where it is one.
pub(crate) fn serial_of(package: &Element) -> Option<String> {
    let serial = package
        .descendant(&["DeviceInfo", "SerialNo"])
        .ok()?
        .map(Element::text)
        .filter(|text| !text.is_empty());
    let id = || package.child("Key").ok()?.and_then(|key| key.attribute("Id"));
    serial.or_else(id).and_then(|serial| checked_serial(serial).ok())
}

/// Takes a package apart.
///
/// * `row`: its number.
/// * `is_secrecy_wanted`: whether a key was given, so that a plain secret is not what was expected.
pub(crate) fn read(
    row: u64,
    package: &Element,
    lock: &Lock,
    is_secrecy_wanted: bool,
) -> Result<KeyPackage, OpenError> {
    let key = package.child("Key")?.ok_or(Problem::KeyMissing)?;
    let device = package.child("DeviceInfo")?;
    let of_device = |name| device.map_or(Ok(None), |device| text_of(device, name));
    let key_id = key.attribute("Id").map(printable).filter(|id| !id.is_empty());
    let serial = of_device("SerialNo")?.or_else(|| key_id.clone()).ok_or(Problem::SerialMissing)?;
    let serial = checked_serial(&serial)?;
    let (key_validity, key_usages) = match key.child("Policy")? {
        Some(policy) => policy::read(policy)?,
        None => (Validity::default(), Vec::new()),
    };
    Ok(KeyPackage {
        token: read_token(row, serial.clone(), key, lock, is_secrecy_wanted)?,
        key_id: key_id.unwrap_or(serial),
        manufacturer: of_device("Manufacturer")?,
        model: of_device("Model")?,
        issuer: text_of(key, "Issuer")?,
        device_validity: device.map(Validity::of).transpose()?.unwrap_or_default(),
        key_validity,
        key_usages,
    })
}

fn read_token(
    row: u64,
    serial: String,
    key: &Element,
    lock: &Lock,
    is_secrecy_wanted: bool,
) -> Result<TokenRow, OpenError> {
    let token_type = type_by_uri(key.attribute("Algorithm"))?;
    let (algorithm, digits) = read_parameters(key)?;
    let data = key.child("Data")?.ok_or(Problem::SecretMissing)?;
    let values = Values { data, lock };
    let secret = values.secret(is_secrecy_wanted)?;
    let mut token = TokenRow {
        row,
        serial,
        token_type,
        secret: checked_secret(secret)?,
        algorithm,
        digits,
        time_interval: None,
        counter: None,
        time_drift: None,
    };
    match token_type {
        TokenType::Hotp => {
            let found = values.number("Counter", 8)?.unwrap_or(0);
            let counter = u64::try_from(found).map_err(|_| Problem::Counter { found: found.to_string() })?;
            token.counter = Some(checked_counter(counter)?);
        }
        TokenType::Totp => {
            let found = values.number("TimeInterval", 4)?.unwrap_or(TIME_INTERVAL_DEFAULT.into());
            let interval =
                u64::try_from(found).map_err(|_| Problem::TimeInterval { found: found.to_string() })?;
            token.time_interval = Some(checked_time_interval(interval)?);
            if let Some(time) = values.number("Time", 4)?.filter(|time| *time != 0) {
                return Err(Problem::InitialTime { found: time.to_string() }.into());
            }
            let drift = values.number("TimeDrift", 4)?;
            let drift = drift.map(|drift| i32::try_from(drift).map_err(|_| drift)).transpose();
            token.time_drift = drift.map_err(|drift| Problem::TimeDrift { found: drift.to_string() })?;
        }
    }
    Ok(token)
}

/// The hash and the number of digits.
fn read_parameters(key: &Element) -> Result<(Algorithm, u8), Problem> {
    let Some(parameters) = key.child("AlgorithmParameters")? else {
        return Ok((Algorithm::Sha1, DIGITS_DEFAULT));
    };
    if parameters.child("ChallengeFormat")?.is_some() {
        return Err(Problem::Challenge);
    }
    let suite = parameters.child("Suite")?.map(Element::text).filter(|suite| !suite.is_empty());
    let algorithm = suite.map_or(Ok(Algorithm::Sha1), Algorithm::by_name)?;
    let Some(format) = parameters.child("ResponseFormat")? else {
        return Ok((algorithm, DIGITS_DEFAULT));
    };
    match format.attribute("Encoding") {
        // The schema demands an encoding; python3-pskc writes none.
        None | Some("DECIMAL") => {}
        Some(other) => return Err(Problem::ResponseEncoding { encoding: shown_word(other) }),
    }
    if !matches!(format.attribute("CheckDigits"), None | Some("false" | "0")) {
        return Err(Problem::ResponseCheckDigits);
    }
    Ok((algorithm, checked_digits(format.attribute("Length").unwrap_or("missing"))?))
}

fn type_by_uri(uri: Option<&str>) -> Result<TokenType, Problem> {
    match uri {
        None | Some("") => Err(Problem::AlgorithmMissing),
        Some(uri) if is_one_of(&HOTP, uri) => Ok(TokenType::Hotp),
        Some(uri) if is_one_of(&TOTP, uri) => Ok(TokenType::Totp),
        Some(uri) => Err(Problem::Algorithm { uri: shown(uri) }),
    }
}

fn is_one_of(names: &[&str], uri: &str) -> bool {
    names.iter().any(|name| name.eq_ignore_ascii_case(uri))
}

/// The text of a child, where it says something.
fn text_of(element: &Element, name: &str) -> Result<Option<String>, Problem> {
    let Some(child) = element.child(name)? else { return Ok(None) };
    // A serial is checked by itself, since two of them must not become one.
    let text = if name == "SerialNo" { child.text().to_owned() } else { printable(child.text()) };
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// A text without its control characters, which are no reason to refuse a token, but must not be shown.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect::<String>().trim().to_owned()
}

/// The values of a key, plain or encrypted.
struct Values<'a> {
    data: &'a Element,
    lock: &'a Lock,
}

enum Value<'a> {
    Plain(&'a str),
    Opened(Zeroizing<Vec<u8>>),
}

impl Values<'_> {
    fn secret(&self, is_secrecy_wanted: bool) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        match self.value("Secret")?.ok_or(Problem::SecretMissing)? {
            Value::Plain(_) if is_secrecy_wanted => Err(Problem::NotEncrypted.into()),
            // An absurd length is refused before it is decoded; a third of it may be line ends.
            Value::Plain(text) if text.len() > BASE64.encode_len(SECRET_BYTES_MAX) * 3 / 2 => {
                Err(Problem::SecretLong.into())
            }
            Value::Plain(text) => Ok(base64(text).ok_or(Problem::SecretEncoding { encoding: "base64" })?),
            Value::Opened(bytes) => Ok(bytes),
        }
    }

    /// A number, if it is there.
    ///
    /// * `width`: how many bytes it has where it is encrypted (4 as an `intDataType`, 8 as a `longDataType`).
    fn number(&self, name: &str, width: usize) -> Result<Option<i128>, OpenError> {
        let problem = "it is not a number";
        let wrong = || Problem::Value { element: name.to_owned(), problem };
        let parse = |text: &str| text.parse::<i64>().map(i128::from);
        match self.value(name)? {
            None => Ok(None),
            Some(Value::Plain(text)) => Ok(Some(parse(text).map_err(|_| wrong())?)),
            Some(Value::Opened(bytes)) => Ok(Some(number_of_bytes(&bytes, width).ok_or_else(wrong)?)),
        }
    }

    fn value(&self, name: &str) -> Result<Option<Value<'_>>, OpenError> {
        let Some(element) = self.data.child(name)? else { return Ok(None) };
        match (element.child("PlainValue")?, element.child("EncryptedValue")?) {
            (Some(plain), None) => Ok(Some(Value::Plain(plain.text()))),
            (None, Some(encrypted)) => Ok(Some(Value::Opened(self.lock.open(element, encrypted)?))),
            _ => Err(Problem::ValueShape { element: name.to_owned() }.into()),
        }
    }
}

/// A number out of decrypted bytes: big-endian in its full width; in any other length decimal digits, as some
/// producers write, or big-endian without leading zeros, as others do.
fn number_of_bytes(bytes: &[u8], width: usize) -> Option<i128> {
    if bytes.is_empty() || bytes.len() > 20 {
        return None;
    }
    if bytes.len() != width && bytes.iter().all(u8::is_ascii_digit) {
        return std::str::from_utf8(bytes).ok()?.parse().ok();
    }
    if bytes.len() > 8 {
        return None;
    }
    let number = bytes.iter().fold(0_i128, |number, byte| number << 8 | i128::from(*byte));
    // In full width its first bit is its sign.
    let is_negative = bytes.len() == width && bytes[0] >= 0x80;
    Some(if is_negative { number - (1_i128 << (8 * width)) } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encrypted_number_is_big_endian_or_in_digits() {
        let check =
            |bytes: &[u8], width, number| assert_eq!(number_of_bytes(bytes, width), number, "{bytes:?}");
        check(&[0, 0, 0, 0, 0, 0, 3, 232], 8, Some(1000));
        check(&[255, 255, 255, 254], 4, Some(-2));
        check(&[3, 232], 8, Some(1000));
        check(b"1000", 8, Some(1000));
        // In its full width it is never taken for digits.
        check(b"1000", 4, Some(0x3130_3030));
        check(b"9223372036854775807", 8, Some(i64::MAX.into()));
        check(b"", 8, None);
        check(&[1; 9], 8, None);
        check(&[b'9'; 21], 8, None);
    }
}
