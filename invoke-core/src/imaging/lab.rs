//! CIELAB in bytes, as LittleCMS computes it for Pillow: between sRGB and Lab through a lattice of 16-bit colours with tetrahedral
//! interpolation. The lattice shows: near the edge of the gamut a result lies up to forty levels from the exact formula's, so it is
//! rebuilt here, node by node. Against Pillow with LittleCMS 2.16 and later, results differ by at most one level.

use std::sync::OnceLock;

/// How fine the lattice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabPrecision {
    /// 33 nodes an axis: LittleCMS's default, and Pillow's `convert`.
    Default,
    /// 49 nodes an axis: LittleCMS's high-resolution setting.
    High,
}

impl LabPrecision {
    const fn nodes(self) -> usize {
        match self {
            Self::Default => 33,
            Self::High => 49,
        }
    }
}

/// The white point that Lab is relative to (D50), as ICC profiles write it.
const D50: [f64; 3] = [0.9642, 1.0, 0.8249];

struct Matrices {
    to_xyz: [[f64; 3]; 3],
    from_xyz: [[f64; 3]; 3],
}

/// sRGB's primaries, adapted from D65 to D50 by Bradford's transform.
fn matrices() -> &'static Matrices {
    static MATRICES: OnceLock<Matrices> = OnceLock::new();
    MATRICES.get_or_init(|| {
        let xyz = |x: f64, y: f64| [x / y, 1.0, (1.0 - x - y) / y];
        let primaries = transpose([xyz(0.64, 0.33), xyz(0.30, 0.60), xyz(0.15, 0.06)]);
        let d65 = xyz(0.3127, 0.3290);
        let scale = apply(&invert(&primaries), d65);
        let mut unadapted = primaries;
        for row in &mut unadapted {
            for (v, s) in row.iter_mut().zip(scale) {
                *v *= s;
            }
        }
        let cone = [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]];
        let from = apply(&cone, d65);
        let to = apply(&cone, D50);
        let mut scaled = cone;
        for (row, (t, f)) in scaled.iter_mut().zip(to.into_iter().zip(from)) {
            for v in row {
                *v *= t / f;
            }
        }
        let to_xyz = multiply(&multiply(&invert(&cone), &scaled), &unadapted);
        Matrices {
            to_xyz,
            from_xyz: invert(&to_xyz),
        }
    })
}

fn transpose(m: [[f64; 3]; 3]) -> [[f64; 3]; 3] {
    std::array::from_fn(|r| std::array::from_fn(|c| m[c][r]))
}

fn multiply(a: &[[f64; 3]; 3], b: &[[f64; 3]; 3]) -> [[f64; 3]; 3] {
    std::array::from_fn(|r| std::array::from_fn(|c| (0..3).map(|k| a[r][k] * b[k][c]).sum()))
}

fn apply(m: &[[f64; 3]; 3], v: [f64; 3]) -> [f64; 3] {
    std::array::from_fn(|r| (0..3).map(|k| m[r][k] * v[k]).sum())
}

fn invert(m: &[[f64; 3]; 3]) -> [[f64; 3]; 3] {
    let minor = |r: usize, c: usize| {
        let (r1, r2) = ((r + 1) % 3, (r + 2) % 3);
        let (c1, c2) = ((c + 1) % 3, (c + 2) % 3);
        m[r1][c1] * m[r2][c2] - m[r1][c2] * m[r2][c1]
    };
    let det = (0..3).map(|c| m[0][c] * minor(0, c)).sum::<f64>();
    std::array::from_fn(|r| std::array::from_fn(|c| minor(c, r) / det))
}

fn to_linear(v: f64) -> f64 {
    if v >= 0.04045 { ((v + 0.055) / 1.055).powf(2.4) } else { v / 12.92 }
}

fn to_gamma(v: f64) -> f64 {
    if v > 0.04045 / 12.92 {
        1.055 * v.powf(1.0 / 2.4) - 0.055
    } else {
        v * 12.92
    }
}

const EPSILON: f64 = 24.0 / 116.0;

fn lab_f(t: f64) -> f64 {
    if t <= EPSILON * EPSILON * EPSILON {
        (841.0 / 108.0) * t + 16.0 / 116.0
    } else {
        t.cbrt()
    }
}

fn lab_f_inverse(t: f64) -> f64 {
    if t <= EPSILON {
        (108.0 / 841.0) * (t - 16.0 / 116.0)
    } else {
        t * t * t
    }
}

/// sRGB in 0..=1 to Lab with every coordinate scaled to 0..=1.
fn lab_of(rgb: [f64; 3]) -> [f64; 3] {
    let xyz = apply(&matrices().to_xyz, rgb.map(to_linear));
    let [x, y, z] = [0, 1, 2].map(|i| lab_f(xyz[i] / D50[i]));
    [
        (116.0 * y - 16.0) / 100.0,
        (500.0 * (x - y) + 128.0) / 255.0,
        (200.0 * (y - z) + 128.0) / 255.0,
    ]
}

/// The inverse of [`lab_of`]; colours outside sRGB leave 0..=1.
fn rgb_of(lab: [f64; 3]) -> [f64; 3] {
    let y = (lab[0] * 100.0 + 16.0) / 116.0;
    let x = y + (lab[1] * 255.0 - 128.0) / 500.0;
    let z = y - (lab[2] * 255.0 - 128.0) / 200.0;
    let xyz = [lab_f_inverse(x) * D50[0], lab_f_inverse(y) * D50[1], lab_f_inverse(z) * D50[2]];
    apply(&matrices().from_xyz, xyz).map(to_gamma)
}

/// A cube of colours, `nodes` an axis, 16 bits a sample.
struct Lattice {
    nodes: usize,
    table: Vec<[u16; 3]>,
}

impl Lattice {
    fn sample(nodes: usize, f: impl Fn([f64; 3]) -> [f64; 3]) -> Self {
        let mut table = Vec::with_capacity(nodes * nodes * nodes);
        // LittleCMS places nodes on 16-bit inputs, so their positions are rounded too.
        let at = |i: usize| ((i as f64 * 65535.0) / (nodes - 1) as f64 + 0.5).floor() / 65535.0;
        for a in 0..nodes {
            for b in 0..nodes {
                for c in 0..nodes {
                    table.push(f([at(a), at(b), at(c)]).map(|v| (v * 65535.0 + 0.5).floor().clamp(0.0, 65535.0) as u16));
                }
            }
        }
        Self { nodes, table }
    }

    /// The colour at 8-bit coordinates, tetrahedrally interpolated.
    fn at(&self, input: [u8; 3]) -> [u8; 3] {
        let domain = (self.nodes - 1) as i32;
        let mut base = [0usize; 3];
        let mut step = [0usize; 3];
        let mut rest = [0i32; 3];
        let strides = [self.nodes * self.nodes, self.nodes, 1];
        for i in 0..3 {
            let scaled = i32::from(input[i]) * 257 * domain;
            let fixed = scaled + (scaled + 0x7fff) / 0xffff;
            base[i] = (fixed >> 16) as usize * strides[i];
            rest[i] = fixed & 0xffff;
            step[i] = if input[i] == 255 { 0 } else { strides[i] };
        }
        let origin = base[0] + base[1] + base[2];
        // From the near to the far corner of the cell along its edges, the axis with the largest remainder first.
        let mut order = [0usize, 1, 2];
        order.sort_by(|a, b| rest[*b].cmp(&rest[*a]));
        let mut corner = origin;
        let mut previous = self.table[origin].map(i32::from);
        let first = previous;
        let mut sums = [0x8001i32; 3];
        for axis in order {
            corner += step[axis];
            let next = self.table[corner].map(i32::from);
            for i in 0..3 {
                sums[i] = sums[i].wrapping_add((next[i] - previous[i]).wrapping_mul(rest[axis]));
            }
            previous = next;
        }
        std::array::from_fn(|i| {
            let value = (first[i] + (sums[i].wrapping_add(sums[i] >> 16) >> 16)) as u16;
            ((u32::from(value) * 65281 + 8388608) >> 24) as u8
        })
    }
}

fn forward(precision: LabPrecision) -> &'static Lattice {
    static LATTICES: [OnceLock<Lattice>; 2] = [OnceLock::new(), OnceLock::new()];
    LATTICES[precision as usize].get_or_init(|| Lattice::sample(precision.nodes(), lab_of))
}

fn backward(precision: LabPrecision) -> &'static Lattice {
    static LATTICES: [OnceLock<Lattice>; 2] = [OnceLock::new(), OnceLock::new()];
    LATTICES[precision as usize].get_or_init(|| Lattice::sample(precision.nodes(), rgb_of))
}

/// A function from sRGB bytes to Lab bytes.
pub(super) fn from_rgb(precision: LabPrecision) -> impl Fn([u8; 3]) -> [u8; 3] + Sync {
    let lattice = forward(precision);
    move |rgb| lattice.at(rgb)
}

/// A function from Lab bytes to sRGB bytes.
pub(super) fn to_rgb(precision: LabPrecision) -> impl Fn([u8; 3]) -> [u8; 3] + Sync {
    let lattice = backward(precision);
    move |lab| lattice.at(lab)
}
