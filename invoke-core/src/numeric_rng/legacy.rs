//! numpy's `RandomState(MT19937(SeedSequence(seed)))`: the frozen distributions of old on a new seeding.

use super::{Mt19937, SeedSequence};

/// The generator behind `numpy.random.RandomState`.
#[derive(Debug, Clone)]
pub struct RandomState {
    bits: Mt19937,
    spare: Option<f64>,
}

impl RandomState {
    /// The stream of `RandomState(MT19937(SeedSequence(seed)))`.
    pub fn from_sequence(seed: u64) -> Self {
        Self {
            bits: Mt19937::from_sequence(&SeedSequence::new(seed)),
            spare: None,
        }
    }

    /// A number in `[0, 1)` with 53 bits (`random_sample`). `choice` with probabilities is this, looked up in the cumulated sum.
    pub fn random(&mut self) -> f64 {
        let high = f64::from(self.bits.next_u32() >> 5);
        let low = f64::from(self.bits.next_u32() >> 6);
        (high * 67_108_864.0 + low) / 9_007_199_254_740_992.0
    }

    /// A standard normal number by Marsaglia's polar method; every second one was made together with the first.
    pub fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        loop {
            let x = 2.0 * self.random() - 1.0;
            let y = 2.0 * self.random() - 1.0;
            let square = x * x + y * y;
            if square < 1.0 && square != 0.0 {
                let factor = (-2.0 * square.ln() / square).sqrt();
                self.spare = Some(factor * x);
                return factor * y;
            }
        }
    }
}
