//! A picture: rows of interleaved 8-bit samples and what the samples mean.

use std::fmt;

use thiserror::Error;

/// What the samples of a picture mean. The names are Pillow's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Grey.
    L,
    /// Grey and opacity.
    La,
    /// sRGB.
    Rgb,
    /// sRGB and opacity, not premultiplied.
    Rgba,
    /// Ink amounts.
    Cmyk,
    /// JPEG's full-range luma and chroma.
    YCbCr,
    /// CIELAB (D50): L* scaled to 0..=255; a* and b* with 128 added.
    Lab,
    /// Hue, saturation and value, each 0..=255.
    Hsv,
}

impl Mode {
    /// Samples a pixel.
    pub const fn bands(self) -> usize {
        match self {
            Self::L => 1,
            Self::La => 2,
            Self::Rgb | Self::YCbCr | Self::Lab | Self::Hsv => 3,
            Self::Rgba | Self::Cmyk => 4,
        }
    }

    /// Whether the last sample is opacity.
    pub const fn has_alpha(self) -> bool {
        matches!(self, Self::La | Self::Rgba)
    }

    /// Pillow's name of the mode.
    pub const fn name(self) -> &'static str {
        match self {
            Self::L => "L",
            Self::La => "LA",
            Self::Rgb => "RGB",
            Self::Rgba => "RGBA",
            Self::Cmyk => "CMYK",
            Self::YCbCr => "YCbCr",
            Self::Lab => "LAB",
            Self::Hsv => "HSV",
        }
    }

    /// The mode of one-letter band `name`s (`R`, `G`, `B`, `A`, `L`), where that band stands, if the mode has it.
    pub fn band_index(self, name: &str) -> Option<usize> {
        let names: &[&str] = match self {
            Self::L => &["L"],
            Self::La => &["L", "A"],
            Self::Rgb => &["R", "G", "B"],
            Self::Rgba => &["R", "G", "B", "A"],
            Self::Cmyk => &["C", "M", "Y", "K"],
            Self::YCbCr => &["Y", "Cb", "Cr"],
            Self::Lab => &["L", "A", "B"],
            Self::Hsv => &["H", "S", "V"],
        };
        names.iter().position(|n| *n == name)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why pictures could not be computed with.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ImagingError {
    /// Two pictures that must be of one size are not.
    #[error("pictures are of different sizes: {}x{} and {}x{}", .0.0, .0.1, .1.0, .1.1)]
    Size((usize, usize), (usize, usize)),
    /// Two pictures that must be of one mode are not.
    #[error("pictures are of different modes: {0} and {1}")]
    Mode(Mode, Mode),
    /// The sample count is not width x height x bands.
    #[error("{got} samples given for a {mode} picture of {width}x{height}")]
    Samples {
        /// Mode asked for.
        mode: Mode,
        /// Width asked for.
        width: usize,
        /// Height asked for.
        height: usize,
        /// Samples given.
        got: usize,
    },
}

/// A picture in memory.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    mode: Mode,
    width: usize,
    height: usize,
    data: Vec<u8>,
}

impl fmt::Debug for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Picture({}, {}x{})", self.mode, self.width, self.height)
    }
}

impl Picture {
    /// A picture of zeros.
    pub fn new(mode: Mode, width: usize, height: usize) -> Self {
        Self {
            mode,
            width,
            height,
            data: vec![0; width * height * mode.bands()],
        }
    }

    /// A picture whose every pixel is `pixel`, which has one value a band; values beyond the bands are ignored.
    pub fn filled(mode: Mode, width: usize, height: usize, pixel: &[u8]) -> Self {
        let pixel = &pixel[..mode.bands()];
        Self {
            mode,
            width,
            height,
            data: pixel.repeat(width * height),
        }
    }

    /// A picture from its samples, row by row from the top, interleaved.
    pub fn from_samples(mode: Mode, width: usize, height: usize, data: Vec<u8>) -> Result<Self, ImagingError> {
        if data.len() != width * height * mode.bands() {
            return Err(ImagingError::Samples {
                mode,
                width,
                height,
                got: data.len(),
            });
        }
        Ok(Self { mode, width, height, data })
    }

    /// A picture whose samples were produced by this module for exactly this size.
    pub(crate) fn trusted(mode: Mode, width: usize, height: usize, data: Vec<u8>) -> Self {
        debug_assert_eq!(data.len(), width * height * mode.bands());
        Self { mode, width, height, data }
    }

    /// What its samples mean.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Pixels across.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Pixels down.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Pixels across and down.
    pub fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// Samples a pixel.
    pub fn bands(&self) -> usize {
        self.mode.bands()
    }

    /// All samples, row by row, interleaved.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// All samples, to be changed in place.
    pub fn data_mut(&mut self) -> &mut [u8] {
        &mut self.data
    }

    /// Gives up the samples.
    pub fn into_data(self) -> Vec<u8> {
        self.data
    }

    /// One pixel's samples. `x` and `y` must lie inside.
    pub fn pixel(&self, x: usize, y: usize) -> &[u8] {
        let n = self.bands();
        let at = (y * self.width + x) * n;
        &self.data[at..at + n]
    }

    /// One row's samples.
    pub fn row(&self, y: usize) -> &[u8] {
        let stride = self.width * self.bands();
        &self.data[y * stride..(y + 1) * stride]
    }

    /// Band number `index` as a grey picture.
    pub fn band(&self, index: usize) -> Self {
        let n = self.bands();
        let data = self.data.iter().skip(index).step_by(n).copied().collect();
        Self::trusted(Mode::L, self.width, self.height, data)
    }

    /// Every band as a grey picture.
    pub fn split(&self) -> Vec<Self> {
        (0..self.bands()).map(|i| self.band(i)).collect()
    }

    /// A picture from grey pictures of one size, one a band.
    pub fn merge(mode: Mode, bands: &[&Self]) -> Result<Self, ImagingError> {
        assert_eq!(bands.len(), mode.bands(), "one picture a band");
        let (width, height) = bands[0].size();
        for band in bands {
            if band.size() != (width, height) {
                return Err(ImagingError::Size((width, height), band.size()));
            }
            if band.mode != Mode::L {
                return Err(ImagingError::Mode(Mode::L, band.mode));
            }
        }
        let n = bands.len();
        let mut data = vec![0; width * height * n];
        for (i, band) in bands.iter().enumerate() {
            for (to, from) in data.iter_mut().skip(i).step_by(n).zip(&band.data) {
                *to = *from;
            }
        }
        Ok(Self::trusted(mode, width, height, data))
    }

    /// Its opacity, if it has any.
    pub fn alpha(&self) -> Option<Self> {
        self.mode.has_alpha().then(|| self.band(self.bands() - 1))
    }

    /// The picture with `alpha` (grey, of the same size) as its opacity; a mode without opacity gains one.
    pub fn with_alpha(self, alpha: &Self) -> Result<Self, ImagingError> {
        let mut out = match self.mode {
            Mode::L => self.convert(Mode::La),
            Mode::La | Mode::Rgba => self,
            _ => self.convert(Mode::Rgba),
        };
        if out.size() != alpha.size() {
            return Err(ImagingError::Size(out.size(), alpha.size()));
        }
        let n = out.bands();
        for (to, from) in out.data.iter_mut().skip(n - 1).step_by(n).zip(&alpha.data) {
            *to = *from;
        }
        Ok(out)
    }

    /// Every sample, opacity included, put through `table`.
    #[must_use]
    pub fn map(mut self, table: impl Fn(u8) -> u8) -> Self {
        let mut lut = [0u8; 256];
        for (i, v) in lut.iter_mut().enumerate() {
            *v = table(i as u8);
        }
        for v in &mut self.data {
            *v = lut[usize::from(*v)];
        }
        self
    }

    /// The rectangle from (`left`, `top`) to before (`right`, `bottom`); what lies outside the picture is zero.
    pub fn crop(&self, left: i64, top: i64, right: i64, bottom: i64) -> Self {
        let width = (right - left).max(0) as usize;
        let height = (bottom - top).max(0) as usize;
        let mut out = Self::new(self.mode, width, height);
        out.copy_from(self, -left, -top);
        out
    }

    /// Copies `other`, of the same mode, with its upper left corner at (`x`, `y`); what falls outside is left away.
    pub(crate) fn copy_from(&mut self, other: &Self, x: i64, y: i64) {
        debug_assert_eq!(self.mode, other.mode);
        let n = self.bands();
        let x0 = x.max(0);
        let x1 = (x + other.width as i64).min(self.width as i64);
        let y0 = y.max(0);
        let y1 = (y + other.height as i64).min(self.height as i64);
        if x1 <= x0 {
            return;
        }
        let len = (x1 - x0) as usize * n;
        for row in y0..y1 {
            let to = (row as usize * self.width + x0 as usize) * n;
            let from = ((row - y) as usize * other.width + (x0 - x) as usize) * n;
            self.data[to..to + len].copy_from_slice(&other.data[from..from + len]);
        }
    }

    /// The smallest rectangle (left, top, right, bottom) that holds every pixel which is not zero, or not fully transparent where the
    /// picture has opacity; none where there is no such pixel.
    pub fn bounding_box(&self) -> Option<(usize, usize, usize, usize)> {
        let n = self.bands();
        let alpha = self.mode.has_alpha();
        let shows = |p: &[u8]| if alpha { p[n - 1] != 0 } else { p.iter().any(|v| *v != 0) };
        let mut found: Option<(usize, usize, usize, usize)> = None;
        for y in 0..self.height {
            for (x, pixel) in self.row(y).chunks_exact(n).enumerate() {
                if shows(pixel) {
                    let (l, t, r, b) = found.unwrap_or((x, y, x + 1, y + 1));
                    found = Some((l.min(x), t, r.max(x + 1), b.max(y + 1)));
                }
            }
        }
        found
    }
}
