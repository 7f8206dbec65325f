//! What tests of models of pictures have in common with the scripts that recorded for them.

/// The scripts' `noise`: numbers from -1 to 1, the same for the same name.
pub(crate) fn noise(name: &str, count: usize) -> Vec<f32> {
    let seed = name
        .bytes()
        .fold(2_166_136_261_u32, |h, byte| (h ^ u32::from(byte)).wrapping_mul(16_777_619));
    let number = |i: usize| {
        let mut h = seed.wrapping_add(i as u32);
        h = (h ^ (h >> 16)).wrapping_mul(0x7feb_352d);
        h = (h ^ (h >> 15)).wrapping_mul(0x846c_a68b);
        h ^= h >> 16;
        (h >> 8) as f32 / 8_388_608.0 - 1.0
    };
    (0..count).map(number).collect()
}
