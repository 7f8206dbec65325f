//! numpy's `default_rng(seed)`: PCG-XSL-RR 128/64 (O'Neill, 2014) seeded through [`SeedSequence`].

use super::SeedSequence;

const MULTIPLIER: u128 = 0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645;

/// The generator behind `numpy.random.default_rng`.
#[derive(Debug, Clone)]
pub struct DefaultRng {
    state: u128,
    increment: u128,
    /// The upper half of the last 64 bits, when only the lower was asked for.
    half: Option<u32>,
}

impl DefaultRng {
    /// The stream of `numpy.random.default_rng(seed)`.
    pub fn new(seed: u64) -> Self {
        let words = SeedSequence::new(seed).generate_state_u64(4);
        let join = |high: u64, low: u64| (u128::from(high) << 64) | u128::from(low);
        let mut rng = Self {
            state: 0,
            increment: (join(words[2], words[3]) << 1) | 1,
            half: None,
        };
        rng.advance();
        rng.state = rng.state.wrapping_add(join(words[0], words[1]));
        rng.advance();
        rng
    }

    fn advance(&mut self) {
        self.state = self.state.wrapping_mul(MULTIPLIER).wrapping_add(self.increment);
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.advance();
        let folded = (self.state >> 64) as u64 ^ self.state as u64;
        folded.rotate_right((self.state >> 122) as u32)
    }

    /// The next 32 bits; two of them come from one 64-bit draw.
    pub fn next_u32(&mut self) -> u32 {
        if let Some(half) = self.half.take() {
            return half;
        }
        let word = self.next_u64();
        self.half = Some((word >> 32) as u32);
        word as u32
    }

    /// A number in `[0, 1)` with 53 bits (`Generator.random`).
    pub fn random(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / 9_007_199_254_740_992.0
    }

    /// A number in `low..high` (`Generator.integers`), unbiased by Lemire's method. `None` if the range is empty.
    pub fn integer(&mut self, low: i64, high: i64) -> Option<i64> {
        if low >= high {
            return None;
        }
        let largest = high.wrapping_sub(low).wrapping_sub(1) as u64;
        let offset = match largest {
            0 => 0,
            0xffff_ffff => u64::from(self.next_u32()),
            u64::MAX => self.next_u64(),
            _ if largest < 0xffff_ffff => u64::from(self.below_u32(largest as u32)),
            _ => self.below_u64(largest),
        };
        Some(low.wrapping_add(offset as i64))
    }

    fn below_u32(&mut self, largest: u32) -> u32 {
        let range = largest + 1;
        let mut product = u64::from(self.next_u32()) * u64::from(range);
        if (product as u32) < range {
            let threshold = (u32::MAX - largest) % range;
            while (product as u32) < threshold {
                product = u64::from(self.next_u32()) * u64::from(range);
            }
        }
        (product >> 32) as u32
    }

    fn below_u64(&mut self, largest: u64) -> u64 {
        let range = largest + 1;
        let mut product = u128::from(self.next_u64()) * u128::from(range);
        if (product as u64) < range {
            let threshold = (u64::MAX - largest) % range;
            while (product as u64) < threshold {
                product = u128::from(self.next_u64()) * u128::from(range);
            }
        }
        (product >> 64) as u64
    }
}
