//! OpenCV's 8-bit `BGR2YUV` and `YUV2BGR`, in 14-bit fixed point.

const SHIFT: i32 = 14;
const HALF: i32 = 1 << (SHIFT - 1);

fn clip(v: i32) -> u8 {
    v.clamp(0, 255) as u8
}

/// Red, green and blue to luma and two colour differences.
pub fn from_rgb([r, g, b]: [u8; 3]) -> [u8; 3] {
    let (r, g, b) = (i32::from(r), i32::from(g), i32::from(b));
    let y = (b * 1868 + g * 9617 + r * 4899 + HALF) >> SHIFT;
    let centre = 128 << SHIFT;
    [
        clip(y),
        clip(((b - y) * 8061 + centre + HALF) >> SHIFT),
        clip(((r - y) * 14369 + centre + HALF) >> SHIFT),
    ]
}

/// Luma and two colour differences to red, green and blue.
pub fn to_rgb([y, u, v]: [u8; 3]) -> [u8; 3] {
    let (y, u, v) = (i32::from(y), i32::from(u) - 128, i32::from(v) - 128);
    let b = y + ((u * 33292 + HALF) >> SHIFT);
    let g = y + ((u * -6472 + v * -9519 + HALF) >> SHIFT);
    let r = y + ((v * 18678 + HALF) >> SHIFT);
    [clip(r), clip(g), clip(b)]
}
