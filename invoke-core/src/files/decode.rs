//! Decoding pictures from outside, within limits.

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

/// Pixels of the largest picture that is decoded: a square of 13,377 pixels.
pub const MAX_PIXELS: u64 = 178_956_970;
/// Memory that decoding one picture may take, in bytes.
const MAX_ALLOC: u64 = 1 << 30;
/// Longest side of a picture.
const MAX_SIDE: u32 = 65_535;

/// Why a picture is not read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// It is none of the formats that are read.
    #[error("it is no PNG, JPEG, WebP, GIF or BMP picture")]
    Format,
    /// It has too many pixels.
    #[error("it has {width} × {height} pixels; at most {MAX_PIXELS} are read")]
    TooLarge {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
    },
    /// Its header is broken.
    #[error("its header is broken")]
    Header,
    /// Its data are broken.
    #[error("its data are broken: {0}")]
    Data(ImageError),
}

/// The pixels of a picture in one of the formats that pages show; of several frames the first. The format is told by the content, not by a name.
pub fn decode_picture(bytes: &[u8]) -> Result<DynamicImage, DecodeError> {
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|_| DecodeError::Format)?;
    let read = [
        ImageFormat::Png,
        ImageFormat::Jpeg,
        ImageFormat::WebP,
        ImageFormat::Gif,
        ImageFormat::Bmp,
    ];
    if !reader.format().is_some_and(|format| read.contains(&format)) {
        return Err(DecodeError::Format);
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_ALLOC);
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(|_| DecodeError::Header)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS || width == 0 || height == 0 {
        return Err(DecodeError::TooLarge { width, height });
    }
    DynamicImage::from_decoder(decoder).map_err(DecodeError::Data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::{Chunks, EncodeOptions, encode_png};

    #[test]
    fn what_is_no_picture_is_told_from_a_broken_one() {
        for bytes in [&b""[..], b"hello", b"II*\0\x08\0\0\0"] {
            assert!(matches!(decode_picture(bytes), Err(DecodeError::Format)));
        }
        for bytes in [&b"GIF89a\x01\x00\x01\x00\x00\x00\x00;"[..], b"BM"] {
            assert!(matches!(decode_picture(bytes), Err(DecodeError::Header | DecodeError::Data(_))));
        }
    }

    #[test]
    fn the_first_frame_of_a_gif_is_read() {
        // One pixel by two: red above transparent.
        let gif = b"GIF89a\x01\0\x02\0\x80\0\0\xff\0\0\0\0\0!\xf9\x04\x01\0\0\x01\0,\0\0\0\0\x01\0\x02\0\0\x02\x02\x44\x54\0;";
        let picture = decode_picture(gif).unwrap().to_rgba8();
        assert_eq!(picture.dimensions(), (1, 2));
        assert_eq!(picture.get_pixel(0, 0).0[3], 255);
    }

    #[test]
    fn a_header_that_claims_too_much_is_refused_before_memory_is_taken() {
        let png = encode_png(&DynamicImage::new_rgb8(4, 4), &Chunks::default(), EncodeOptions { compression: 1 }).unwrap();
        for (width, height) in [(60_000_u32, 60_000_u32), (0x7fff_ffff, 1)] {
            let mut bomb = png.clone();
            bomb[16..20].copy_from_slice(&width.to_be_bytes());
            bomb[20..24].copy_from_slice(&height.to_be_bytes());
            let checksum = crc32(&bomb[12..29]);
            bomb[29..33].copy_from_slice(&checksum.to_be_bytes());
            assert!(
                matches!(decode_picture(&bomb), Err(DecodeError::TooLarge { .. } | DecodeError::Header)),
                "{width}x{height}"
            );
        }
        assert!(decode_picture(&png[..png.len() / 2]).is_err());
        assert_eq!(decode_picture(&png).unwrap().width(), 4);
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| {
                if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 }
            })
        })
    }
}
