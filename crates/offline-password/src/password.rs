//! Making and checking: one MAC for each try.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::grant::{Grant, Purpose, Services, Term};
use crate::key::HostKey;
use crate::packed::{Fields, MAC_BITS, Reach};
use crate::redeemed::Redeemed;
use crate::text::{Typed, written};

/// The longest local day, the one with an hour twice, and an hour for a host whose clock is behind.
const DAY_SECONDS_MAX: u64 = 26 * 3_600;

/// What the MAC is of, so that no other use of the key can give it.
const PURPOSE: &[u8] = b"postern offline password 1";

/// A password, as it is read out: shown once, and wiped.
pub struct OfflinePassword(Zeroizing<String>);

impl std::fmt::Debug for OfflinePassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OfflinePassword(..)")
    }
}

impl OfflinePassword {
    /// Makes the password of a grant. The same grant has the same password: whoever makes one takes a counter that was
    /// never taken for this host.
    pub fn make(key: &HostKey, grant: &Grant) -> Self {
        let service = match &grant.purpose {
            Purpose::Access(Services::One(service)) => service,
            Purpose::Access(Services::All | Services::FileTransfers) | Purpose::LockoutReset => "",
        };
        let fields = Fields::from(grant);
        let mac = mac(key, &fields, service, grant.user.as_deref().unwrap_or_default());
        let (bits, characters) = fields.pack(mac);
        Self(written(bits, characters))
    }

    /// For the administrator who asked for it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// The login at which a password was typed.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The Unix account, as the host has it.
    pub user: &'a str,
    /// The PAM service.
    pub service: &'a str,
    /// Whether that service only moves files.
    pub is_file_transfer: bool,
    /// The host's time, in seconds since 1970, which never goes back.
    pub now: u64,
}

/// What a right password gives. Nobody is let in before the counter is durably used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redemption {
    /// What the password says; `One` names the service of this login.
    pub grant: Grant,
    /// When the grant ends, in seconds since 1970.
    pub until: u64,
}

/// Why a password gives nothing. For the host's records; at the prompt they are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is of another host, user, service or month, or of nobody.
    #[error("not a password for this host, user and service")]
    Foreign,
    /// It was used, or is so old that nobody can tell.
    #[error("password {counter} was used before")]
    Used {
        /// Its counter.
        counter: u64,
    },
    /// It begins later.
    #[error("begins at {start} s since 1970")]
    Early {
        /// When.
        start: u64,
    },
    /// Its day or its window is over.
    #[error("was to be redeemed before {end} s since 1970")]
    Late {
        /// When that was.
        end: u64,
    },
    /// It lets in, but not into this service.
    #[error("for file transfers only")]
    FileTransfersOnly,
}

impl Typed {
    /// Checks what was typed at a login: exactly one MAC.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn check(
        &self,
        key: &HostKey,
        asked: &Asked<'_>,
        redeemed: &Redeemed,
    ) -> Result<Redemption, Refusal> {
        let (fields, shown) = Fields::unpack(self, asked.now, redeemed).ok_or(Refusal::Foreign)?;
        let user = if fields.has_user { asked.user } else { "" };
        let service = if fields.reach == Reach::OneService { asked.service } else { "" };
        let right = mac(key, &fields, service, user);
        if !bool::from(right.ct_eq(&shown)) {
            return Err(Refusal::Foreign);
        }
        // From here on an administrator said all of it.
        let until = until(fields.term, asked.now)?;
        if fields.reach == Reach::FileTransfers && !asked.is_file_transfer {
            return Err(Refusal::FileTransfersOnly);
        }
        if redeemed.is_used(fields.counter) {
            return Err(Refusal::Used { counter: fields.counter });
        }
        let purpose = match fields.reach {
            Reach::OneService => Purpose::Access(Services::One(asked.service.to_owned())),
            Reach::AllServices => Purpose::Access(Services::All),
            Reach::FileTransfers => Purpose::Access(Services::FileTransfers),
            Reach::LockoutReset => Purpose::LockoutReset,
        };
        let user = fields.has_user.then(|| asked.user.to_owned());
        let grant = Grant { purpose, user, term: fields.term, counter: fields.counter };
        Ok(Redemption { grant, until })
    }
}

/// When a grant that is redeemed at this time ends.
fn until(term: Term, now: u64) -> Result<u64, Refusal> {
    match term {
        Term::Preset { duration, before } => {
            let end = before.seconds();
            if now >= end {
                return Err(Refusal::Late { end });
            }
            match end.saturating_sub(DAY_SECONDS_MAX) {
                start if now < start => Err(Refusal::Early { start }),
                _ => Ok(now.saturating_add(duration.minutes() * 60)),
            }
        }
        Term::Custom(window) if now < window.start() => Err(Refusal::Early { start: window.start() }),
        Term::Custom(window) if now >= window.end() => Err(Refusal::Late { end: window.end() }),
        Term::Custom(window) => Ok(window.end()),
    }
}

/// The MAC over every field in full. Texts go in with their lengths, so that no two meanings give the same bytes.
fn mac(key: &HostKey, fields: &Fields, service: &str, user: &str) -> u64 {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose()).expect("HMAC takes keys of every length");
    mac.update(PURPOSE);
    mac.update(&[fields.reach as u8, fields.has_user.into()]);
    mac.update(&fields.counter.to_be_bytes());
    let (kind, one, other) = match fields.term {
        Term::Preset { duration, before } => (0, u64::from(duration.number()), before.seconds()),
        Term::Custom(window) => (1, window.start(), window.end()),
    };
    mac.update(&[kind]);
    mac.update(&one.to_be_bytes());
    mac.update(&other.to_be_bytes());
    for text in [service, user] {
        mac.update(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        mac.update(text.as_bytes());
    }
    let code = mac.finalize().into_bytes();
    let first = u64::from_be_bytes(code[..8].try_into().expect("a hash has 32 bytes"));
    first >> (64 - MAC_BITS)
}

#[cfg(test)]
mod tests;
