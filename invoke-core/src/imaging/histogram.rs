//! Matching one picture's histogram to another's.

use super::{ImagingError, Mode, Picture, paste};

/// Where histograms are matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatchIn {
    /// Red, green and blue.
    Rgb,
    /// Luma and both chroma channels.
    YCbCr,
    /// Chroma alone.
    Chroma,
    /// Luma alone.
    Luma,
}

/// Share of samples at or below each value.
fn distribution(samples: impl Iterator<Item = u8>) -> [f64; 256] {
    let mut counts = [0u64; 256];
    for v in samples {
        counts[usize::from(v)] += 1;
    }
    let total: u64 = counts.iter().sum();
    let mut sum = 0;
    counts.map(|c| {
        sum += c;
        if total > 0 { sum as f64 / total as f64 } else { 0.0 }
    })
}

/// For each source value the reference value of the same rank, interpolated and truncated.
fn lookup(source: &[f64; 256], reference: &[f64; 256]) -> [u8; 256] {
    source.map(|x| {
        let above = reference.partition_point(|v| *v <= x);
        if above == 0 {
            return 0;
        }
        let i = above - 1;
        #[expect(clippy::float_cmp, reason = "an exact hit is not interpolated")]
        if i == 255 || reference[i] == x {
            return i as u8;
        }
        ((x - reference[i]) / (reference[i + 1] - reference[i]) + i as f64) as u8
    })
}

/// `base` with its channels' histograms matched to `reference`'s, in RGBA with the base's opacity. Where `mask` (grey, of the base's size)
/// is white the base stays.
pub fn match_histogram(base: &Picture, reference: &Picture, space: MatchIn, mask: Option<&Picture>) -> Result<Picture, ImagingError> {
    let base = base.convert(Mode::Rgba);
    let (mode, channels) = match space {
        MatchIn::Rgb => (Mode::Rgb, 0..3),
        MatchIn::YCbCr => (Mode::YCbCr, 0..3),
        MatchIn::Chroma => (Mode::YCbCr, 1..3),
        MatchIn::Luma => (Mode::YCbCr, 0..1),
    };
    let mut work = base.convert(mode);
    let reference = reference.convert(mode);
    for channel in channels {
        let of = |p: &Picture| distribution(p.data().iter().skip(channel).step_by(3).copied());
        let table = lookup(&of(&work), &of(&reference));
        for v in work.data_mut().iter_mut().skip(channel).step_by(3) {
            *v = table[usize::from(*v)];
        }
    }
    let mut out = work.convert(Mode::Rgb);
    if let Some(mask) = mask {
        if mask.size() != out.size() {
            return Err(ImagingError::Size(out.size(), mask.size()));
        }
        paste(&mut out, &base.convert(Mode::Rgb), 0, 0, Some(mask))?;
    }
    out.with_alpha(&base.alpha().expect("RGBA has opacity"))
}
