//! Pseudo-random generators that repeat, draw for draw, what numpy and torch give for a seed.
//!
//! A seed in a workflow must give the picture that it gives elsewhere, so the streams are part of the contract. Nothing here is
//! fit for secrets, and nothing here takes chance from the machine.

mod legacy;
mod mt19937;
mod pcg64;
mod seed_sequence;

pub use legacy::RandomState;
pub use mt19937::Mt19937;
pub use pcg64::DefaultRng;
pub use seed_sequence::SeedSequence;

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "the streams are the same to the last bit")]
mod tests {
    //! Recorded with numpy 1.26.

    use super::*;

    #[test]
    fn seed_sequences() {
        let child = SeedSequence::spawned(7, &[3, 2], 24);
        assert_eq!(child.generate_state(4), [136_233_753, 1_309_325_778, 1_961_886_070, 2_005_581_940]);
        assert_eq!(
            SeedSequence::new(1 << 40).generate_state(3),
            [1_156_586_168, 3_687_319_657, 379_171_754]
        );
    }

    #[test]
    fn default_rng() {
        let mut rng = DefaultRng::new(123);
        assert_eq!([rng.random(), rng.random()], [0.682_351_863_248_143_5, 0.053_821_018_802_222_675]);
        let mut draw = |low, high, count: usize| (0..count).map(|_| rng.integer(low, high)).collect::<Option<Vec<_>>>();
        assert_eq!(draw(0, 10, 5), Some(vec![9, 2, 2, 1, 3]));
        assert_eq!(
            draw(-5, 1 << 40, 3),
            Some(vec![892_907_352_920, 1_015_228_561_779, 304_096_766_319])
        );
        assert_eq!(draw(0, 1 << 32, 2), Some(vec![755_510_092, 3_387_705_612]));
        assert_eq!(draw(0, 2_147_483_647, 2), Some(vec![1_760_409_515, 1_850_933_495]));
        assert_eq!(draw(3, 3, 1), None);
    }

    #[test]
    fn random_state_on_a_sequence() {
        let mut rng = RandomState::from_sequence(42);
        assert_eq!(
            [rng.normal(), rng.normal(), rng.normal()],
            [2.2103516749809002, 0.7756616842383082, 0.3465307886834081]
        );
        assert_eq!([rng.random(), rng.random()], [0.6819333453566753, 0.6752725309141266]);
    }
}
