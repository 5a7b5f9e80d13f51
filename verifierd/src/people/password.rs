//! Passwords of persons of our own records: what one must be like, and how one is kept and checked.
//!
//! argon2id (RFC 9106) with 19 MiB, two passes and one lane, as the OWASP Password Storage Cheat Sheet recommends, and
//! with a secret of its own, derived from the master key: the store alone does not even let anybody guess. What a
//! directory's passwords are like is the directory's to say.

use std::sync::Arc;

use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::EmailAddress;
use crate::accounts::UserName;
use crate::keys::{KeyError, MasterKey, random_bytes};

/// Fewest characters. Source: NIST SP 800-63B-4 §3.1.1.2 asks for 8 beside another factor and 15 alone; ours stands
/// alone on accounts with `login_step = "secondary"`, behind throttles.
pub const PASSWORD_CHARACTERS_MIN: usize = 12;

/// Most characters: four times what the same source says must be taken, and a moment's work to read.
pub const PASSWORD_CHARACTERS_MAX: usize = 256;

/// Passwords of logins and of administrators that are worked on at once, each with 19 MiB and one core for some 30 ms.
const AT_ONCE_MAX: usize = 2;

/// How many more may wait: the last of them waits for about a second, and no login has less time than that.
const WAITING_MAX: usize = 64;

/// The same for the pages, which strangers of a whole network reach: they never take a seat of a login, and at most a
/// third of the work is theirs.
const PAGES_AT_ONCE_MAX: usize = 1;

/// The last of them waits for about a second too.
const PAGES_WAITING_MAX: usize = 32;

/// Where a password was typed. Each has seats of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Desk {
    /// At a prompt, or by an administrator.
    Prompt,
    /// On a page.
    Page,
}

/// What is wrong with a new password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordFault {
    /// Too few or too many characters.
    #[error("a password has {PASSWORD_CHARACTERS_MIN} to {PASSWORD_CHARACTERS_MAX} characters")]
    Length,
    /// A tabulator, an escape character or the like, which some login screens cannot take.
    #[error("a password has no control characters")]
    Control,
    /// What everybody knows of him.
    #[error("a password is not made of the login name or the e-mail address")]
    Known,
}

/// Why a password could not be worked on.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// Too many wait.
    #[error("too many passwords are looked at: try again")]
    Busy,
    /// No salt.
    #[error("cannot draw a salt")]
    Random(#[from] KeyError),
    /// No memory.
    #[error("a password cannot be hashed: {0}")]
    Hash(argon2::password_hash::Error),
}

/// Whether a password may become somebody's.
///
/// # Errors
/// What is wrong with it.
pub fn check_new(password: &str, login: &UserName, email: &EmailAddress) -> Result<(), PasswordFault> {
    if !(PASSWORD_CHARACTERS_MIN..=PASSWORD_CHARACTERS_MAX).contains(&password.chars().count()) {
        return Err(PasswordFault::Length);
    }
    if password.chars().any(char::is_control) {
        return Err(PasswordFault::Control);
    }
    let known = [login.as_str(), email.as_str()];
    if known.iter().any(|known| is_made_of(password, known)) {
        return Err(PasswordFault::Known);
    }
    Ok(())
}

/// Whether a text is another one, once or several times.
fn is_made_of(text: &str, part: &str) -> bool {
    let (text, part) = (Zeroizing::new(text.to_ascii_lowercase()), part.to_ascii_lowercase());
    text.split(part.as_str()).all(str::is_empty)
}

/// Hashes and checks passwords, off the runtime's threads and few at once.
#[derive(Clone)]
pub struct Passwords {
    secret: Arc<Zeroizing<[u8; 32]>>,
    prompt: Seats,
    page: Seats,
}

/// Who may work, and who may wait for it.
#[derive(Clone)]
struct Seats {
    at_work: Arc<Semaphore>,
    queue: Arc<Semaphore>,
}

impl Seats {
    fn new(at_once: usize, waiting: usize) -> Self {
        let seats = |count| Arc::new(Semaphore::new(count));
        Self { at_work: seats(at_once), queue: seats(at_once + waiting) }
    }
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passwords(..)")
    }
}

impl Passwords {
    /// With the secret that `master` holds for it.
    pub fn new(master: &MasterKey) -> Self {
        Self {
            secret: Arc::new(master.derive("passwords of persons")),
            prompt: Seats::new(AT_ONCE_MAX, WAITING_MAX),
            page: Seats::new(PAGES_AT_ONCE_MAX, PAGES_WAITING_MAX),
        }
    }

    /// What is kept of a password: a PHC string.
    ///
    /// # Errors
    /// See [`HashError`].
    pub async fn hash(&self, password: Zeroizing<String>) -> Result<String, HashError> {
        let salt = random_bytes::<16>()?;
        let hashed = self.work(Desk::Prompt, move |argon2| {
            argon2.hash_password_with_salt(password.as_bytes(), &salt).map(|hash| hash.to_string())
        });
        hashed.await?.map_err(HashError::Hash)
    }

    /// Whether a password is the one that `kept` was made of. Where nothing is kept the same work is done, and the answer
    /// is no.
    ///
    /// # Errors
    /// [`HashError::Busy`].
    pub async fn is_right(
        &self,
        kept: Option<String>,
        password: Zeroizing<String>,
        desk: Desk,
    ) -> Result<bool, HashError> {
        self.work(desk, move |argon2| match kept {
            Some(kept) => argon2.verify_password(password.as_bytes(), kept.as_str()).is_ok(),
            None => {
                let in_vain = argon2.hash_password_with_salt(password.as_bytes(), &[0; 16]);
                drop(std::hint::black_box(in_vain));
                false
            }
        })
        .await
    }

    /// Takes every place of a desk, as many strangers would.
    #[cfg(test)]
    pub(super) fn fill(&self, desk: Desk) -> tokio::sync::OwnedSemaphorePermit {
        let queue = match desk {
            Desk::Prompt => &self.prompt.queue,
            Desk::Page => &self.page.queue,
        };
        let all = u32::try_from(queue.available_permits()).unwrap();
        Arc::clone(queue).try_acquire_many_owned(all).unwrap()
    }

    async fn work<T: Send + 'static>(
        &self,
        desk: Desk,
        job: impl FnOnce(&Argon2<'_>) -> T + Send + 'static,
    ) -> Result<T, HashError> {
        let Seats { at_work, queue } = match desk {
            Desk::Prompt => self.prompt.clone(),
            Desk::Page => self.page.clone(),
        };
        let place = queue.try_acquire_owned().map_err(|_| HashError::Busy)?;
        let seat = at_work.acquire_owned().await.map_err(|_| HashError::Busy)?;
        let secret = Arc::clone(&self.secret);
        let done = tokio::task::spawn_blocking(move || {
            // Both are held until the work is done, whether or not anybody waits for it.
            let (_place, _seat) = (place, seat);
            let argon2 = Argon2::new_with_secret(
                secret.as_slice(),
                Algorithm::Argon2id,
                Version::V0x13,
                Params::new(MEMORY_KIB, PASSES, LANES, None)
                    .expect("the numbers are those that RFC 9106 permits"),
            );
            job(&argon2.expect("the secret has 32 bytes"))
        });
        done.await.map_err(|_| HashError::Busy)
    }
}

/// 19 MiB. Source: OWASP Password Storage Cheat Sheet, argon2id.
const MEMORY_KIB: u32 = 19 * 1024;
/// Source: the same.
const PASSES: u32 = 2;
/// Source: the same.
const LANES: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Zeroizing<String> {
        Zeroizing::new(text.into())
    }

    #[tokio::test]
    async fn a_password_is_right_under_its_own_key_alone() {
        let passwords = Passwords::new(&MasterKey::generate().unwrap());
        let kept = passwords.hash(secret("correct horse battery")).await.unwrap();
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
        let again = passwords.hash(secret("correct horse battery")).await.unwrap();
        assert_ne!(kept, again, "the salt is another one each time");
        let is_right = |kept: Option<&String>, typed: &str| {
            passwords.is_right(kept.cloned(), secret(typed), Desk::Prompt)
        };
        assert!(is_right(Some(&kept), "correct horse battery").await.unwrap());
        assert!(!is_right(Some(&kept), "correct horse batterz").await.unwrap());
        assert!(!is_right(Some(&kept), "").await.unwrap());
        assert!(!is_right(None, "correct horse battery").await.unwrap());
        let stranger = Passwords::new(&MasterKey::generate().unwrap());
        assert!(!stranger.is_right(Some(kept), secret("correct horse battery"), Desk::Page).await.unwrap());
    }

    #[test]
    fn a_new_password_is_long_and_not_what_everybody_knows() {
        let (login, email) =
            (UserName::new("carol").unwrap(), EmailAddress::parse("carol@example.org").unwrap());
        let check = |password: &str| check_new(password, &login, &email);
        assert_eq!(check("twelve chars"), Ok(()));
        assert_eq!(check("\u{fc}n\u{ef}c\u{f6}d\u{e9} w\u{f6}rds"), Ok(()));
        assert_eq!(check(&"x".repeat(256)), Ok(()));
        for (wrong, fault) in [
            ("eleven char", PasswordFault::Length),
            ("", PasswordFault::Length),
            (&"x".repeat(257), PasswordFault::Length),
            ("twelve\tchars", PasswordFault::Control),
            ("CarolcarolCAROL", PasswordFault::Known),
            ("Carol@Example.org", PasswordFault::Known),
        ] {
            assert_eq!(check(wrong), Err(fault), "{wrong:?}");
        }
    }

    #[tokio::test]
    async fn whoever_comes_when_too_many_wait_is_told_at_once() {
        let passwords = Passwords::new(&MasterKey::generate().unwrap());
        let _taken = passwords.fill(Desk::Prompt);
        let typed = || secret("x");
        assert!(matches!(passwords.is_right(None, typed(), Desk::Prompt).await, Err(HashError::Busy)));
    }

    // covers: B07
    #[tokio::test]
    async fn strangers_at_the_pages_take_no_seat_of_a_login() {
        let passwords = Passwords::new(&MasterKey::generate().unwrap());
        let _at_work = Arc::clone(&passwords.page.at_work).acquire_owned().await.unwrap();
        let _waiting = passwords.fill(Desk::Page);
        let typed = || secret("x");
        assert!(matches!(passwords.is_right(None, typed(), Desk::Page).await, Err(HashError::Busy)));
        assert!(!passwords.is_right(None, typed(), Desk::Prompt).await.unwrap());
    }
}
