//! The fields of a password, bit by bit.
//!
//! | bits | preset | custom |
//! | --- | --- | --- |
//! | 2 | version, 1 | the same |
//! | 2 | one service, all, file transfers, lockout reset | the same |
//! | 1 | whether it is for one user | the same |
//! | 4 | duration, 0 to 10 | 15 |
//! | 8 | counter, low bits | the same |
//! | | 9: deadline, quarters of an hour, low bits | 18: start, minutes, low bits; 16: length, minutes |
//! | 44 | MAC | the same |
//!
//! 70 bits are 14 characters, 95 are 19; the check character follows. What stands there in low bits goes into the MAC in
//! full, so that the same text in another month is another password.

use crate::grant::{Deadline, Duration, Grant, Purpose, Services, Term, Window};
use crate::redeemed::Redeemed;
use crate::text::{CUSTOM_CHARACTERS, PRESET_CHARACTERS, Typed};

/// Bits of the MAC: of 2^44 texts one is right, for the one purpose, user and time that a try is about.
pub(crate) const MAC_BITS: u32 = 44;

/// The version of this form.
const VERSION: u8 = 1;

/// The number that says: a custom window.
const CUSTOM: u8 = 15;

/// Bits of a deadline, in quarters of an hour: 128 hours, half of them to each side of the host's time.
const DEADLINE_BITS: u32 = 9;

/// Bits of a start, in minutes: 182 days.
const START_BITS: u32 = 18;

/// How far back the start of a window that is still open can lie: its longest length.
const START_BACK: u64 = 1 << 16;

/// What the purpose says without the name of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    OneService,
    AllServices,
    FileTransfers,
    LockoutReset,
}

impl Reach {
    const ALL: [Self; 4] = [Self::OneService, Self::AllServices, Self::FileTransfers, Self::LockoutReset];
}

impl From<&Purpose> for Reach {
    fn from(purpose: &Purpose) -> Self {
        match purpose {
            Purpose::Access(Services::One(_)) => Self::OneService,
            Purpose::Access(Services::All) => Self::AllServices,
            Purpose::Access(Services::FileTransfers) => Self::FileTransfers,
            Purpose::LockoutReset => Self::LockoutReset,
        }
    }
}

/// A term with its counter and what it is for, in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fields {
    pub reach: Reach,
    pub has_user: bool,
    pub counter: u64,
    pub term: Term,
}

impl From<&Grant> for Fields {
    fn from(grant: &Grant) -> Self {
        Self {
            reach: (&grant.purpose).into(),
            has_user: grant.user.is_some(),
            counter: grant.counter,
            term: grant.term,
        }
    }
}

impl Fields {
    /// The bits of a password with this MAC, and how many characters they take.
    pub fn pack(self, mac: u64) -> (u128, usize) {
        let mut bits = Bits(0);
        bits.add(VERSION.into(), 2);
        bits.add(self.reach as u64, 2);
        bits.add(self.has_user.into(), 1);
        let characters = match self.term {
            Term::Preset { duration, before } => {
                bits.add(duration.number().into(), 4);
                bits.add(self.counter, 8);
                bits.add(before.quarters(), DEADLINE_BITS);
                PRESET_CHARACTERS
            }
            Term::Custom(window) => {
                let (start, length) = window.minutes();
                bits.add(CUSTOM.into(), 4);
                bits.add(self.counter, 8);
                bits.add(start, START_BITS);
                bits.add(length.into(), 16);
                CUSTOM_CHARACTERS
            }
        };
        bits.add(mac, MAC_BITS);
        (bits.0, characters)
    }

    /// What was typed, in full as far as the host can tell: near its time, and near the passwords that were used there.
    /// `None` for what nobody writes.
    ///
    /// * `now`: seconds since 1970.
    pub fn unpack(typed: &Typed, now: u64, redeemed: &Redeemed) -> Option<(Self, u64)> {
        let mut bits = Taken(typed.bits());
        let mac = bits.take(MAC_BITS);
        let (low, term): (u64, _) = match typed.characters() {
            PRESET_CHARACTERS => {
                let deadline = bits.take(DEADLINE_BITS);
                let quarters = (now / 900).saturating_sub(1 << (DEADLINE_BITS - 1));
                let before = Deadline::of_quarters(near(deadline, DEADLINE_BITS, quarters));
                let low = bits.take(8);
                let duration = Duration::of_number(u8::try_from(bits.take(4)).ok()?)?;
                (low, Term::Preset { duration, before })
            }
            CUSTOM_CHARACTERS => {
                let length = u16::try_from(bits.take(16)).ok()?;
                let start = bits.take(START_BITS);
                let start = near(start, START_BITS, (now / 60).saturating_sub(START_BACK));
                let low = bits.take(8);
                if bits.take(4) != CUSTOM.into() {
                    return None;
                }
                (low, Term::Custom(Window::of_minutes(start, length)?))
            }
            _ => return None,
        };
        let has_user = bits.take(1) == 1;
        let reach = *Reach::ALL.get(usize::try_from(bits.take(2)).ok()?)?;
        let is_ours = bits.take(2) == VERSION.into();
        let counter = redeemed.full(u8::try_from(low).ok()?);
        is_ours.then_some((Self { reach, has_user, counter, term }, mac))
    }
}

impl Typed {
    /// Whether it says of itself that it ends a wait. Nobody knows yet whether it is right.
    pub fn says_reset(&self) -> bool {
        let above = match self.characters() {
            // Counter and deadline, or start and length.
            PRESET_CHARACTERS => MAC_BITS + DEADLINE_BITS + 8,
            CUSTOM_CHARACTERS => MAC_BITS + 16 + START_BITS + 8,
            _ => return false,
        };
        // The kind of term and the user's bit are before it.
        let reach = self.bits() >> (above + 4 + 1) & 0b11;
        reach == Reach::LockoutReset as u128
    }
}

/// The one number from `first` on, among as many as these bits count, that ends in them.
fn near(low: u64, bits: u32, first: u64) -> u64 {
    let modulus = 1 << bits;
    first.saturating_add(low.wrapping_sub(first) % modulus)
}

struct Bits(u128);

impl Bits {
    /// Adds the low bits of a number.
    fn add(&mut self, value: u64, bits: u32) {
        let kept = u128::from(value) & ((1 << bits) - 1);
        self.0 = self.0 << bits | kept;
    }
}

struct Taken(u128);

impl Taken {
    /// Takes the lowest bits away.
    fn take(&mut self, bits: u32) -> u64 {
        let taken = self.0 & ((1 << bits) - 1);
        self.0 >>= bits;
        u64::try_from(taken).expect("at most 44 bits are taken")
    }
}
