//! Makes users to play with: turns one-time passwords on, and reads the secrets off the enrolment text, as a
//! person would.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use hyper::Method;
use otp_core::SharedSecret;
use wire::admin::{EnrolWith, OnOff, SetOtp};

use crate::args::{EnrolArgs, HostArgs};
use crate::authenticator;
use crate::connection::{Connection, prepare};
use crate::login::{Begun, Host, RequestIds};
use crate::progress;
use crate::report::Conclusion;

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
    let mut admin = Connection::new(&args.admin_socket);
    let mut host = Host::new(host, &Arc::new(RequestIds::new()?));
    let bar = progress::count(args.users.into(), "users");
    for number in 1..=args.users {
        let user = format!("{}{number:06}", args.prefix);
        let secret =
            enrol(&mut admin, &mut host, &user).await.with_context(|| format!("cannot enrol {user}"))?;
        let line = authenticator::line(&user, &secret);
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
    admin.call(prepare(Method::PUT, &path, &wish)?).await.context("admin socket")?;
    let Begun::Asked(asked) = host.begin(user).await.context("login socket")? else {
        bail!("no code is asked for");
    };
    let Some(secret) = asked.show.iter().find_map(|text| secret_in(text)) else {
        bail!("no secret is shown: the user is activated already, so choose another --prefix");
    };
    secret
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
