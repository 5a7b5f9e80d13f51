//! A phone with an authenticator app: reads the enrolment off a screen, tells one-time passwords.

use otp_core::{KeyUri, KeyUriKind, OtpKey, TimeSteps};

use crate::terminal::COLUMNS;

/// How many pixels a module of a QR code gets, so that the reader finds its corners.
const MODULE_PIXELS: usize = 4;

/// An app with one account in it.
pub struct Authenticator {
    key: OtpKey,
    steps: TimeSteps,
    secret: String,
}

/// What the enrolment shows on a terminal.
#[derive(Debug)]
pub struct Shown {
    /// What the QR code says.
    pub qr_text: Option<String>,
    /// How many columns the QR code takes.
    pub qr_columns: usize,
    /// The `otpauth://` line.
    pub uri: String,
    /// The secret key in base32, its groups joined.
    pub secret: String,
}

impl Authenticator {
    /// # Panics
    /// When the URI is not one of a TOTP token.
    pub fn scan(uri: &str) -> Self {
        let parsed = KeyUri::parse(uri).unwrap_or_else(|error| panic!("{uri}: {error}"));
        let KeyUriKind::Totp { time_interval } = parsed.kind else { panic!("{uri} is not for TOTP") };
        Self {
            key: OtpKey::new(&parsed.secret, parsed.algorithm, parsed.digits),
            steps: TimeSteps { initial_time: 0, time_interval },
            secret: parsed.secret.to_base32().to_string(),
        }
    }

    /// The one-time password at a moment, in seconds since the Unix epoch.
    pub fn code(&self, unix: u64) -> String {
        self.key.value(self.steps.step_at(unix).expect("a time after 1970")).expose().to_string()
    }

    /// Six digits that are no one-time password of the steps around a moment.
    pub fn wrong_code(&self, unix: u64) -> String {
        let near: Vec<String> = (0..9).map(|step| self.code(unix + 30 * step - 120)).collect();
        let mut candidates = (0..).map(|number| format!("{number:06}"));
        candidates.find(|code| !near.contains(code)).expect("some number is none of them")
    }

    /// The secret key in base32.
    pub fn secret(&self) -> &str {
        &self.secret
    }
}

/// Reads an enrolment off what a program said.
///
/// # Panics
/// When the secret key or the URI is not there.
pub fn read_screen(said: &str) -> Shown {
    let lines: Vec<&str> = said.lines().map(|line| line.trim_end_matches('\r')).collect();
    let after = |mark: &str| lines.iter().find_map(|line| line.split_once(mark).map(|(_, rest)| rest.trim()));
    let secret = after("Secret key: ").unwrap_or_else(|| panic!("no secret key in {said}"));
    let uri = lines.iter().find(|line| line.trim().starts_with("otpauth://"));
    let uri = uri.unwrap_or_else(|| panic!("no otpauth:// line in {said}")).trim();
    let picture: Vec<&str> = lines.iter().copied().filter(|line| is_picture(line)).collect();
    let qr_columns = picture.iter().map(|line| line.chars().count()).max().unwrap_or_default();
    Shown { qr_text: read_qr(&picture), qr_columns, uri: uri.to_owned(), secret: secret.replace(' ', "") }
}

/// Whether an enrolment is shown as it must be, and the phone that scanned it.
///
/// # Panics
/// When QR code, URI and secret do not say the same, or the code is wider than the terminal.
pub fn enrol(said: &str) -> Authenticator {
    let shown = read_screen(said);
    assert_eq!(
        shown.qr_text.as_deref(),
        Some(shown.uri.as_str()),
        "the QR code says what the line says:\n{said}"
    );
    assert!(shown.qr_columns <= usize::from(COLUMNS), "the QR code fits: {} columns", shown.qr_columns);
    let phone = Authenticator::scan(&shown.uri);
    assert_eq!(phone.secret(), shown.secret, "the secret key is the one of the URI");
    phone
}

fn is_picture(line: &str) -> bool {
    let drawn = |it: char| matches!(it, ' ' | '█' | '▀' | '▄');
    line.chars().all(drawn) && line.chars().any(|it| it != ' ')
}

/// Reads a QR code drawn in half blocks, on a dark terminal or a light one.
fn read_qr(lines: &[&str]) -> Option<String> {
    let rows: Vec<Vec<char>> = lines.iter().map(|line| line.chars().collect()).collect();
    let columns = rows.iter().map(Vec::len).max()?;
    let is_drawn = |x: usize, y: usize| match rows[y / 2].get(x).copied().unwrap_or(' ') {
        '█' => true,
        '▀' => y.is_multiple_of(2),
        '▄' => !y.is_multiple_of(2),
        _ => false,
    };
    // A margin, because a reader wants the picture to stand free.
    let margin = 4;
    let (width, height) = (columns + 2 * margin, rows.len() * 2 + 2 * margin);
    [true, false].into_iter().find_map(|drawn_is_light| {
        let pixel = |x: usize, y: usize| {
            let (x, y) = (x / MODULE_PIXELS, y / MODULE_PIXELS);
            let inside =
                (margin..margin + columns).contains(&x) && (margin..margin + rows.len() * 2).contains(&y);
            let light = if inside { is_drawn(x - margin, y - margin) == drawn_is_light } else { true };
            if light { 255 } else { 0 }
        };
        let mut image =
            rqrr::PreparedImage::prepare_from_greyscale(width * MODULE_PIXELS, height * MODULE_PIXELS, pixel);
        image.detect_grids().first()?.decode().ok().map(|(_, text)| text)
    })
}
