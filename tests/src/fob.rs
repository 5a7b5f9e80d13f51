//! A hardware token: a serial number on its back, and a button that counts or a clock that is off.

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use otp_core::{Algorithm, Digits, OtpKey, SharedSecret, TimeInterval, TimeSteps};

/// How far around its place a token is searched for, and a little more: digits from there are no wrong code.
const SEARCHED: u64 = 1_200;

/// A token as it lies on the table. What it knows, the daemon knows from a file or from the administrator.
#[derive(Clone, Debug)]
pub struct Fob {
    /// What is printed on its back.
    pub serial: String,
    /// The hash under HMAC.
    pub algorithm: Algorithm,
    /// How many digits it shows.
    pub digits: u8,
    /// What its codes follow.
    pub pace: Pace,
    secret: Vec<u8>,
}

/// What the codes of a token follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Presses of its button.
    Presses {
        /// The counter of the next press.
        counter: u64,
    },
    /// Its own clock.
    Clock {
        /// Seconds in a time step.
        interval: u32,
        /// Seconds by which it is ahead.
        ahead: i64,
    },
}

impl Fob {
    /// A token with a button: SHA-1, six digits, never pressed.
    ///
    /// The secret follows from the serial number, so that a run is like the one before.
    pub fn with_button(serial: &str) -> Self {
        Self {
            serial: serial.to_owned(),
            algorithm: Algorithm::Sha1,
            digits: 6,
            pace: Pace::Presses { counter: 0 },
            secret: secret_of(serial, 20),
        }
    }

    /// A token with a clock that is right: SHA-1, six digits, 30 s.
    pub fn with_clock(serial: &str) -> Self {
        Self { pace: Pace::Clock { interval: 30, ahead: 0 }, ..Self::with_button(serial) }
    }

    /// The same with another hash and another number of digits.
    #[must_use]
    pub fn shaped(self, algorithm: Algorithm, digits: u8) -> Self {
        Self { algorithm, digits, ..self }
    }

    /// The same with another pace.
    #[must_use]
    pub fn paced(self, pace: Pace) -> Self {
        Self { pace, ..self }
    }

    /// The same, pressed so often before.
    #[must_use]
    pub fn at_counter(self, counter: u64) -> Self {
        self.paced(Pace::Presses { counter })
    }

    /// Presses the button and reads the display.
    ///
    /// # Panics
    /// When it has no button.
    pub fn press(&mut self) -> String {
        let code = self.value(self.counter());
        self.press_and_lose(1);
        code
    }

    /// Presses the button and looks away.
    ///
    /// # Panics
    /// When it has no button.
    pub fn press_and_lose(&mut self, times: u64) {
        self.pace = Pace::Presses { counter: self.counter() + times };
    }

    /// The counter of the next press.
    ///
    /// # Panics
    /// When it has no button.
    pub fn counter(&self) -> u64 {
        let Pace::Presses { counter } = self.pace else { panic!("{} has no button", self.serial) };
        counter
    }

    /// What a token with a clock shows at a moment, in seconds since the Unix epoch.
    ///
    /// # Panics
    /// When it has no clock.
    pub fn shown(&self, unix: u64) -> String {
        self.value(self.step(unix))
    }

    /// The time step that its own clock is in.
    ///
    /// # Panics
    /// When it has no clock.
    pub fn step(&self, unix: u64) -> u64 {
        let Pace::Clock { interval, ahead } = self.pace else { panic!("{} has no clock", self.serial) };
        let time_interval = TimeInterval::new(interval).expect("1 s to a day");
        let steps = TimeSteps { initial_time: 0, time_interval };
        let own_time = unix.checked_add_signed(ahead).expect("a time after 1970");
        steps.step_at(own_time).expect("a time after 1970")
    }

    /// The value of one moving factor.
    pub fn value(&self, factor: u64) -> String {
        let secret = SharedSecret::from_bytes(&self.secret).expect("16 to 128 bytes");
        let digits = Digits::new(self.digits).expect("6 to 8");
        OtpKey::new(&secret, self.algorithm, digits).value(factor).expose().to_string()
    }

    /// Digits that it does not show anywhere near its place.
    ///
    /// * `unix`: the moment, for a token with a clock.
    pub fn wrong_code(&self, unix: u64) -> String {
        let middle = match self.pace {
            Pace::Presses { counter } => counter,
            Pace::Clock { .. } => self.step(unix),
        };
        let near: Vec<String> =
            (middle.saturating_sub(SEARCHED)..middle + SEARCHED).map(|factor| self.value(factor)).collect();
        let width = usize::from(self.digits);
        let mut candidates = (0..).map(|number| format!("{number:0width$}"));
        candidates.find(|code| !near.contains(code)).expect("some number is none of them")
    }

    /// The secret in hexadecimal, as vendors print it.
    pub fn secret_hex(&self) -> String {
        HEXLOWER.encode(&self.secret)
    }

    /// The secret in base 32, as apps want it.
    pub fn secret_base32(&self) -> String {
        BASE32_NOPAD.encode(&self.secret)
    }

    /// The secret itself.
    pub fn secret(&self) -> &[u8] {
        &self.secret
    }

    /// `totp` or `hotp`.
    pub fn type_name(&self) -> &'static str {
        match self.pace {
            Pace::Presses { .. } => "hotp",
            Pace::Clock { .. } => "totp",
        }
    }

    /// The counter, or the seconds of a time step.
    pub fn pace_number(&self) -> u64 {
        match self.pace {
            Pace::Presses { counter } => counter,
            Pace::Clock { interval, .. } => interval.into(),
        }
    }
}

/// A drawer of tokens with 13-digit serial numbers from 2600000000000 on, none of them pressed.
pub fn drawer(count: u64) -> Vec<Fob> {
    (0..count).map(|number| Fob::with_button(&format!("26{number:011}"))).collect()
}

/// Bytes that follow from a text; SplitMix64, seeded with FNV-1a.
fn secret_of(text: &str, length: usize) -> Vec<u8> {
    let seed = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let words = (1..).flat_map(|round: u64| {
        let mut word = seed.wrapping_add(round.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)).to_be_bytes()
    });
    words.take(length).collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// What `oathtool` shows.
    fn oathtool(arguments: &[String]) -> String {
        let output = Command::new("oathtool").args(arguments).output().expect("oathtool");
        assert!(output.status.success(), "oathtool {arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    // covers: A1
    #[test]
    fn the_codes_are_those_that_oathtool_shows() {
        for number in 0..60_u64 {
            let digits = 6 + (number % 3) as u8;
            let fob = Fob::with_button(&format!("fob-{number}")).shaped(Algorithm::Sha1, digits);
            let counter = number.pow(5);
            let arguments = [
                "--hotp".to_owned(),
                format!("--digits={digits}"),
                format!("--counter={counter}"),
                fob.secret_hex(),
            ];
            assert_eq!(fob.clone().at_counter(counter).press(), oathtool(&arguments), "{arguments:?}");

            let algorithm = [Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha512][(number % 3) as usize];
            let interval = [15, 30, 60, 300][(number % 4) as usize];
            let ahead = (number as i64 - 30) * 7;
            let fob = fob.shaped(algorithm, 8 - (number % 3) as u8).paced(Pace::Clock { interval, ahead });
            let unix = 1_000_000_000 + number * 98_765_431;
            let arguments = [
                format!("--totp={}", algorithm.name().to_lowercase()),
                format!("--digits={}", fob.digits),
                format!("--time-step-size={interval}s"),
                format!("--now=@{}", unix as i64 + ahead),
                fob.secret_hex(),
            ];
            assert_eq!(fob.shown(unix), oathtool(&arguments), "{arguments:?}");
        }
    }

    #[test]
    fn a_press_is_never_shown_twice() {
        let mut fob = Fob::with_button("2600000000001");
        let first = fob.press();
        fob.press_and_lose(3);
        assert_eq!((fob.counter(), first), (4, fob.value(0)));
    }
}
