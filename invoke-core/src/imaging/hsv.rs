//! Hue, saturation and value in bytes, as Pillow computes them.

/// RGB to HSV.
pub(super) fn from_rgb([r, g, b]: [u8; 3]) -> [u8; 3] {
    let max = r.max(g).max(b);
    let min = r.min(g).min(b);
    if max == min {
        return [0, 0, max];
    }
    let range = f32::from(max - min);
    let s = range / f32::from(max);
    let rc = f32::from(max - r) / range;
    let gc = f32::from(max - g) / range;
    let bc = f32::from(max - b) / range;
    let h = if r == max {
        bc - gc
    } else if g == max {
        (2.0 + f64::from(rc) - f64::from(bc)) as f32
    } else {
        (4.0 + f64::from(gc) - f64::from(rc)) as f32
    };
    let h = (f64::from(h) / 6.0 + 1.0).rem_euclid(1.0) as f32;
    [(f64::from(h) * 255.0) as u8, (f64::from(s) * 255.0) as u8, max]
}

/// HSV to RGB.
pub(super) fn to_rgb([h, s, v]: [u8; 3]) -> [u8; 3] {
    if s == 0 {
        return [v, v, v];
    }
    let h = f64::from(h) * 6.0 / 255.0;
    let sector = h.floor();
    let f = (h - sector) as f32;
    let fs = f32::from(s) / 255.0;
    let value = f64::from(v);
    let p = (value * (1.0 - f64::from(fs)) + 0.5) as u8;
    let q = (value * (1.0 - f64::from(fs * f)) + 0.5) as u8;
    let t = (value * (1.0 - f64::from(fs) * (1.0 - f64::from(f))) + 0.5) as u8;
    match sector as u32 % 6 {
        0 => [v, t, p],
        1 => [q, v, p],
        2 => [p, v, t],
        3 => [p, q, v],
        4 => [t, p, v],
        _ => [v, p, q],
    }
}
