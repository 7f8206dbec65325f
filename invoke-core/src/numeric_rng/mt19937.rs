//! The Mersenne Twister (Matsumoto and Nishimura, 1998), 32-bit words.

const N: usize = 624;
const M: usize = 397;
const UPPER: u32 = 0x8000_0000;
const LOWER: u32 = 0x7fff_ffff;

/// MT19937 with its whole state; cloning it forks the stream.
#[derive(Clone)]
pub struct Mt19937 {
    key: Box<[u32; N]>,
    position: usize,
}

impl std::fmt::Debug for Mt19937 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mt19937").field("position", &self.position).finish_non_exhaustive()
    }
}

impl Mt19937 {
    /// Knuth's initialisation from one word (`init_genrand`), as torch's CPU generator and C++'s `std::mt19937` use it.
    pub fn from_word(seed: u32) -> Self {
        let mut key = Box::new([0; N]);
        key[0] = seed;
        for i in 1..N {
            let last = key[i - 1];
            key[i] = 1_812_433_253_u32.wrapping_mul(last ^ (last >> 30)).wrapping_add(i as u32);
        }
        Self { key, position: N }
    }

    /// numpy's `MT19937(SeedSequence(...))`: the state itself comes from the sequence, its first word fixed so that it is never
    /// all zero, and the stream begins at the state's last word.
    pub fn from_sequence(sequence: &super::SeedSequence) -> Self {
        let words = sequence.generate_state(N);
        let mut key = Box::new([0; N]);
        key.copy_from_slice(&words);
        key[0] = UPPER;
        Self { key, position: N - 1 }
    }

    /// The next 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        if self.position == N {
            self.twist();
        }
        let mut y = self.key[self.position];
        self.position += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    fn twist(&mut self) {
        for i in 0..N {
            let y = (self.key[i] & UPPER) | (self.key[(i + 1) % N] & LOWER);
            let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
            self.key[i] = self.key[(i + M) % N] ^ (y >> 1) ^ odd;
        }
        self.position = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_check_value() {
        // The C++ standard (rand.predef) names the 10,000th output of the default seed 5489.
        let mut rng = Mt19937::from_word(5489);
        let last = (0..10_000).map(|_| rng.next_u32()).last();
        assert_eq!(last, Some(4_123_659_995));
    }
}
