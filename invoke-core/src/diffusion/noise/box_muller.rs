//! The normal transform of torch's vectorised CPU path, to the last bit.
//!
//! Torch turns blocks of sixteen uniform numbers into sixteen normal ones with single-precision logarithm, sine and cosine after
//! Moshier's Cephes library, and its compiler fuses most of their multiplications and additions. Both the polynomials and the
//! places where a rounding is skipped are therefore part of what a seed means. `mul_add` below stands exactly where torch's
//! build fuses; a plain `a * b + c` stands where it does not.

/// Numbers that are transformed together.
pub(super) const BLOCK: usize = 16;

/// Transforms uniform numbers in `[0, 1)` into standard normal ones, in place: number `j` and number `j + 8` make a pair.
pub(super) fn transform(block: &mut [f32; BLOCK]) {
    let (first, second) = block.split_at_mut(BLOCK / 2);
    for (a, b) in first.iter_mut().zip(second) {
        let radius = (-2.0 * ln(1.0 - *a)).sqrt();
        let (sin, cos) = sin_cos(std::f32::consts::TAU * *b);
        // Adding zero turns a negative zero into a positive one, as scaling by a mean of zero does.
        *a = radius * cos + 0.0;
        *b = radius * sin + 0.0;
    }
}

/// Natural logarithm of a positive, normal number.
fn ln(x: f32) -> f32 {
    const COEFFICIENTS: [f32; 9] = [
        0.070_376_836,
        -0.115_146_1,
        0.116_769_984,
        -0.124_201_41,
        0.142_493_23,
        -0.166_680_57,
        0.200_007_14,
        -0.249_999_94,
        0.333_333_3,
    ];
    let bits = x.to_bits();
    let mut exponent = ((bits >> 23) as i32 - 0x7f) as f32 + 1.0;
    let mut m = f32::from_bits((bits & !0x7f80_0000) | 0x3f00_0000);
    // Keep the mantissa within sqrt(1/2)..sqrt(2), where the polynomial holds.
    if m < std::f32::consts::FRAC_1_SQRT_2 {
        exponent -= 1.0;
        m = (m - 1.0) + m;
    } else {
        m -= 1.0;
    }
    let z = m * m;
    let polynomial = COEFFICIENTS[1..].iter().fold(COEFFICIENTS[0], |y, &c| y.mul_add(m, c)) * m;
    let y = polynomial.mul_add(z, exponent * -2.121_944_4e-4);
    let y = z.mul_add(-0.5, y);
    exponent.mul_add(0.693_359_4, m + y)
}

/// Sine and cosine of a non-negative number below 8192.
fn sin_cos(x: f32) -> (f32, f32) {
    let octant = ((x * 1.273_239_5) as i32 + 1) & !1;
    let y = octant as f32;
    // Subtract octant * π/4 in three parts, so that little is lost.
    let x = y.mul_add(-0.785_156_25, x);
    let x = y.mul_add(-2.418_756_5e-4, x);
    let x = y.mul_add(-3.774_895e-8, x);
    let z = x * x;

    let c = 2.443_315_7e-5_f32.mul_add(z, -1.388_731_6e-3);
    let c = c.mul_add(z, 4.166_664_6e-2) * z;
    let c = c.mul_add(z, -(z * 0.5)) + 1.0;

    let s = (-1.951_529_6e-4_f32).mul_add(z, 8.332_161e-3);
    let s = s.mul_add(z, -0.166_666_55) * z;
    let s = s.mul_add(x, x);

    let (s, c) = if octant & 2 == 0 { (s, c) } else { (c, s) };
    let sin = if octant & 4 == 0 { s } else { -s };
    let cos = if !(octant - 2) & 4 == 0 { c } else { -c };
    (sin, cos)
}
