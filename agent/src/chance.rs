//! Chance, which keeps a fleet from doing everything in the same second.

use std::fmt::Debug;
use std::time::Duration;

/// Where chance comes from.
pub trait Chance: Send + Sync + Debug {
    /// 64 random bits.
    fn bits(&self) -> u64;

    /// A time from nothing up to `longest`, each as likely as any other.
    fn up_to(&self, longest: Duration) -> Duration {
        // The upper 53 bits are as many as a `f64` tells apart.
        let fraction = (self.bits() >> 11) as f64 / (1_u64 << 53) as f64;
        longest.mul_f64(fraction)
    }
}

/// The kernel's. Made once, in `main.rs`.
#[derive(Clone, Copy, Debug)]
pub struct SystemChance;

impl Chance for SystemChance {
    fn bits(&self) -> u64 {
        // A kernel that has no randomness yet is waited for; one that has none at all runs no TLS either, and a
        // wait of the full length harms nobody.
        getrandom::u64().unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Fixed(u64);

    impl Chance for Fixed {
        fn bits(&self) -> u64 {
            self.0
        }
    }

    #[test]
    fn a_time_lies_between_nothing_and_the_longest() {
        let longest = Duration::from_secs(30);
        assert_eq!(Fixed(0).up_to(longest), Duration::ZERO);
        assert_eq!(Fixed(1 << 63).up_to(longest), longest / 2);
        assert!(Fixed(u64::MAX).up_to(longest) <= longest);
        assert_ne!(SystemChance.bits(), SystemChance.bits());
    }
}
