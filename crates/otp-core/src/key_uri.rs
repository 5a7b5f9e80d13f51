//! `otpauth://` key URIs: what the QR code of an enrolment holds, in and out.
//!
//! Draws no QR code. Takes the URI apart itself instead of using a general parser, whose copies of the secret
//! nobody would wipe.
//!
//! Sources: "Key Uri Format" of the Google Authenticator wiki, which every app follows; RFC 3986 §2.1 to §2.3
//! (percent encoding).

use std::str;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use zeroize::Zeroizing;

use crate::{
    Algorithm, AlgorithmError, Digits, DigitsError, SharedSecret, SharedSecretError, TimeInterval,
    TimeIntervalError,
};

/// All that an authenticator app needs to know of a token.
///
/// There is no `==`, because it holds a secret.
#[derive(Clone, Debug)]
pub struct KeyUri {
    /// Who issued the token. An empty name is the same as none.
    pub issuer: Option<String>,
    /// Whose token it is, such as `alice@host`; not empty. Apps show it next to the issuer.
    pub account: String,
    /// The secret.
    pub secret: SharedSecret,
    /// The hash under HMAC.
    pub algorithm: Algorithm,
    /// How many digits the values have.
    pub digits: Digits,
    /// HOTP or TOTP.
    pub kind: KeyUriKind,
}

/// What moves the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyUriKind {
    /// Time.
    Totp {
        /// X, called `period` in the URI.
        time_interval: TimeInterval,
    },
    /// A counter.
    Hotp {
        /// The counter of the next value.
        counter: u64,
    },
}

impl KeyUri {
    /// The longest URI that is read: what the largest QR code can hold (ISO/IEC 18004, version 40-L, in
    /// bytes).
    pub const BYTES_MAX: usize = 2_953;

    /// The URI.
    ///
    /// Parameters with the values that every app assumes (SHA-1, six digits, 30 seconds) are left out, so
    /// that the QR code stays small enough for a terminal. The issuer stands before the account and as a
    /// parameter, because old apps read one and new apps the other.
    pub fn to_uri(&self) -> Zeroizing<String> {
        let secret = self.secret.to_base32();
        let issuer = self.issuer.as_deref().filter(|issuer| !issuer.is_empty());
        // Enough from the start, so that no copy is left behind: each byte of a name takes three, the issuer
        // stands twice, and the fixed parts with the longest numbers have less than 128.
        let bytes_max = 128 + 6 * issuer.map_or(0, str::len) + 3 * self.account.len() + secret.len();
        let mut uri = Zeroizing::new(String::with_capacity(bytes_max));

        uri.push_str(match self.kind {
            KeyUriKind::Totp { .. } => "otpauth://totp/",
            KeyUriKind::Hotp { .. } => "otpauth://hotp/",
        });
        if let Some(issuer) = issuer {
            uri.extend(utf8_percent_encode(issuer, ENCODED));
            uri.push(':');
        }
        uri.extend(utf8_percent_encode(&self.account, ENCODED));
        uri.push_str("?secret=");
        uri.push_str(&secret);
        if let Some(issuer) = issuer {
            uri.push_str("&issuer=");
            uri.extend(utf8_percent_encode(issuer, ENCODED));
        }
        self.push_parameters(&mut uri);
        uri
    }

    fn push_parameters(&self, uri: &mut String) {
        if self.algorithm != Algorithm::default() {
            uri.push_str("&algorithm=");
            uri.push_str(self.algorithm.name());
        }
        if self.digits != Digits::default() {
            uri.push_str(&format!("&digits={}", self.digits.count()));
        }
        match self.kind {
            KeyUriKind::Totp { time_interval } if time_interval == TimeInterval::default() => {}
            KeyUriKind::Totp { time_interval } => {
                uri.push_str(&format!("&period={}", time_interval.seconds()))
            }
            KeyUriKind::Hotp { counter } => uri.push_str(&format!("&counter={counter}")),
        }
    }

    /// Reads a URI.
    ///
    /// Spaces around issuer and account are dropped, and parameters that are not part of the format
    /// (pictures, colours) are passed over. Where label and parameter name different issuers, the parameter
    /// counts.
    ///
    /// # Errors
    /// `KeyUriError` names the part that is wrong and what would be right. No error repeats the URI: it holds
    /// a secret.
    pub fn parse(uri: &str) -> Result<Self, KeyUriError> {
        if uri.len() > Self::BYTES_MAX {
            return Err(KeyUriError::TooLong);
        }
        let rest = strip_scheme(uri).ok_or(KeyUriError::Scheme)?;
        // A fragment is no part of the format; `#` inside a name or a parameter is percent-encoded.
        let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (kind, label) = path.split_once('/').ok_or(KeyUriError::Account)?;
        let parameters = Parameters::read(query)?;
        let (label_issuer, account) = read_label(label, parameters.issuer.as_deref())?;

        Ok(Self {
            issuer: parameters.issuer.clone().or(label_issuer),
            account,
            secret: SharedSecret::from_base32(parameters.secret.as_ref().ok_or(KeyUriError::NoSecret)?)?,
            algorithm: parameters.algorithm()?,
            digits: parameters.digits()?,
            kind: parameters.kind(kind)?,
        })
    }
}

/// Why a text is no key URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyUriError {
    /// Longer than [`KeyUri::BYTES_MAX`].
    #[error("the key URI is longer than 2953 bytes, the most that a QR code holds")]
    TooLong,
    /// Does not begin like a key URI.
    #[error("a key URI begins with otpauth://")]
    Scheme,
    /// The kind of token is unknown.
    #[error("the key URI must be for totp or hotp")]
    Kind,
    /// There is no account name.
    #[error("the key URI has no account name after totp/ or hotp/")]
    Account,
    /// A percent-encoded part is not UTF-8.
    #[error("the key URI is not UTF-8 after percent-decoding")]
    NotUtf8,
    /// There is no secret.
    #[error("the key URI has no secret parameter")]
    NoSecret,
    /// A parameter stands more than once.
    #[error("the key URI has the parameter {name} more than once")]
    Repeated {
        /// Which one.
        name: &'static str,
    },
    /// A parameter is no decimal number, or too large a number.
    #[error("the parameter {name} of the key URI must be a decimal number")]
    NotANumber {
        /// Which one.
        name: &'static str,
    },
    /// A HOTP token without its counter.
    #[error("the key URI for hotp has no counter parameter")]
    NoCounter,
    /// The secret is wrong.
    #[error("the key URI has a wrong secret")]
    Secret(#[from] SharedSecretError),
    /// The algorithm is wrong.
    #[error("the key URI has a wrong algorithm")]
    Algorithm(#[from] AlgorithmError),
    /// The number of digits is wrong.
    #[error("the key URI has a wrong number of digits")]
    Digits(#[from] DigitsError),
    /// The time interval is wrong.
    #[error("the key URI has a wrong period")]
    TimeInterval(#[from] TimeIntervalError),
}

/// Everything but the unreserved characters of RFC 3986 §2.3, and `@`, which stands for itself in a path and
/// in a query.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'@');

/// The parameters after the `?`, decoded.
#[derive(Default)]
struct Parameters {
    secret: Option<Zeroizing<String>>,
    issuer: Option<String>,
    algorithm: Option<String>,
    digits: Option<String>,
    period: Option<String>,
    counter: Option<String>,
}

impl Parameters {
    fn read(query: &str) -> Result<Self, KeyUriError> {
        let mut parameters = Self::default();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if name.eq_ignore_ascii_case("secret") {
                set(&mut parameters.secret, "secret", decode(value)?)?;
                continue;
            }
            let (name, field) = match name.to_ascii_lowercase().as_str() {
                "issuer" => ("issuer", &mut parameters.issuer),
                "algorithm" => ("algorithm", &mut parameters.algorithm),
                "digits" => ("digits", &mut parameters.digits),
                "period" => ("period", &mut parameters.period),
                "counter" => ("counter", &mut parameters.counter),
                _ => continue,
            };
            set(field, name, decode(value)?.trim_matches(' ').to_owned())?;
        }
        parameters.issuer = parameters.issuer.filter(|issuer| !issuer.is_empty());
        Ok(parameters)
    }

    fn algorithm(&self) -> Result<Algorithm, KeyUriError> {
        Ok(self.algorithm.as_deref().map(Algorithm::from_name).transpose()?.unwrap_or_default())
    }

    fn digits(&self) -> Result<Digits, KeyUriError> {
        let count = self.digits.as_deref().map(|text| number("digits", text)).transpose()?;
        Ok(count.map(Digits::new).transpose()?.unwrap_or_default())
    }

    fn kind(&self, kind: &str) -> Result<KeyUriKind, KeyUriError> {
        match kind.to_ascii_lowercase().as_str() {
            "totp" => {
                let seconds = self.period.as_deref().map(|text| number("period", text)).transpose()?;
                let time_interval = seconds.map(TimeInterval::new).transpose()?.unwrap_or_default();
                Ok(KeyUriKind::Totp { time_interval })
            }
            "hotp" => {
                let counter = self.counter.as_deref().ok_or(KeyUriError::NoCounter)?;
                Ok(KeyUriKind::Hotp { counter: number("counter", counter)? })
            }
            _ => Err(KeyUriError::Kind),
        }
    }
}

fn set<T>(field: &mut Option<T>, name: &'static str, value: T) -> Result<(), KeyUriError> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(KeyUriError::Repeated { name }),
    }
}

/// Digits only: `parse` alone would take a sign too.
fn number<N: str::FromStr>(name: &'static str, text: &str) -> Result<N, KeyUriError> {
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_decimal).ok_or(KeyUriError::NotANumber { name })
}

fn strip_scheme(uri: &str) -> Option<&str> {
    const SCHEME: &str = "otpauth://";
    let (scheme, rest) = uri.split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then_some(rest)
}

/// Splits a label into issuer and account.
///
/// The format allows the colon between them to be percent-encoded, while other writers encode a colon that
/// belongs to the account. A colon as such always separates; an encoded one does where the issuer parameter
/// repeats what stands before it.
fn read_label(label: &str, issuer: Option<&str>) -> Result<(Option<String>, String), KeyUriError> {
    let (prefix, account) = match label.split_once(':') {
        Some((prefix, account)) => (Some(decode(prefix)?), decode(account)?),
        None => {
            let label = decode(label)?;
            match issuer.and_then(|issuer| label.strip_prefix(issuer)?.strip_prefix(':')) {
                Some(account) => (None, Zeroizing::new(account.to_owned())),
                None => (None, label),
            }
        }
    };
    let trimmed = |text: &str| Some(text.trim_matches(' ').to_owned()).filter(|text| !text.is_empty());
    let account = trimmed(&account).ok_or(KeyUriError::Account)?;
    Ok((prefix.and_then(|prefix| trimmed(&prefix)), account))
}

/// Undoes percent-encoding. A `+` stands for itself: authenticator apps do not write spaces so.
fn decode(text: &str) -> Result<Zeroizing<String>, KeyUriError> {
    // Decoding never makes a text longer, so this does not grow and leaves no copy behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    bytes.extend(percent_decode_str(text));
    let decoded = str::from_utf8(&bytes).map_err(|_| KeyUriError::NotUtf8)?;
    Ok(Zeroizing::new(decoded.to_owned()))
}

#[cfg(test)]
mod tests;
