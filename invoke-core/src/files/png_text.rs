//! PNG files with the texts that belong to a picture: metadata, workflow, graph.

use std::io::{self, Read, Seek, SeekFrom};

use image::DynamicImage;

/// Keyword of the metadata.
const METADATA: &str = "invokeai_metadata";
/// Keyword of the workflow.
const WORKFLOW: &str = "invokeai_workflow";
/// Keyword of the graph.
const GRAPH: &str = "invokeai_graph";

/// Longest text that is read, in bytes.
const LONGEST_TEXT: u32 = 16 << 20;
/// Most chunks that are looked at.
const MOST_CHUNKS: usize = 100_000;

/// The texts embedded in a picture, each JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chunks {
    /// How it was made, for people and for recall.
    pub metadata: Option<String>,
    /// The workflow of the editor.
    pub workflow: Option<String>,
    /// The graph that ran.
    pub graph: Option<String>,
}

/// How a PNG is written.
#[derive(Debug, Clone, Copy)]
pub struct EncodeOptions {
    /// 0 (none) to 9 (smallest); 1 and 2 use an encoder made for speed.
    pub compression: u8,
}

/// The texts of a PNG cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ChunkError {
    /// It is no PNG, or ends too early.
    #[error("it is no whole PNG file")]
    NotPng,
    /// The machine said no.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// The picture as a PNG. A text goes into a tEXt chunk if it is Latin-1, else into an iTXt chunk.
pub fn encode_png(picture: &DynamicImage, chunks: &Chunks, options: EncodeOptions) -> Result<Vec<u8>, png::EncodingError> {
    use png::{BitDepth, ColorType};
    let converted;
    let (picture, color) = match picture {
        DynamicImage::ImageLuma8(_) => (picture, ColorType::Grayscale),
        DynamicImage::ImageLumaA8(_) => (picture, ColorType::GrayscaleAlpha),
        DynamicImage::ImageRgb8(_) => (picture, ColorType::Rgb),
        DynamicImage::ImageRgba8(_) => (picture, ColorType::Rgba),
        DynamicImage::ImageLuma16(_) => {
            converted = DynamicImage::ImageLuma8(picture.to_luma8());
            (&converted, ColorType::Grayscale)
        }
        other if other.color().has_alpha() => {
            converted = DynamicImage::ImageRgba8(other.to_rgba8());
            (&converted, ColorType::Rgba)
        }
        other => {
            converted = DynamicImage::ImageRgb8(other.to_rgb8());
            (&converted, ColorType::Rgb)
        }
    };
    let mut bytes = Vec::with_capacity(picture.as_bytes().len() / 2 + 1024);
    let mut encoder = png::Encoder::new(&mut bytes, picture.width(), picture.height());
    encoder.set_color(color);
    encoder.set_depth(BitDepth::Eight);
    match options.compression {
        0 => encoder.set_compression(png::Compression::NoCompression),
        1 | 2 => encoder.set_compression(png::Compression::Fast),
        level => {
            encoder.set_deflate_compression(png::DeflateCompression::Level(level.min(9)));
            encoder.set_filter(png::Filter::Adaptive);
        }
    }
    for (keyword, text) in [(METADATA, &chunks.metadata), (WORKFLOW, &chunks.workflow), (GRAPH, &chunks.graph)] {
        let Some(text) = text else { continue };
        if text.chars().all(|c| u32::from(c) <= 0xff) {
            encoder.add_text_chunk(keyword.into(), text.clone())?;
        } else {
            encoder.add_itxt_chunk(keyword.into(), text.clone())?;
        }
    }
    let mut writer = encoder.write_header()?;
    writer.write_image_data(picture.as_bytes())?;
    writer.finish()?;
    Ok(bytes)
}

/// The texts of a PNG, which is read from its beginning; the picture itself is skipped. Texts that are broken or too long are left out.
pub fn read_chunks(file: &mut (impl Read + Seek)) -> Result<Chunks, ChunkError> {
    let early = |error: io::Error| {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            ChunkError::NotPng
        } else {
            error.into()
        }
    };
    file.seek(SeekFrom::Start(0))?;
    let mut signature = [0; 8];
    file.read_exact(&mut signature).map_err(early)?;
    if signature != *b"\x89PNG\r\n\x1a\n" {
        return Err(ChunkError::NotPng);
    }
    let mut chunks = Chunks::default();
    for _ in 0..MOST_CHUNKS {
        let mut header = [0; 8];
        file.read_exact(&mut header).map_err(early)?;
        let length = u32::from_be_bytes([header[0], header[1], header[2], header[3]]);
        let kind = &header[4..];
        if kind == b"IEND" {
            break;
        }
        if matches!(kind, b"tEXt" | b"zTXt" | b"iTXt") && length <= LONGEST_TEXT {
            let mut data = Vec::new();
            if file.take(u64::from(length)).read_to_end(&mut data)? < length as usize {
                return Err(ChunkError::NotPng);
            }
            file.seek(SeekFrom::Current(4))?;
            take_text(kind, &data, &mut chunks);
        } else {
            file.seek(SeekFrom::Current(i64::from(length) + 4))?;
        }
    }
    Ok(chunks)
}

fn take_text(kind: &[u8], data: &[u8], chunks: &mut Chunks) {
    let Some((keyword, rest)) = split_at_zero(data) else { return };
    let place = match keyword {
        k if k == METADATA.as_bytes() => &mut chunks.metadata,
        k if k == WORKFLOW.as_bytes() => &mut chunks.workflow,
        k if k == GRAPH.as_bytes() => &mut chunks.graph,
        _ => return,
    };
    let text = match kind {
        b"tEXt" => Some(latin1(rest)),
        b"zTXt" => rest
            .split_first()
            .filter(|(method, _)| **method == 0)
            .and_then(|(_, packed)| inflate(packed))
            .map(|bytes| latin1(&bytes)),
        _ => international(rest),
    };
    if text.is_some() {
        *place = text;
    }
}

fn international(data: &[u8]) -> Option<String> {
    let (&[compressed, method], rest) = data.split_first_chunk()?;
    let (_language, rest) = split_at_zero(rest)?;
    let (_translated, text) = split_at_zero(rest)?;
    match (compressed, method) {
        (0, _) => String::from_utf8(text.to_vec()).ok(),
        (1, 0) => String::from_utf8(inflate(text)?).ok(),
        _ => None,
    }
}

fn split_at_zero(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = data.iter().position(|&byte| byte == 0)?;
    Some((&data[..at], &data[at + 1..]))
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

fn inflate(packed: &[u8]) -> Option<Vec<u8>> {
    fdeflate::decompress_to_vec_bounded(packed, LONGEST_TEXT as usize).ok()
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{Rgb, RgbImage};

    use super::*;

    fn picture() -> DynamicImage {
        DynamicImage::ImageRgb8(RgbImage::from_fn(33, 17, |x, y| Rgb([x as u8 * 7, y as u8 * 11, 200])))
    }

    #[test]
    fn texts_and_pixels_come_back() {
        let chunks = Chunks {
            metadata: Some("{\"seed\":7,\"p\":\"é\"}".into()),
            workflow: Some("{\"name\":\"日本\"}".into()),
            graph: None,
        };
        for compression in 0..=9 {
            let png = encode_png(&picture(), &chunks, EncodeOptions { compression }).unwrap();
            assert_eq!(read_chunks(&mut Cursor::new(&png)).unwrap(), chunks);
            assert_eq!(image::load_from_memory(&png).unwrap(), picture());
            let has = |kind: &[u8]| png.windows(4).any(|window| window == kind);
            assert!(has(b"tEXt") && has(b"iTXt"));
        }
    }

    #[test]
    fn packed_texts_are_read_within_bounds() {
        let mut packed = b"invokeai_graph\0\0".to_vec();
        packed.extend(fdeflate::compress_to_vec(b"{\"nodes\":{}}"));
        let mut bomb = b"invokeai_workflow\0\0".to_vec();
        bomb.extend(fdeflate::compress_to_vec(&vec![b' '; LONGEST_TEXT as usize + 1]));
        let mut chunks = Chunks::default();
        take_text(b"zTXt", &packed, &mut chunks);
        take_text(b"zTXt", &bomb, &mut chunks);
        assert_eq!(
            chunks,
            Chunks {
                graph: Some("{\"nodes\":{}}".into()),
                ..Chunks::default()
            }
        );
    }

    #[test]
    fn broken_files_are_errors_and_broken_texts_are_left_out() {
        let png = encode_png(
            &picture(),
            &Chunks {
                metadata: Some("{}".into()),
                ..Chunks::default()
            },
            EncodeOptions { compression: 1 },
        )
        .unwrap();
        for end in 0..png.len() - 12 {
            assert!(read_chunks(&mut Cursor::new(&png[..end])).is_err(), "{end}");
        }
        let mut chunks = Chunks::default();
        for (kind, data) in [
            (&b"tEXt"[..], &b"invokeai_metadata"[..]),
            (b"zTXt", b"invokeai_metadata\0\0junk"),
            (b"iTXt", b"invokeai_metadata\0\0"),
            (b"iTXt", b"invokeai_metadata\0\0\0\0\0\xff"),
        ] {
            take_text(kind, data, &mut chunks);
        }
        assert_eq!(chunks, Chunks::default());
    }

    #[test]
    fn every_kind_of_pixel_is_stored() {
        let all = [
            DynamicImage::new_luma8(3, 2),
            DynamicImage::new_luma_a8(3, 2),
            DynamicImage::new_rgba8(3, 2),
            DynamicImage::new_luma16(3, 2),
            DynamicImage::new_rgb16(3, 2),
            DynamicImage::new_rgba16(3, 2),
        ];
        for picture in all {
            let png = encode_png(&picture, &Chunks::default(), EncodeOptions { compression: 1 }).unwrap();
            let back = image::load_from_memory(&png).unwrap();
            assert_eq!(
                (back.width(), back.height(), back.color().has_alpha()),
                (3, 2, picture.color().has_alpha())
            );
        }
    }
}
