//! The profiles: how the rate of requests goes up and down in a run, and what the requests are.
//!
//! `docs/loadtest.md` draws them. A profile says shares; how much and how long are the caller's.

use std::ops::RangeInclusive;

use anyhow::{Result, ensure};
use clap::ValueEnum;
use serde::Serialize;

use crate::chance::Chance;
use crate::journal::Sent;

/// What a run is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// The same rate all along; some codes are sent twice, some mistyped.
    Steady,
    /// From a tenth of the rate up to all of it at two fifths of the run, and down again, as a bell.
    MorningRush,
    /// Ten storms: a tenth of the rate, and all of it in the first quarter of each tenth of the run.
    SudoStorm,
    /// The same rate; four of five requests repeat a code, half of them while its first copy is on its way.
    ReplayAttack,
    /// The same rate; three of four requests are guesses from strange addresses, and the owners log in meanwhile.
    GuessingAttack,
    /// The same rate; from two fifths to three fifths of the run the verifier is gone.
    OutageAndReturn,
}

/// What the requests are meant to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Mix {
    /// Valid codes, in percent.
    pub valid: u8,
    /// Replays, in percent.
    pub replay: u8,
    /// Wrong codes, in percent.
    pub wrong: u8,
    /// Whether half of the replays are sent while the first copy of the code is still on its way.
    pub copies_at_once: bool,
    /// Whether wrong codes are guesses that come from strange addresses, without end; otherwise they are typing
    /// errors, so few in a row that the verifier lets nobody wait.
    pub strangers: bool,
}

impl Profile {
    /// The share of the rate at a moment of the run.
    ///
    /// * `moment`: 0 at the start, 1 at the end.
    pub fn share(self, moment: f64) -> f64 {
        match self {
            Self::Steady | Self::ReplayAttack | Self::GuessingAttack | Self::OutageAndReturn => 1.0,
            Self::MorningRush => {
                QUIET_SHARE + (1.0 - QUIET_SHARE) * (-((moment - RUSH_AT) / RUSH_WIDTH).powi(2)).exp()
            }
            Self::SudoStorm if (moment * STORMS).fract() < STORM_PART => 1.0,
            Self::SudoStorm => QUIET_SHARE,
        }
    }

    /// What the requests are.
    pub fn mix(self) -> Mix {
        let (valid, replay, wrong) = match self {
            Self::Steady => (80, 15, 5),
            Self::MorningRush => (90, 4, 6),
            Self::SudoStorm => (70, 28, 2),
            Self::ReplayAttack => (20, 80, 0),
            Self::GuessingAttack => (25, 0, 75),
            Self::OutageAndReturn => (90, 10, 0),
        };
        let copies_at_once = self == Self::ReplayAttack;
        Mix { valid, replay, wrong, copies_at_once, strangers: self == Self::GuessingAttack }
    }

    /// When the verifier is gone, from 0 at the start of the run to 1 at its end.
    pub fn outage(self) -> Option<RangeInclusive<f64>> {
        (self == Self::OutageAndReturn).then_some(0.4..=0.6)
    }
}

/// The share of the rate when little goes on.
const QUIET_SHARE: f64 = 0.1;

/// When the morning rush is at its height.
const RUSH_AT: f64 = 0.4;

/// How far from there it is down to 1/e.
const RUSH_WIDTH: f64 = 0.15;

/// How many storms there are in a run.
const STORMS: f64 = 10.0;

/// Which part of the time between two beginnings a storm lasts.
const STORM_PART: f64 = 0.25;

impl Mix {
    /// Typing errors and late copies beside valid codes.
    ///
    /// # Errors
    /// When nothing is left for valid codes.
    pub fn of(replay: u8, wrong: u8) -> Result<Self> {
        let others = replay.saturating_add(wrong);
        ensure!(others < 100, "--replay-percent and --wrong-percent leave nothing for valid codes");
        Ok(Self { valid: 100 - others, replay, wrong, copies_at_once: false, strangers: false })
    }

    /// What the next request is to be.
    pub fn draw(self, chance: &mut Chance) -> Sent {
        match chance.below(100) {
            drawn if drawn < self.valid.into() => Sent::Valid,
            drawn if drawn < u64::from(self.valid) + u64::from(self.replay) => Sent::Replay,
            _ => Sent::Wrong,
        }
    }

    /// The share of a kind, in percent.
    pub fn share(self, sent: Sent) -> u8 {
        match sent {
            Sent::Valid => self.valid,
            Sent::Replay => self.replay,
            Sent::Wrong => self.wrong,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mix_is_a_whole_and_every_share_is_above_zero_and_at_most_one() {
        for profile in Profile::value_variants() {
            let mix = profile.mix();
            assert_eq!(mix.valid + mix.replay + mix.wrong, 100, "{profile:?}");
            assert!(mix.valid > 0, "{profile:?}");
            for thousandth in 0..=1_000 {
                let share = profile.share(f64::from(thousandth) / 1_000.0);
                assert!(share > 0.0 && share <= 1.0, "{profile:?} at {thousandth}: {share}");
            }
        }
    }

    #[test]
    fn a_rush_has_one_height_and_storms_have_ten() {
        assert_eq!(Profile::MorningRush.share(0.4), 1.0);
        assert!(Profile::MorningRush.share(0.0) < 0.11);
        assert!(Profile::MorningRush.share(1.0) < 0.11);
        let storm = |tick: u32| Profile::SudoStorm.share(f64::from(tick) / 1_000.0) == 1.0;
        assert_eq!((1..1_000).filter(|tick| storm(*tick) && !storm(tick - 1)).count(), 9, "and one at 0");
        assert!(storm(0));
    }

    #[test]
    fn a_mix_leaves_something_for_valid_codes() {
        assert_eq!(Mix::of(30, 5).unwrap().valid, 65);
        assert!(Mix::of(90, 10).is_err());
    }

    #[test]
    fn draws_follow_the_mix() {
        let (mix, mut chance) = (Mix::of(30, 5).unwrap(), Chance::new(1, 1));
        let mut counts = [0_u32; 3];
        (0..100_000).for_each(|_| counts[mix.draw(&mut chance) as usize] += 1);
        for (count, expected) in counts.into_iter().zip([65_000, 30_000, 5_000]) {
            assert!(count.abs_diff(expected) < 800, "{counts:?}");
        }
    }
}
