//! The blend formulas. `a` is the upper colour, `b` the one beneath, both in the space's coordinates.

use super::{Blend, BlendSpace};
use crate::imaging::color::{Color, gamut_clip, maximum, minimum};

/// A blend formula.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlendMode {
    /// The upper colour.
    Normal,
    /// The lighter.
    LightenOnly,
    /// The darker.
    DarkenOnly,
    /// The one of more equivalent achromatic lightness.
    LightenOnlyEal,
    /// The one of less equivalent achromatic lightness.
    DarkenOnlyEal,
    /// Hue of the upper.
    Hue,
    /// Saturation of the upper.
    Saturation,
    /// Hue and saturation of the upper.
    Color,
    /// Lightness of the upper.
    Luminosity,
    /// a + b.
    LinearDodge,
    /// b - a.
    Subtract,
    /// a x b.
    Multiply,
    /// b / a.
    Divide,
    /// 1 - (1 - a)(1 - b).
    Screen,
    /// Hard light with the layers exchanged.
    Overlay,
    /// a + b - 1.
    LinearBurn,
    /// |b - a|.
    Difference,
    /// Multiply below half of the upper, screen above.
    HardLight,
    /// A softer hard light.
    SoftLight,
    /// Burn below half of the upper, dodge above.
    VividLight,
    /// b + 2a - 1.
    LinearLight,
    /// 1 - (1 - b) / a.
    ColorBurn,
    /// b / (1 - a).
    ColorDodge,
}

impl BlendMode {
    pub(super) fn needs_equivalent_lightness(self) -> bool {
        matches!(self, Self::LightenOnlyEal | Self::DarkenOnlyEal)
    }
}

fn zip(a: Color, b: Color, f: impl Fn(f32, f32) -> f32) -> Color {
    std::array::from_fn(|i| f(a[i], b[i]))
}

fn screen(a: f32, b: f32) -> f32 {
    1.0 - (1.0 - a) * (1.0 - b)
}

/// Multiply where `split` is below half, else screen, each at double strength.
fn hard(split: f32, a: f32, b: f32) -> f32 {
    if split < 0.5 {
        b * a * 2.0
    } else {
        1.0 - (1.0 - b) * (1.0 - a) * 2.0
    }
}

fn soft(a: f32, b: f32) -> f32 {
    let g = if b <= 0.25 { ((b * 16.0 - 12.0) * b + 4.0) * b } else { b.sqrt() };
    if a <= 0.5 {
        b - (1.0 - b) * b * (1.0 - a * 2.0)
    } else {
        b + (a * 2.0 - 1.0) * (g - b)
    }
}

fn vivid(a: f32, b: f32) -> f32 {
    if a < 0.5 {
        (1.0 - (1.0 - b) / a) / 2.0
    } else {
        b / (1.0 - a) / 2.0
    }
}

impl Blend {
    /// Replaces what is not a number, brings the colour into the gamut if asked to, and clamps.
    fn contain(&self, linear: Color) -> Color {
        let finite = |c: Color| c.map(|v| if v.is_nan() { f32::MAX } else { v });
        let mut c = finite(linear);
        if self.adaptive_gamut > 0.0 {
            c = finite(gamut_clip(c, self.adaptive_gamut, self.steps()));
        }
        c.map(|v| v.clamp(0.0, 1.0))
    }

    /// The blended colour in linear light. `lightness` holds the equivalent achromatic lightness of both, for the modes that need it.
    pub(super) fn blend(&self, space: BlendSpace, mut a: Color, mut b: Color, lightness: Option<(f32, f32)>) -> Color {
        use BlendMode as M;
        let leave = |c: Color| space.leave(c, self.adaptive_gamut, self.steps());
        let wrap = |mut c: Color| {
            if let Some((hue, period)) = space.hue() {
                c[hue] = c[hue].rem_euclid(period);
            }
            c
        };
        // A formula for lightness alone where the space has one, else for every coordinate.
        let light = |a: Color, b: Color, onto: Color, f: &dyn Fn(f32, f32) -> f32| match space.lightness() {
            None => zip(a, b, f),
            Some(l) => {
                let mut out = onto;
                out[l] = f(a[l], b[l]);
                out
            }
        };
        match self.mode {
            M::Normal => leave(a),
            M::Multiply => leave(zip(a, b, |a, b| b * a)),
            M::Screen => leave(zip(a, b, screen)),
            M::Overlay => self.contain(leave(light(a, b, a, &|a, b| hard(b, a, b)))),
            M::HardLight => self.contain(leave(light(a, b, a, &|a, b| hard(a, a, b)))),
            M::SoftLight => self.contain(leave(light(a, b, b, &soft))),
            M::LinearDodge => self.contain(leave(wrap(zip(a, b, |a, b| b + a)))),
            M::ColorDodge => self.contain(leave(wrap(zip(a, b, |a, b| b / (1.0 - a))))),
            M::Divide => self.contain(leave(wrap(zip(a, b, |a, b| b / a)))),
            M::Subtract => self.contain(leave(wrap(zip(a, b, |a, b| b - a)))),
            M::LinearBurn => self.contain(leave(light(a, b, b, &|a, b| b + a - 1.0))),
            M::LinearLight => self.contain(leave(light(a, b, b, &|a, b| b + a * 2.0 - 1.0))),
            M::ColorBurn => self.contain(leave(zip(a, b, |a, b| 1.0 - minimum((1.0 - b) / a, 1.0)))),
            M::Difference => self.contain(leave(zip(a, b, |a, b| (b - a).abs()))),
            M::VividLight => {
                let mixed = light(a, b, b, &vivid);
                // Without a lightness coordinate the colour goes to linear light twice: a quirk that pictures depend on.
                let once = if space.lightness().is_none() {
                    self.contain(leave(mixed))
                } else {
                    mixed
                };
                self.contain(leave(once))
            }
            M::DarkenOnly | M::LightenOnly => {
                let darken = self.mode == M::DarkenOnly;
                match space.lightness() {
                    None => leave(zip(a, b, if darken { minimum } else { maximum })),
                    Some(l) => {
                        let beneath = if darken { a[l] >= b[l] } else { a[l] < b[l] };
                        leave(if beneath { b } else { a })
                    }
                }
            }
            M::LightenOnlyEal | M::DarkenOnlyEal => {
                let (above, beneath) = lightness.unwrap_or_default();
                let take_beneath = if self.mode == M::LightenOnlyEal {
                    above < beneath
                } else {
                    above >= beneath
                };
                leave(if take_beneath { b } else { a })
            }
            M::Hue | M::Saturation | M::Color | M::Luminosity => {
                let (Some(l), Some((h, _))) = (space.lightness(), space.hue()) else {
                    return leave(a);
                };
                // The upper colour takes over what the mode leaves to the one beneath; saturation is the middle coordinate everywhere.
                let taken: &[usize] = match self.mode {
                    M::Hue => &[l, 1],
                    M::Saturation => &[l, h],
                    M::Color => &[l],
                    _ => &[1, h],
                };
                for i in taken {
                    std::mem::swap(&mut a[*i], &mut b[*i]);
                }
                leave(a)
            }
        }
    }
}
