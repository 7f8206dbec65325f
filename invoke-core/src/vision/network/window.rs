//! Where the windows of convolutions and pools lie on a picture.

use candle_core::Result;

use super::{Padding, Window};

/// One axis of a picture under a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Along {
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) dilation: usize,
    /// Pixels added before and after; after them the last window ends, or goes beyond by less than a stride if windows are rounded up.
    pub(super) before: usize,
    pub(super) after: usize,
    /// How many windows there are.
    pub(super) places: usize,
}

impl Along {
    /// Pixels from the first to the last of a window.
    pub(super) fn reach(self) -> usize {
        (self.kernel - 1) * self.dilation + 1
    }
}

/// Largest side, stride or padding that is worked with; a bound that keeps sums and products from overflowing.
pub(super) const MOST: usize = 1 << 24;

impl Window {
    /// Both axes of a picture of `size`, under a kernel.
    pub(super) fn over(&self, kernel: [usize; 2], size: [usize; 2]) -> Result<[Along; 2]> {
        Ok([self.along(0, kernel[0], size[0])?, self.along(1, kernel[1], size[1])?])
    }

    fn along(&self, which: usize, kernel: usize, side: usize) -> Result<Along> {
        let (stride, dilation) = (self.strides[which], self.dilations[which]);
        let all = [kernel, stride, dilation, side];
        if all.contains(&0) || all.iter().any(|n| *n > MOST) {
            candle_core::bail!("a window of {kernel} pixels, {dilation} apart, with stride {stride} over {side} pixels");
        }
        let Some(reach) = (kernel - 1).checked_mul(dilation).map(|n| n + 1).filter(|n| *n <= MOST) else {
            candle_core::bail!("a window of {kernel} pixels, {dilation} apart, is too large");
        };
        let (before, after) = match self.padding {
            Padding::Explicit(pads) => (pads[2 * which], pads[2 * which + 1]),
            Padding::SameUpper | Padding::SameLower => {
                let needed = ((side.div_ceil(stride) - 1) * stride + reach).saturating_sub(side);
                let (less, more) = (needed / 2, needed - needed / 2);
                if self.padding == Padding::SameUpper {
                    (less, more)
                } else {
                    (more, less)
                }
            }
        };
        if before.max(after) > MOST || side + before + after < reach {
            candle_core::bail!("a window that reaches over {reach} pixels does not fit on {side} with {before} and {after} added");
        }
        let room = side + before + after - reach;
        let mut places = room / stride + 1;
        // A window may begin within the picture or what is added before it, not behind.
        if self.round_up && !room.is_multiple_of(stride) && places * stride < side + before {
            places += 1;
        }
        // A pool lists the pixels of every window.
        if places.checked_mul(kernel).is_none_or(|all| all > MOST) {
            candle_core::bail!("{places} windows of {kernel} pixels along one axis are too many");
        }
        Ok(Along {
            kernel,
            stride,
            dilation,
            before,
            after,
            places,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_counted() -> Result<()> {
        let window = |padding, stride, round_up| Window {
            strides: [stride; 2],
            padding,
            round_up,
            ..Window::default()
        };
        let row = |window: &Window, kernel, side| window.along(0, kernel, side).map(|a| (a.before, a.after, a.places));
        assert_eq!(row(&window(Padding::Explicit([1; 4]), 2, false), 3, 7)?, (1, 1, 4));
        assert_eq!(row(&window(Padding::Explicit([0; 4]), 2, false), 2, 7)?, (0, 0, 3));
        assert_eq!(row(&window(Padding::Explicit([0; 4]), 2, true), 2, 7)?, (0, 0, 4));
        assert_eq!(row(&window(Padding::SameUpper, 2, false), 3, 8)?, (0, 1, 4));
        assert_eq!(row(&window(Padding::SameLower, 2, false), 3, 8)?, (1, 0, 4));
        assert_eq!(row(&window(Padding::SameUpper, 2, false), 1, 8)?, (0, 0, 4));
        assert!(row(&window(Padding::Explicit([0; 4]), 1, false), 3, 2).is_err());
        assert!(row(&window(Padding::Explicit([usize::MAX; 4]), 1, false), 3, 2).is_err());
        assert!(row(&window(Padding::Explicit([0; 4]), 0, false), 3, 5).is_err());
        assert!(row(&window(Padding::Explicit([0; 4]), 1, false), 1 << 15, 1 << 16).is_err());
        Ok(())
    }
}
