//! numpy's `SeedSequence`: a pool of mixed entropy from which any number of seed words is drawn (after M. E. O'Neill's
//! `seed_seq_fe`).

const INIT_A: u32 = 0x43b0_d7e5;
const MULT_A: u32 = 0x931e_8875;
const INIT_B: u32 = 0x8b51_f9dd;
const MULT_B: u32 = 0x58f3_8ded;
const MIX_L: u32 = 0xca01_f9dd;
const MIX_R: u32 = 0x4973_f715;
const SHIFT: u32 = 16;

/// Mixed entropy. Equal inputs give equal words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeedSequence {
    pool: Vec<u32>,
}

impl SeedSequence {
    /// From one non-negative integer, with numpy's default pool of four words.
    pub fn new(entropy: u64) -> Self {
        Self::spawned(entropy, &[], 4)
    }

    /// From an integer and a spawn key (the path of a child among its parents' children). `pool_size` is at least 1.
    pub fn spawned(entropy: u64, spawn_key: &[u64], pool_size: usize) -> Self {
        let mut words = to_words(entropy);
        if !spawn_key.is_empty() {
            // Padding keeps a long entropy from colliding with a short one that has a spawn key.
            if words.len() < pool_size {
                words.resize(pool_size, 0);
            }
            words.extend(spawn_key.iter().flat_map(|&key| to_words(key)));
        }
        let mut constant = INIT_A;
        let mut hash = |value: u32| {
            let value = value ^ constant;
            constant = constant.wrapping_mul(MULT_A);
            let value = value.wrapping_mul(constant);
            value ^ (value >> SHIFT)
        };
        let mut pool: Vec<u32> = (0..pool_size).map(|i| hash(words.get(i).copied().unwrap_or(0))).collect();
        for source in 0..pool_size {
            for target in 0..pool_size {
                if source != target {
                    pool[target] = mix(pool[target], hash(pool[source]));
                }
            }
        }
        for &word in words.iter().skip(pool_size) {
            for slot in &mut pool {
                *slot = mix(*slot, hash(word));
            }
        }
        Self { pool }
    }

    /// `count` words of 32 bits.
    pub fn generate_state(&self, count: usize) -> Vec<u32> {
        let mut constant = INIT_B;
        let draw = |&value: &u32| {
            let value = value ^ constant;
            constant = constant.wrapping_mul(MULT_B);
            let value = value.wrapping_mul(constant);
            value ^ (value >> SHIFT)
        };
        self.pool.iter().cycle().take(count).map(draw).collect()
    }

    /// `count` words of 64 bits, each from two 32-bit words, the lower half first.
    pub fn generate_state_u64(&self, count: usize) -> Vec<u64> {
        self.generate_state(count * 2)
            .chunks_exact(2)
            .map(|pair| u64::from(pair[0]) | (u64::from(pair[1]) << 32))
            .collect()
    }
}

fn mix(x: u32, y: u32) -> u32 {
    let result = MIX_L.wrapping_mul(x).wrapping_sub(MIX_R.wrapping_mul(y));
    result ^ (result >> SHIFT)
}

/// Little-endian 32-bit words without leading zeros; zero is one word.
fn to_words(value: u64) -> Vec<u32> {
    let (low, high) = (value as u32, (value >> 32) as u32);
    if high == 0 { vec![low] } else { vec![low, high] }
}
