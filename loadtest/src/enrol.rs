//! Makes users to play with: turns one-time passwords on, and reads the secrets off the enrolment text, as a
//! person would.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use data_encoding::HEXLOWER;
use hyper::Method;
use otp_core::SharedSecret;
use wire::admin::{EnrolWith, NewToken, OnOff, SetOtp, TokenType};
use zeroize::Zeroizing;

use crate::args::{EnrolArgs, HostArgs};
use crate::authenticator::{self, Authenticator, Pace};
use crate::connection::Connection;
use crate::login::{Begun, Host, RequestIds};
use crate::progress;
use crate::report::Conclusion;
use crate::target::Target;

/// What stands before the secret in the enrolment text.
const SECRET_LABEL: &str = "Secret key: ";

/// Enrols all users and writes the file of their secrets, a line as soon as it is known.
///
/// # Errors
/// When the file exists, or a user cannot be enrolled.
pub async fn run(host: &HostArgs, args: &EnrolArgs) -> Result<Conclusion> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    ensure!(args.prefix.bytes().all(is_plain), "--prefix {:?}: letters, digits, - and _ only", args.prefix);
    let file = File::options().write(true).create_new(true).mode(0o600).open(&args.secrets);
    let mut file = file.with_context(|| format!("cannot make {}", args.secrets.display()))?;
    let mut admin = Connection::new(&Target::unix(&args.admin_socket));
    let mut host = Host::new(&Target::unix(&host.socket), &host.service, &Arc::new(RequestIds::new()?));
    let bar = progress::count(args.users.into(), "users");
    for number in 1..=args.users {
        let user = format!("{}{number:06}", args.prefix);
        // Spread evenly: user number k counts presses when the share of k users grows by a whole one.
        let presses = |number: u32| u64::from(number) * u64::from(args.hotp_percent) / 100;
        let failed = || format!("cannot enrol {user}");
        let line = if presses(number) > presses(number - 1) {
            let secret = make_secret()?;
            let made = Authenticator::with_pace(&user, &secret, Pace::Presses(0));
            give_token(&mut admin, &made).await.with_context(failed)?;
            authenticator::line(&user, &secret, Pace::Presses(0))
        } else {
            let secret = enrol(&mut admin, &mut host, &user).await.with_context(failed)?;
            authenticator::line(&user, &secret, Pace::Time)
        };
        file.write_all(line.as_bytes())
            .with_context(|| format!("cannot write {}", args.secrets.display()))?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    println!("enrolled {} users; their secrets are in {}", args.users, args.secrets.display());
    Ok(Conclusion::Right)
}

async fn enrol(admin: &mut Connection, host: &mut Host, user: &str) -> Result<SharedSecret> {
    let path = format!("/v1/users/{user}/otp");
    let wish = SetOtp { otp: OnOff::On, enrol_with: Some(EnrolWith::App) };
    let request = admin.target().prepare(Method::PUT, &path, &wish)?;
    admin.call(request).await.context("admin socket")?;
    let Begun::Asked(asked) = host.begin(user, None).await.context("login socket")? else {
        bail!("no code is asked for");
    };
    let Some(secret) = asked.show.iter().find_map(|text| secret_in(text)) else {
        bail!("no secret is shown: the user is activated already, so choose another --prefix");
    };
    secret
}

/// A secret as long as Postern makes them (RFC 4226 §4, R6: 160 bits).
///
/// # Errors
/// When the kernel gives no random numbers.
pub fn make_secret() -> Result<SharedSecret> {
    let mut bytes = Zeroizing::new([0; 20]);
    getrandom::fill(bytes.as_mut()).context("the kernel gives no random numbers")?;
    Ok(SharedSecret::from_bytes(bytes.as_ref())?)
}

/// Gives a user a token whose secret we know; his first code activates it.
///
/// # Errors
/// When the verifier refuses.
pub async fn give_token(admin: &mut Connection, whose: &Authenticator) -> Result<()> {
    let (token_type, counter) = match whose.pace() {
        Pace::Time => (TokenType::Totp, None),
        Pace::Presses(counter) => (TokenType::Hotp, Some(counter)),
    };
    let new = NewToken {
        serial: None,
        user: Some(whose.user().to_owned()),
        token_type,
        secret: Some(HEXLOWER.encode(whose.secret().expose())),
        algorithm: None,
        digits: None,
        time_interval: None,
        counter,
    };
    let request = admin.target().prepare(Method::POST, "/v1/tokens", &new)?;
    admin.call(request).await.context("admin socket").map(|_| ())
}

/// The secret in an enrolment text, if there is one.
fn secret_in(text: &str) -> Option<Result<SharedSecret>> {
    let secret = text.lines().find_map(|line| line.strip_prefix(SECRET_LABEL))?;
    Some(SharedSecret::from_base32(secret).context("the secret that is shown is not base32"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_is_read_off_the_enrolment_text() {
        let text = "\nAdd this:\n\n\nSecret key: GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ\notpauth://totp/x\n";
        let secret = secret_in(text).unwrap().unwrap();
        assert_eq!(secret.expose(), b"12345678901234567890");
        assert!(secret_in("Secret key: 1").unwrap().is_err());
        assert!(secret_in("Access denied.").is_none());
    }
}
