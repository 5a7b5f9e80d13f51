//! What a user sees who enrols: a QR code for his authenticator app, and the secret as text.
//!
//! The code is drawn with half blocks, two modules to a character, without colour codes: ssh clients show
//! those as text. It starts with a line break, because OpenSSH before 10.3 puts `(user@host) ` in front of
//! the first line.

use otp_core::{KeyUri, KeyUriKind, SharedSecret};
use qrcode::{Color, EcLevel, QrCode};
use zeroize::Zeroizing;

use crate::accounts::{Factor, TokenParameters, UserName};

/// Assumed where the host does not know the width: what every terminal has.
const COLUMNS_DEFAULT: u16 = 80;

/// Light modules around the code: ISO/IEC 18004 asks for four.
const QUIET: usize = 4;

/// Modules on a side of the smallest code there is.
const SMALLEST: usize = 21;

/// What an authenticator app needs.
#[derive(Debug)]
pub struct Enrolment<'a> {
    /// Shown above the code in the app.
    pub issuer: &'a str,
    /// The account.
    pub user: &'a UserName,
    /// The machine's name.
    pub host: &'a str,
    /// The secret.
    pub secret: SharedSecret,
    /// What the token computes with.
    pub parameters: &'a TokenParameters,
    /// The counter expected next, where it counts presses.
    pub counter: u64,
}

/// What an app takes over, in its two forms.
#[derive(Debug)]
pub struct Key {
    /// The secret as it is typed: base 32, in groups of four.
    pub groups: Zeroizing<String>,
    /// The `otpauth` URI, as it is scanned.
    pub uri: Zeroizing<String>,
}

impl Enrolment<'_> {
    /// The key.
    pub fn key(self) -> Key {
        let groups = group(&self.secret.to_base32());
        let uri = KeyUri {
            issuer: Some(self.issuer.to_owned()),
            account: format!("{}@{}", self.user, self.host),
            secret: self.secret,
            algorithm: self.parameters.algorithm,
            digits: self.parameters.digits,
            kind: match self.parameters.factor {
                Factor::Counter => KeyUriKind::Hotp { counter: self.counter },
                Factor::Time(time_interval) => KeyUriKind::Totp { time_interval },
            },
        }
        .to_uri();
        Key { groups, uri }
    }

    /// The block of text, at most `columns` wide as far as the QR code goes.
    pub fn text(self, columns: Option<u16>) -> Zeroizing<String> {
        let Key { groups, uri } = self.key();
        let drawn = draw(&uri, columns.unwrap_or(COLUMNS_DEFAULT));
        let lead = match drawn {
            Some(_) => "Scan this with your authenticator app, or type in the secret key:",
            None => "Add this to your authenticator app (the window is too narrow for a QR code):",
        };
        let drawn = drawn.unwrap_or_default();
        Zeroizing::new(format!(
            "\n{lead}\n\n{}\nSecret key: {}\n{}\n",
            drawn.as_str(),
            groups.as_str(),
            uri.as_str()
        ))
    }
}

/// Groups of four, as apps show a key.
fn group(base32: &str) -> Zeroizing<String> {
    let mut grouped = Zeroizing::new(String::with_capacity(base32.len() * 2));
    for (index, character) in base32.chars().enumerate() {
        if index > 0 && index % 4 == 0 {
            grouped.push(' ');
        }
        grouped.push(character);
    }
    grouped
}

/// Draws a QR code, light on dark. `None` when it is wider than the terminal.
fn draw(uri: &str, columns: u16) -> Option<Zeroizing<String>> {
    if usize::from(columns) < SMALLEST + 2 * QUIET {
        return None;
    }
    let code = QrCode::with_error_correction_level(uri, EcLevel::L).ok()?;
    let width = code.width();
    let drawn_width = width + 2 * QUIET;
    if drawn_width > usize::from(columns) {
        return None;
    }
    let is_light = |column: usize, row: usize| {
        let inside = (QUIET..QUIET + width).contains(&column) && (QUIET..QUIET + width).contains(&row);
        !inside || code[(column - QUIET, row - QUIET)] == Color::Light
    };
    let mut drawn = Zeroizing::new(String::with_capacity(drawn_width * drawn_width * 2));
    for row in (0..drawn_width).step_by(2) {
        for column in 0..drawn_width {
            let lower = row + 1 < drawn_width && is_light(column, row + 1);
            drawn.push(match (is_light(column, row), lower) {
                (true, true) => '\u{2588}',
                (true, false) => '\u{2580}',
                (false, true) => '\u{2584}',
                (false, false) => ' ',
            });
        }
        drawn.push('\n');
    }
    Some(drawn)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(columns: Option<u16>) -> Zeroizing<String> {
        let enrolment = Enrolment {
            issuer: "Postern",
            user: &UserName::new("alice").unwrap(),
            host: "web-1",
            secret: SharedSecret::from_bytes(b"12345678901234567890").unwrap(),
            parameters: &TokenParameters::default(),
            counter: 0,
        };
        enrolment.text(columns)
    }

    // covers: T1, T4
    #[test]
    fn the_secret_stands_as_a_qr_code_as_text_and_as_a_uri() {
        let text = text(None);
        assert!(text.starts_with('\n'));
        assert!(text.contains("Secret key: GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ\n"), "{}", text.as_str());
        assert!(text.contains("\notpauth://totp/Postern:alice@web-1?"), "{}", text.as_str());
        assert!(text.contains('\u{2588}'));
    }

    // covers: T4
    #[test]
    fn the_qr_code_is_never_wider_than_the_terminal() {
        let widest = |text: &str| {
            let drawn = |line: &&str| line.contains(['\u{2588}', '\u{2580}', '\u{2584}']);
            text.lines().filter(drawn).map(|line| line.chars().count()).max()
        };
        let drawn = widest(&text(None)).expect("80 columns are enough");
        assert!(drawn <= 80);
        let exactly = u16::try_from(drawn).unwrap();
        assert_eq!(widest(&text(Some(exactly))), Some(drawn));
        assert_eq!(widest(&text(Some(exactly - 1))), None);
    }
}
