//! Chance that can be played again: the same seed makes the same choices.
//!
//! For mixes and wrong codes; secrets and request ids never come from here. Source: SplitMix64 (Steele, Lea and
//! Flood, "Fast splittable pseudorandom number generators", 2014).

/// A row of numbers that looks random.
#[derive(Clone, Debug)]
pub struct Chance {
    state: u64,
}

impl Chance {
    /// The row of `seed`; each `stream` of a seed has its own.
    pub fn new(seed: u64, stream: u64) -> Self {
        Self { state: seed.wrapping_add(Self { state: stream }.draw()) }
    }

    /// The next number below `limit`, which is not zero. The bias, `limit / 2^64`, is far below what a load
    /// can show.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.draw() % limit
    }

    /// The next number above zero, up to one: 53 random bits, as many as an `f64` holds.
    pub fn fraction(&mut self) -> f64 {
        ((self.draw() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// The next wait of a process that has one arrival in a unit of time on average (exponential distribution).
    pub fn wait(&mut self) -> f64 {
        -self.fraction().ln()
    }

    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_choices_and_another_stream_others() {
        let row = |seed, stream| {
            let mut chance = Chance::new(seed, stream);
            (0..8).map(|_| chance.below(1_000_000)).collect::<Vec<_>>()
        };
        assert_eq!(row(7, 1), row(7, 1));
        assert_ne!(row(7, 1), row(7, 2));
        assert_ne!(row(7, 1), row(8, 1));
    }

    #[test]
    fn waits_have_the_mean_and_the_spread_of_poisson_arrivals() {
        let mut chance = Chance::new(7, 1);
        let waits: Vec<f64> = (0..100_000).map(|_| chance.wait()).collect();
        let mean = waits.iter().sum::<f64>() / 1e5;
        let variance = waits.iter().map(|wait| (wait - mean).powi(2)).sum::<f64>() / 1e5;
        let longer = waits.iter().filter(|wait| **wait > 1.0).count();
        assert!((mean - 1.0).abs() < 0.02, "{mean}");
        assert!((variance - 1.0).abs() < 0.05, "{variance}");
        // 1/e of all.
        assert!(longer.abs_diff(36_788) < 800, "{longer}");
        assert!(waits.iter().all(|wait| wait.is_finite() && *wait >= 0.0));
    }

    #[test]
    fn the_first_numbers_are_those_of_splitmix64() {
        // The reference implementation with seed 0.
        let mut chance = Chance { state: 0 };
        assert_eq!([chance.draw(), chance.draw()], [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]);
    }
}
