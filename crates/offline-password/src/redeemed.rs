//! Which passwords of a host were used: the highest counter, and a bit for each of those just below it.
//!
//! A password names the low eight bits of its counter. What stands here tells which counter is meant: one of the 128 up to
//! the highest that was used, or of the 128 above it. Older ones are refused like used ones, whether they were or not.

/// How many passwords may be made for a host beyond the highest that is known to be used. More, and a host would take a new
/// password for an old one: whoever makes them refuses to.
pub const COUNTERS_AHEAD_MAX: u64 = 128;

/// How many counters, from the highest used one down, are told apart.
const COUNTERS_BELOW: u64 = 128;

/// Bytes of the kept form: format, highest counter, bits.
const KEPT_BYTES: usize = 1 + 8 + 16;

/// The newest format.
const FORMAT: u8 = 1;

/// What was used. Nothing can make a used counter unused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redeemed {
    /// The highest used one; 0, which no password has, at first.
    highest: u64,
    /// Bit n stands for the counter n below the highest.
    used: u128,
}

/// A kept form that cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what was kept of used passwords is damaged")]
pub struct RedeemedError;

impl Redeemed {
    /// The counter that these low bits mean.
    pub(crate) fn full(&self, low: u8) -> u64 {
        let first = self.highest.saturating_sub(COUNTERS_BELOW - 1);
        let ahead = (u64::from(low)).wrapping_sub(first) % 256;
        first.saturating_add(ahead)
    }

    /// Whether it was used, or is too old to tell.
    pub fn is_used(&self, counter: u64) -> bool {
        match self.highest.checked_sub(counter) {
            None => false,
            Some(below) => below >= COUNTERS_BELOW || counter == 0 || self.used >> below & 1 == 1,
        }
    }

    /// The same with one more that was used.
    #[must_use]
    pub fn with(&self, counter: u64) -> Self {
        if let Some(below) = self.highest.checked_sub(counter) {
            let bit = if below < COUNTERS_BELOW { 1 << below } else { 0 };
            return Self { highest: self.highest, used: self.used | bit };
        }
        let risen = u32::try_from(counter - self.highest).unwrap_or(u32::MAX);
        Self { highest: counter, used: self.used.checked_shl(risen).unwrap_or(0) | 1 }
    }

    /// The highest used one; 0 where there is none.
    pub fn highest(&self) -> u64 {
        self.highest
    }

    /// To be kept.
    pub fn encode(&self) -> [u8; KEPT_BYTES] {
        let mut bytes = [0; KEPT_BYTES];
        bytes[0] = FORMAT;
        bytes[1..9].copy_from_slice(&self.highest.to_be_bytes());
        bytes[9..].copy_from_slice(&self.used.to_be_bytes());
        bytes
    }

    /// Reads what was kept.
    ///
    /// # Errors
    /// [`RedeemedError`] for anything that [`Redeemed::encode`] does not write.
    pub fn decode(bytes: &[u8]) -> Result<Self, RedeemedError> {
        let bytes: &[u8; KEPT_BYTES] = bytes.try_into().map_err(|_| RedeemedError)?;
        let highest = u64::from_be_bytes(bytes[1..9].try_into().map_err(|_| RedeemedError)?);
        let used = u128::from_be_bytes(bytes[9..].try_into().map_err(|_| RedeemedError)?);
        // The highest is used, and nothing below 1 is.
        let places = u32::try_from(highest).unwrap_or(u32::MAX);
        let is_sound = match highest {
            0 => used == 0,
            _ => used & 1 == 1 && used.checked_shr(places).unwrap_or(0) == 0,
        };
        if bytes[0] == FORMAT && is_sound { Ok(Self { highest, used }) } else { Err(RedeemedError) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn low_bits_mean_the_counter_that_is_near() {
        let at = |highest| Redeemed { highest, used: u128::from(highest > 0) };
        for (highest, low, full) in [
            (0, 1, 1),
            (0, 255, 255),
            (100, 100, 100),
            (100, 228, 228),
            (127, 0, 0),
            (128, 0, 256),
            (1_000, 232, 1_000),
            (1_000, 104, 1_128),
            (1_000, 105, 873),
        ] {
            assert_eq!(at(highest).full(low), full, "{low} at {highest}");
        }
    }

    // covers: D15
    #[test]
    fn no_damaged_byte_of_the_kept_form_makes_a_used_one_unused_without_an_error() {
        let kept = Redeemed::default().with(3).with(1).with(9);
        assert_eq!(Redeemed::decode(&kept.encode()), Ok(kept.clone()));
        assert_eq!(Redeemed::decode(&Redeemed::default().encode()), Ok(Redeemed::default()));
        for bytes in [&[][..], &kept.encode()[1..], &[0; KEPT_BYTES], &[255; KEPT_BYTES]] {
            assert_eq!(Redeemed::decode(bytes), Err(RedeemedError));
        }
        let mut high = kept.encode();
        high[9] = 1;
        assert_eq!(Redeemed::decode(&high), Err(RedeemedError), "a bit for a counter below 1");
    }

    proptest! {
        // Each case walks all counters after each use.
        #![proptest_config(ProptestConfig::with_cases(48))]

        // covers: D02
        #[test]
        fn what_was_used_stays_used_and_all_else_above_the_window_does_not(
            counters in prop::collection::vec(1..400_u64, 0..60),
        ) {
            let (mut redeemed, mut used) = (Redeemed::default(), BTreeSet::new());
            for counter in counters {
                let was = redeemed.clone();
                redeemed = redeemed.with(counter);
                used.insert(counter);
                prop_assert!(redeemed.highest() >= was.highest());
                prop_assert_eq!(Redeemed::decode(&redeemed.encode()), Ok(redeemed.clone()));
                for counter in 0..500 {
                    let is_old = redeemed.highest() >= counter + COUNTERS_BELOW;
                    let expected = used.contains(&counter) || is_old || counter == 0;
                    prop_assert_eq!(redeemed.is_used(counter), expected, "{}", counter);
                    prop_assert!(!was.is_used(counter) || redeemed.is_used(counter));
                    let is_near = !is_old && counter <= redeemed.highest() + COUNTERS_AHEAD_MAX;
                    if is_near && counter > 0 {
                        prop_assert_eq!(redeemed.full(counter.to_be_bytes()[7]), counter);
                    }
                }
            }
        }
    }
}
