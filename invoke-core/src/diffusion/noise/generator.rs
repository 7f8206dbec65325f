//! `torch.Generator("cpu")`.

use super::box_muller::{BLOCK, transform};
use crate::numeric_rng::Mt19937;

/// Torch's CPU generator: its state runs on over calls of any kind.
#[derive(Debug, Clone)]
pub struct TorchGenerator {
    bits: Mt19937,
    /// The second number of the last double-precision pair.
    spare: Option<f64>,
}

impl TorchGenerator {
    /// As `manual_seed`. Only the low 32 bits reach the twister.
    pub fn new(seed: u64) -> Self {
        Self {
            bits: Mt19937::from_word(seed as u32),
            spare: None,
        }
    }

    /// The generator of a denoising run's steps: InvokeAI flips the low 32 bits of the seed, so that the noise of the steps is
    /// not the initial noise again.
    pub fn for_steps(seed: u64) -> Self {
        Self::new(seed ^ 0xffff_ffff)
    }

    fn next_u64(&mut self) -> u64 {
        let high = u64::from(self.bits.next_u32());
        (high << 32) | u64::from(self.bits.next_u32())
    }

    /// A number in `[0, 1)` with 24 bits.
    fn uniform(&mut self) -> f32 {
        (self.bits.next_u32() & 0x00ff_ffff) as f32 / 16_777_216.0
    }

    /// A number in `[0, 1)` with 53 bits.
    fn uniform_f64(&mut self) -> f64 {
        (self.next_u64() & ((1 << 53) - 1)) as f64 / 9_007_199_254_740_992.0
    }

    /// `torch.rand(count)`: numbers in `[0, 1)`.
    pub fn rand(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.uniform()).collect()
    }

    /// `torch.randn(count)` in f32.
    ///
    /// Sixteen numbers and more go through single precision in blocks of sixteen; a last, partial block overlaps the one before
    /// and is drawn anew. Fewer go through double precision in pairs.
    pub fn randn(&mut self, count: usize) -> Vec<f32> {
        if count < BLOCK {
            return (0..count).map(|_| self.normal() as f32).collect();
        }
        let mut values = self.rand(count);
        for block in values.as_chunks_mut::<BLOCK>().0 {
            transform(block);
        }
        if !count.is_multiple_of(BLOCK) {
            let last = values.last_chunk_mut::<BLOCK>().expect("there are at least sixteen values");
            for value in last.iter_mut() {
                *value = self.uniform();
            }
            transform(last);
        }
        values
    }

    fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let angle = std::f64::consts::TAU * self.uniform_f64();
        let radius = (-2.0 * (-self.uniform_f64()).ln_1p()).sqrt();
        self.spare = Some(radius * angle.sin());
        radius * angle.cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(values: &[f32]) -> u64 {
        values.iter().fold(0xcbf2_9ce4_8422_2325, |h, v| {
            (h ^ u64::from(v.to_bits())).wrapping_mul(0x0100_0000_01b3)
        })
    }

    /// Recorded with torch 2.15 (AVX2 dispatch): `torch.randn(n, generator=torch.Generator().manual_seed(seed))`.
    #[test]
    fn randn_equals_torch_to_the_last_bit() {
        assert_eq!(fingerprint(&TorchGenerator::new(42).randn(65_536)), 0x5131_cfac_4932_9643);
        // Not a multiple of sixteen: the last block is drawn anew.
        assert_eq!(
            fingerprint(&TorchGenerator::new(698_760_390).randn(1_000_003)),
            0x20bb_7e05_5619_7115
        );
    }

    #[test]
    fn first_numbers_of_well_known_seeds() {
        let start = TorchGenerator::new(42).randn(4 * 64 * 64);
        assert_eq!(
            start[..6],
            [1.926_915_3, 1.487_284_1, 0.900_717_2, -2.105_521, 0.678_418_46, -1.234_544_9]
        );
        assert_eq!(TorchGenerator::new(0).randn(64)[..3], [-1.125_839_8, -1.152_360_2, -0.250_578_58]);
        assert_eq!(
            TorchGenerator::new(42).randn(20)[16..],
            [-0.309_726_77, -0.395_710_5, 0.803_409_34, -0.621_595_4]
        );
        assert_eq!(
            TorchGenerator::new(42).rand(4),
            [0.882_269_26, 0.915_003_96, 0.382_863_76, 0.959_305_64]
        );
    }

    #[test]
    fn one_state_runs_through_calls_of_all_kinds() {
        let mut rng = TorchGenerator::new(5);
        assert_eq!(rng.randn(3), [-0.486_780_76, -0.603_821_6, -0.558_096_23]);
        assert_eq!(rng.randn(20)[..2], [0.258_251_64, -1.883_326_3]);
        assert_eq!(rng.randn(2), [0.667_524_3, 0.901_448_67]);
        assert_eq!(rng.rand(2), [0.856_369, 0.374_142_65]);
    }

    #[test]
    fn only_the_low_half_of_the_seed_counts() {
        assert_eq!(TorchGenerator::new(7).randn(32), TorchGenerator::new(7 | (1 << 40)).randn(32));
        assert_eq!(
            TorchGenerator::for_steps(7).randn(32),
            TorchGenerator::new(7 ^ 0xffff_ffff).randn(32)
        );
    }
}
