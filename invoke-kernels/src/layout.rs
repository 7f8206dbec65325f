//! Changes of layout.

use crate::buffer::filled;
use crate::parallel::{run_if, split};
use crate::simd::transpose;

/// Elements worth a second thread.
const WORTH: usize = 65_536;

/// `[batch, channels, pixels]` to `[batch, pixels, channels]`.
pub fn to_channels_last(x: &[f32], batch: usize, channels: usize) -> Vec<f32> {
    swap(x, batch, channels)
}

/// `[batch, pixels, channels]` to `[batch, channels, pixels]`.
pub fn to_channels_first(x: &[f32], batch: usize, channels: usize) -> Vec<f32> {
    swap(x, batch, x.len() / (batch * channels).max(1))
}

/// Transposes `batch` matrices of `rows` rows.
fn swap(x: &[f32], batch: usize, rows: usize) -> Vec<f32> {
    assert!(batch * rows > 0 && x.len().is_multiple_of(batch * rows), "matrices of {rows} rows");
    let columns = x.len() / batch / rows;
    let (parts, range) = split(columns, 16, 2);
    // SAFETY: the parts cover all columns of all matrices.
    unsafe {
        filled(x.len(), |out| {
            run_if(x.len() > WORTH, batch * parts, |i| {
                let from = i / parts * rows * columns;
                transpose(&x[from..from + rows * columns], rows, columns, range(i % parts), out.at(from));
            });
        })
    }
}

/// Joins pixels' channels: `[pixels, a]` and `[pixels, b]` to `[pixels, a + b]`.
pub fn concat_channels(a: &[f32], b: &[f32], channels: [usize; 2]) -> Vec<f32> {
    let [ca, cb] = channels;
    assert!(
        ca > 0 && cb > 0 && a.len().is_multiple_of(ca) && b.len() == a.len() / ca * cb,
        "pixels of {ca} and {cb} channels"
    );
    let (parts, range) = split(a.len() / ca, 1, 1);
    // SAFETY: the parts cover all pixels, and each pixel is written whole.
    unsafe {
        filled(a.len() + b.len(), |out| {
            run_if(a.len() + b.len() > WORTH, parts, |i| {
                for pixel in range(i) {
                    let to = out.at(pixel * (ca + cb));
                    to.copy_from_nonoverlapping(a[pixel * ca..][..ca].as_ptr(), ca);
                    to.add(ca).copy_from_nonoverlapping(b[pixel * cb..][..cb].as_ptr(), cb);
                }
            });
        })
    }
}

/// Doubles width and height of pictures `[batch, height, width, channels]` by repeating pixels.
pub fn upsample_2x(x: &[f32], height: usize, width: usize, channels: usize) -> Vec<f32> {
    let line = width * channels;
    assert!(
        height * line > 0 && x.len().is_multiple_of(height * line),
        "pictures of {height} x {width} x {channels}"
    );
    let (parts, range) = split(x.len() / line, 1, 2);
    // SAFETY: each line of the input writes its two lines of the output whole.
    unsafe {
        filled(4 * x.len(), |out| {
            run_if(x.len() > WORTH / 4, parts, |i| {
                for row in range(i) {
                    let to = out.at(4 * row * line);
                    for (i, pixel) in x[row * line..][..line].chunks_exact(channels).enumerate() {
                        to.add(2 * i * channels).copy_from_nonoverlapping(pixel.as_ptr(), channels);
                        to.add((2 * i + 1) * channels).copy_from_nonoverlapping(pixel.as_ptr(), channels);
                    }
                    to.add(2 * line).copy_from_nonoverlapping(to, 2 * line);
                }
            });
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::twin::noise;

    #[test]
    fn layouts_go_there_and_back() {
        for (batch, channels, pixels) in [(1, 1, 1), (2, 3, 70), (1, 64, 5), (2, 33, 1029)] {
            let x = noise(batch * channels * pixels, 1);
            let last = to_channels_last(&x, batch, channels);
            for (b, c, p) in (0..batch).flat_map(|b| (0..channels).flat_map(move |c| (0..pixels).map(move |p| (b, c, p)))) {
                assert_eq!(last[(b * pixels + p) * channels + c], x[(b * channels + c) * pixels + p]);
            }
            assert_eq!(to_channels_first(&last, batch, channels), x);
        }
    }

    #[test]
    fn channels_are_joined() {
        for (pixels, a, b) in [(1, 1, 2), (9, 4, 3), (3000, 16, 33)] {
            let (x, y) = (noise(pixels * a, 1), noise(pixels * b, 2));
            let want: Vec<f32> = x.chunks(a).zip(y.chunks(b)).flat_map(|(x, y)| x.iter().chain(y).copied()).collect();
            assert_eq!(concat_channels(&x, &y, [a, b]), want);
        }
    }

    #[test]
    fn pixels_are_doubled() {
        for (batch, h, w, c) in [(1, 1, 1, 1), (2, 3, 5, 4), (1, 40, 33, 32)] {
            let x = noise(batch * h * w * c, 1);
            let y = upsample_2x(&x, h, w, c);
            for (i, got) in y.iter().enumerate() {
                let (ch, column, row, image) = (i % c, i / c % (2 * w), i / c / (2 * w) % (2 * h), i / c / (4 * w * h));
                assert_eq!(*got, x[((image * h + row / 2) * w + column / 2) * c + ch]);
            }
        }
    }
}
