//! NumPy's generators: what a node draws from a seed must be what the seed has always given.
//!
//! [`Pcg64`] is `numpy.random.default_rng(seed)`; [`LegacyMt19937`] is `RandomState(MT19937(SeedSequence(seed)))` with the legacy
//! distributions.

/// `numpy.random.SeedSequence` over one integer seed.
struct SeedSequence {
    pool: [u32; 4],
}

const MULTIPLY_A: u32 = 0x931e_8875;
const MULTIPLY_B: u32 = 0x58f3_8ded;

impl SeedSequence {
    fn new(seed: u64) -> Self {
        let mut constant = 0x43b0_d7e5_u32;
        let mut hash = |value: u32| {
            let mut value = value ^ constant;
            constant = constant.wrapping_mul(MULTIPLY_A);
            value = value.wrapping_mul(constant);
            value ^ (value >> 16)
        };
        let mix = |x: u32, y: u32| {
            let r = x.wrapping_mul(0xca01_f9dd).wrapping_sub(y.wrapping_mul(0x4973_f715));
            r ^ (r >> 16)
        };
        // A seed is entered as 32-bit words, least significant first; absent words are entered as zero.
        let words = [seed as u32, (seed >> 32) as u32, 0, 0];
        let mut pool = words.map(&mut hash);
        for source in 0..4 {
            for target in 0..4 {
                if source != target {
                    let hashed = hash(pool[source]);
                    pool[target] = mix(pool[target], hashed);
                }
            }
        }
        Self { pool }
    }

    fn words(&self, count: usize) -> Vec<u32> {
        let mut constant = 0x8b51_f9dd_u32;
        (0..count)
            .map(|i| {
                let mut value = self.pool[i % 4] ^ constant;
                constant = constant.wrapping_mul(MULTIPLY_B);
                value = value.wrapping_mul(constant);
                value ^ (value >> 16)
            })
            .collect()
    }
}

/// The PCG XSL RR 128/64 generator.
#[derive(Debug, Clone)]
pub struct Pcg64 {
    state: u128,
    increment: u128,
    spare: Option<u32>,
}

impl Pcg64 {
    /// `numpy.random.default_rng(seed)`.
    pub fn new(seed: u64) -> Self {
        let words = SeedSequence::new(seed).words(8);
        let word = |i: usize| u128::from(words[2 * i]) | u128::from(words[2 * i + 1]) << 32;
        let (start, sequence) = (word(0) << 64 | word(1), word(2) << 64 | word(3));
        let mut out = Self {
            state: 0,
            increment: sequence << 1 | 1,
            spare: None,
        };
        out.step();
        out.state = out.state.wrapping_add(start);
        out.step();
        out
    }

    fn step(&mut self) {
        const MULTIPLIER: u128 = 0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645;
        self.state = self.state.wrapping_mul(MULTIPLIER).wrapping_add(self.increment);
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.step();
        let folded = (self.state >> 64) as u64 ^ self.state as u64;
        folded.rotate_right((self.state >> 122) as u32)
    }

    fn next_u32(&mut self) -> u32 {
        if let Some(high) = self.spare.take() {
            return high;
        }
        let both = self.next_u64();
        self.spare = Some((both >> 32) as u32);
        both as u32
    }

    /// `Generator.integers(low, high)`: a number from `low` to before `high`, which must be above `low`.
    pub fn integer(&mut self, low: i64, high: i64) -> i64 {
        let span = high.wrapping_sub(low).wrapping_sub(1) as u64;
        let offset = if span == 0 {
            0
        } else if span < u64::from(u32::MAX) {
            u64::from(self.below_u32(span as u32))
        } else if span == u64::from(u32::MAX) {
            u64::from(self.next_u32())
        } else if span == u64::MAX {
            self.next_u64()
        } else {
            self.below_u64(span)
        };
        low.wrapping_add(offset as i64)
    }

    /// Lemire's method: 0..=`span`.
    fn below_u32(&mut self, span: u32) -> u32 {
        let count = span + 1;
        let mut product = u64::from(self.next_u32()) * u64::from(count);
        if (product as u32) < count {
            let threshold = (u32::MAX - span) % count;
            while (product as u32) < threshold {
                product = u64::from(self.next_u32()) * u64::from(count);
            }
        }
        (product >> 32) as u32
    }

    fn below_u64(&mut self, span: u64) -> u64 {
        let count = span + 1;
        let mut product = u128::from(self.next_u64()) * u128::from(count);
        if (product as u64) < count {
            let threshold = (u64::MAX - span) % count;
            while (product as u64) < threshold {
                product = u128::from(self.next_u64()) * u128::from(count);
            }
        }
        (product >> 64) as u64
    }
}

const LENGTH: usize = 624;

/// MT19937 with NumPy's legacy distributions.
#[derive(Debug, Clone)]
pub struct LegacyMt19937 {
    key: Vec<u32>,
    position: usize,
    spare: Option<f64>,
}

impl LegacyMt19937 {
    /// `numpy.random.RandomState(numpy.random.MT19937(numpy.random.SeedSequence(seed)))`.
    pub fn new(seed: u64) -> Self {
        let mut key = SeedSequence::new(seed).words(LENGTH);
        key[0] = 0x8000_0000;
        // NumPy leaves the position at the last word, so that word is given out before the first regeneration.
        Self {
            key,
            position: LENGTH - 1,
            spare: None,
        }
    }

    fn next_u32(&mut self) -> u32 {
        if self.position == LENGTH {
            for i in 0..LENGTH {
                let y = (self.key[i] & 0x8000_0000) | (self.key[(i + 1) % LENGTH] & 0x7fff_ffff);
                let twist = if y & 1 == 0 { 0 } else { 0x9908_b0df };
                self.key[i] = self.key[(i + 397) % LENGTH] ^ (y >> 1) ^ twist;
            }
            self.position = 0;
        }
        let mut y = self.key[self.position];
        self.position += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    /// A number in 0..1 with 53 random bits.
    pub fn uniform(&mut self) -> f64 {
        let a = self.next_u32() >> 5;
        let b = self.next_u32() >> 6;
        (f64::from(a) * 67_108_864.0 + f64::from(b)) / 9_007_199_254_740_992.0
    }

    /// A standard normal number, by the polar method.
    pub fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        loop {
            let x = 2.0 * self.uniform() - 1.0;
            let y = 2.0 * self.uniform() - 1.0;
            let r = x * x + y * y;
            if r < 1.0 && r != 0.0 {
                let f = (-2.0 * r.ln() / r).sqrt();
                self.spare = Some(f * x);
                return f * y;
            }
        }
    }
}
