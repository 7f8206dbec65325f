//! Filling holes with patches from the rest of the picture: PatchMatch (Barnes et al., 2009) on a pyramid, with the votes of all
//! overlapping patches (Wexler et al., 2007). The same picture and hole always give the same result.

use super::{Mode, Picture};

/// Pixels to each side of a patch's centre.
const RADIUS: i64 = 2;
/// The pyramid ends where a side is this short.
const COARSEST: usize = 12;
/// Sweeps of the search between two votes.
const SWEEPS: usize = 3;

/// A small generator (xorshift64*): the search needs scattered numbers, not secret ones.
struct Scatter(u64);

impl Scatter {
    /// A number from `low` to `high`, both included.
    fn between(&mut self, low: i64, high: i64) -> i64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let value = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        low + (value % (high - low + 1).max(1) as u64) as i64
    }
}

/// The pixels of a patch around (`x`, `y`).
fn patch(x: i64, y: i64) -> impl Iterator<Item = (i64, i64)> {
    (y - RADIUS..=y + RADIUS).flat_map(move |y| (x - RADIUS..=x + RADIUS).map(move |x| (x, y)))
}

/// One level of the pyramid.
struct Level {
    width: usize,
    height: usize,
    colours: Vec<[f32; 3]>,
    hole: Vec<bool>,
}

impl Level {
    fn half(&self) -> Self {
        let (width, height) = (self.width / 2, self.height / 2);
        let mut colours = Vec::with_capacity(width * height);
        let mut hole = Vec::with_capacity(width * height);
        for y in 0..height {
            for x in 0..width {
                let four = [0, 1]
                    .into_iter()
                    .flat_map(|dy| [0, 1].map(|dx| (2 * y + dy) * self.width + 2 * x + dx));
                let known: Vec<usize> = four.filter(|at| !self.hole[*at]).collect();
                let mut sum = [0.0; 3];
                for at in &known {
                    for (s, c) in sum.iter_mut().zip(self.colours[*at]) {
                        *s += c;
                    }
                }
                colours.push(sum.map(|s| s / known.len().max(1) as f32));
                hole.push(known.is_empty());
            }
        }
        Self {
            width,
            height,
            colours,
            hole,
        }
    }

    /// Whether a patch around (`x`, `y`) lies inside and is known in full.
    fn is_source(&self, x: i64, y: i64) -> bool {
        let inside = x >= RADIUS && y >= RADIUS && x + RADIUS < self.width as i64 && y + RADIUS < self.height as i64;
        inside && patch(x, y).all(|(x, y)| !self.hole[y as usize * self.width + x as usize])
    }

    /// Fills the hole ring by ring with the mean of what is known around, for a start.
    fn flood(&mut self) {
        let mut open: Vec<usize> = (0..self.hole.len()).filter(|at| self.hole[*at]).collect();
        let mut known: Vec<bool> = self.hole.iter().map(|hole| !hole).collect();
        while !open.is_empty() {
            let mut ring = Vec::new();
            for at in &open {
                let (x, y) = ((at % self.width) as i64, (at / self.width) as i64);
                let (mut sum, mut count) = ([0.0; 3], 0.0);
                for (dx, dy) in [(-1, 0), (1, 0), (0, -1), (0, 1)] {
                    let (nx, ny) = (x + dx, y + dy);
                    if nx < 0 || ny < 0 || nx >= self.width as i64 || ny >= self.height as i64 {
                        continue;
                    }
                    let there = ny as usize * self.width + nx as usize;
                    if known[there] {
                        count += 1.0;
                        for (s, c) in sum.iter_mut().zip(self.colours[there]) {
                            *s += c;
                        }
                    }
                }
                if count > 0.0 {
                    ring.push((*at, sum.map(|s| s / count)));
                }
            }
            if ring.is_empty() {
                return;
            }
            for (at, colour) in ring {
                self.colours[at] = colour;
                known[at] = true;
            }
            open.retain(|at| !known[*at]);
        }
    }
}

/// Where each patch that touches the hole takes its colours from.
struct Field {
    targets: Vec<(i64, i64)>,
    /// Index of the target at a pixel, if it is one.
    index: Vec<u32>,
    from: Vec<(i64, i64)>,
    distance: Vec<f32>,
}

const NONE: u32 = u32::MAX;

impl Field {
    fn new(level: &Level, sources: &[bool], scatter: &mut Scatter, coarser: Option<(&Self, usize)>) -> Self {
        let mut out = Self {
            targets: Vec::new(),
            index: vec![NONE; level.hole.len()],
            from: Vec::new(),
            distance: Vec::new(),
        };
        let pool: Vec<(i64, i64)> = (0..sources.len())
            .filter(|at| sources[*at])
            .map(|at| ((at % level.width) as i64, (at / level.width) as i64))
            .collect();
        for y in 0..level.height as i64 {
            for x in 0..level.width as i64 {
                let touches = patch(x, y).any(|(x, y)| {
                    let inside = x >= 0 && y >= 0 && x < level.width as i64 && y < level.height as i64;
                    inside && level.hole[y as usize * level.width + x as usize]
                });
                if !touches {
                    continue;
                }
                let upscaled = coarser.and_then(|(field, width)| {
                    let at = (y / 2) as usize * width + (x / 2) as usize;
                    let target = *field.index.get(at).filter(|i| (x / 2) < width as i64 && **i != NONE)?;
                    let (fx, fy) = field.from[target as usize];
                    Some((fx * 2 + x % 2, fy * 2 + y % 2))
                });
                let usable = |(x, y): &(i64, i64)| {
                    *x < level.width as i64 && *y < level.height as i64 && sources[*y as usize * level.width + *x as usize]
                };
                let start = upscaled
                    .filter(usable)
                    .unwrap_or_else(|| pool[scatter.between(0, pool.len() as i64 - 1) as usize]);
                out.index[y as usize * level.width + x as usize] = out.targets.len() as u32;
                out.targets.push((x, y));
                out.from.push(start);
            }
        }
        out.distance = vec![f32::MAX; out.targets.len()];
        out
    }

    /// Mean squared difference between the patch at a target and the one at a source, given up once it exceeds `limit`.
    fn compare(level: &Level, target: (i64, i64), source: (i64, i64), limit: f32) -> f32 {
        let (mut sum, mut count) = (0.0f32, 0.0f32);
        let most = limit * ((2 * RADIUS + 1) * (2 * RADIUS + 1)) as f32;
        for dy in -RADIUS..=RADIUS {
            let y = target.1 + dy;
            if y < 0 || y >= level.height as i64 {
                continue;
            }
            for dx in -RADIUS..=RADIUS {
                let x = target.0 + dx;
                if x < 0 || x >= level.width as i64 {
                    continue;
                }
                let a = level.colours[y as usize * level.width + x as usize];
                let b = level.colours[(source.1 + dy) as usize * level.width + (source.0 + dx) as usize];
                sum += (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2) + (a[2] - b[2]).powi(2);
                count += 1.0;
            }
            if sum > most {
                return f32::MAX;
            }
        }
        sum / count
    }

    fn search(&mut self, level: &Level, sources: &[bool], scatter: &mut Scatter) {
        let usable = |(x, y): (i64, i64)| {
            x >= 0 && y >= 0 && x < level.width as i64 && y < level.height as i64 && sources[y as usize * level.width + x as usize]
        };
        for i in 0..self.targets.len() {
            self.distance[i] = Self::compare(level, self.targets[i], self.from[i], f32::MAX);
        }
        for sweep in 0..SWEEPS {
            let step: i64 = if sweep % 2 == 0 { -1 } else { 1 };
            for k in 0..self.targets.len() {
                let i = if sweep % 2 == 0 { k } else { self.targets.len() - 1 - k };
                let target = self.targets[i];
                let attempt = |this: &mut Self, source: (i64, i64)| {
                    if usable(source) && source != this.from[i] {
                        let distance = Self::compare(level, target, source, this.distance[i]);
                        if distance < this.distance[i] {
                            (this.from[i], this.distance[i]) = (source, distance);
                        }
                    }
                };
                for (dx, dy) in [(step, 0), (0, step)] {
                    let (x, y) = (target.0 + dx, target.1 + dy);
                    if x >= 0 && y >= 0 && x < level.width as i64 && y < level.height as i64 {
                        let neighbour = self.index[y as usize * level.width + x as usize];
                        if neighbour != NONE {
                            let (fx, fy) = self.from[neighbour as usize];
                            attempt(self, (fx - dx, fy - dy));
                        }
                    }
                }
                let mut reach = level.width.max(level.height) as i64;
                while reach > 0 {
                    let (fx, fy) = self.from[i];
                    let source = (
                        scatter.between((fx - reach).max(0), (fx + reach).min(level.width as i64 - 1)),
                        scatter.between((fy - reach).max(0), (fy + reach).min(level.height as i64 - 1)),
                    );
                    attempt(self, source);
                    reach /= 2;
                }
            }
        }
    }

    /// Every pixel of the hole becomes the mean of what the patches over it say, the better ones weighing more.
    fn vote(&self, level: &mut Level) {
        let mut sums = vec![([0.0f32; 3], 0.0f32); level.colours.len()];
        // The spread that weighs patches: what three quarters of them stay below.
        let mut sorted: Vec<f32> = self.distance.clone();
        sorted.sort_by(f32::total_cmp);
        let spread = sorted.get(sorted.len() * 3 / 4).copied().unwrap_or(1.0).max(1.0);
        for (i, (x, y)) in self.targets.iter().enumerate() {
            let weight = (-self.distance[i] / (2.0 * spread)).exp().max(1e-6);
            let (fx, fy) = self.from[i];
            for dy in -RADIUS..=RADIUS {
                for dx in -RADIUS..=RADIUS {
                    let (tx, ty) = (x + dx, y + dy);
                    if tx < 0 || ty < 0 || tx >= level.width as i64 || ty >= level.height as i64 {
                        continue;
                    }
                    let at = ty as usize * level.width + tx as usize;
                    if level.hole[at] {
                        let colour = level.colours[(fy + dy) as usize * level.width + (fx + dx) as usize];
                        for (s, c) in sums[at].0.iter_mut().zip(colour) {
                            *s += c * weight;
                        }
                        sums[at].1 += weight;
                    }
                }
            }
        }
        for (at, (sum, weight)) in sums.into_iter().enumerate() {
            if weight > 0.0 {
                level.colours[at] = sum.map(|s| s / weight);
            }
        }
    }
}

/// The RGB picture with the pixels where `hole` (grey, of the same size) is not zero filled from the rest. Where the rest holds no whole
/// patch, they become the mean of what surrounds them.
pub fn fill_with_patches(picture: &Picture, hole: &Picture) -> Picture {
    let rgb = picture.convert(Mode::Rgb);
    let (width, height) = rgb.size();
    let first = Level {
        width,
        height,
        colours: rgb
            .data()
            .chunks_exact(3)
            .map(|p| [f32::from(p[0]), f32::from(p[1]), f32::from(p[2])])
            .collect(),
        hole: hole.data().iter().map(|v| *v != 0).collect(),
    };
    let mut pyramid = vec![first];
    while let Some(last) = pyramid.last() {
        let next = last.half();
        let holes = last.hole.contains(&true);
        if !holes || last.width / 2 < COARSEST || last.height / 2 < COARSEST || !next.hole.contains(&true) {
            break;
        }
        pyramid.push(next);
    }
    let mut scatter = Scatter(0x9e37_79b9_7f4a_7c15);
    let mut coarser: Option<(Field, usize)> = None;
    let depth = pyramid.len();
    for n in (0..depth).rev() {
        let mut level = pyramid.swap_remove(n);
        level.flood();
        let (w, h) = (level.width as i64, level.height as i64);
        let sources: Vec<bool> = (0..w * h).map(|at| level.is_source(at % w, at / w)).collect();
        if level.hole.contains(&true) && sources.contains(&true) {
            let mut field = Field::new(
                &level,
                &sources,
                &mut scatter,
                coarser.as_ref().map(|(field, width)| (field, *width)),
            );
            if coarser.is_some() {
                field.distance.fill(0.0);
                field.vote(&mut level);
            }
            let rounds = 2 + 2 * (n + 1).min(4);
            for _ in 0..rounds {
                field.search(&level, &sources, &mut scatter);
                field.vote(&mut level);
            }
            coarser = Some((field, level.width));
        }
        if n == 0 {
            let data = level
                .colours
                .into_iter()
                .flatten()
                .map(|v| v.round().clamp(0.0, 255.0) as u8)
                .collect();
            return Picture::trusted(Mode::Rgb, width, height, data);
        }
    }
    rgb
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_continued_through_a_hole() {
        let (width, height) = (64, 48);
        let stripe = |x: usize| if (x / 4).is_multiple_of(2) { [200, 40, 40] } else { [30, 60, 220] };
        let data: Vec<u8> = (0..height).flat_map(|_| (0..width).flat_map(stripe)).collect();
        let whole = Picture::from_samples(Mode::Rgb, width, height, data).unwrap();
        let mut hole = Picture::new(Mode::L, width, height);
        let mut torn = whole.clone();
        for y in 15..33 {
            for x in 20..44 {
                hole.data_mut()[y * width + x] = 255;
                torn.data_mut()[(y * width + x) * 3..][..3].fill(0);
            }
        }
        let filled = fill_with_patches(&torn, &hole);
        let off: u64 = filled.data().iter().zip(whole.data()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        let before: u64 = torn.data().iter().zip(whole.data()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        assert!(off * 10 < before, "{off} left of {before}");
        assert_eq!(filled, fill_with_patches(&torn, &hole));
    }

    #[test]
    fn without_any_patch_the_surroundings_flow_in() {
        let picture = Picture::filled(Mode::Rgb, 3, 3, &[9, 8, 7]);
        let mut hole = Picture::new(Mode::L, 3, 3);
        hole.data_mut()[4] = 1;
        assert_eq!(fill_with_patches(&picture, &hole), picture);
        let everything = Picture::filled(Mode::L, 3, 3, &[1]);
        assert_eq!(fill_with_patches(&picture, &everything), picture);
    }
}
