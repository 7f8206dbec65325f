//! One GGUF file: tensors, most of them in few bits an element, behind a header of keys and values.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use candle_core::quantized::{GgmlDType, ggml_file::qtensor_from_ggml};
use candle_core::{DType, Device, Tensor};

use super::spans::Spans;
use super::{Source, TensorInfo};
use crate::{
    diffusion::error::{ModelError, Result, short},
    models::gguf_header::{self, Entry, Kind},
};

/// A GGUF file whose header has been checked: every tensor lies inside the file. Elements are single floats as they are read.
#[derive(Debug)]
pub struct GgufFile {
    spans: Spans,
    tensors: HashMap<String, Entry>,
}

impl GgufFile {
    /// Opens a file and checks its header. Nothing of the tensors is read yet.
    pub fn open(path: &Path) -> Result<Self> {
        let io = |source| ModelError::Io { file: short(path), source };
        let file = File::open(path).map_err(io)?;
        let tensors = gguf_header::read(&file)
            .map_err(io)?
            .map_err(|reason| ModelError::Corrupt { file: short(path), reason })?;
        Ok(Self {
            spans: Spans::new(path, file),
            tensors,
        })
    }
}

/// What candle calls a kind of elements.
fn of(kind: Kind) -> GgmlDType {
    match kind.number {
        1 => GgmlDType::F16,
        2 => GgmlDType::Q4_0,
        3 => GgmlDType::Q4_1,
        6 => GgmlDType::Q5_0,
        7 => GgmlDType::Q5_1,
        8 => GgmlDType::Q8_0,
        10 => GgmlDType::Q2K,
        11 => GgmlDType::Q3K,
        12 => GgmlDType::Q4K,
        13 => GgmlDType::Q5K,
        14 => GgmlDType::Q6K,
        30 => GgmlDType::BF16,
        // Headers hold no others than these and single floats.
        _ => GgmlDType::F32,
    }
}

impl Source for GgufFile {
    fn label(&self) -> String {
        self.spans.label()
    }

    fn names(&self) -> Vec<String> {
        self.tensors.keys().cloned().collect()
    }

    fn info(&self, name: &str) -> Option<TensorInfo> {
        let entry = self.tensors.get(name)?;
        Some(TensorInfo {
            shape: entry.shape.clone(),
            dtype: DType::F32,
        })
    }

    fn read(&self, name: &str) -> Result<Tensor> {
        let entry = self.tensors.get(name).ok_or_else(|| ModelError::MissingTensor {
            file: self.label(),
            tensor: name.to_owned(),
        })?;
        let bytes = self.spans.read(entry.start, entry.bytes)?;
        if bytes.is_empty() {
            return Ok(Tensor::zeros(entry.shape.as_slice(), DType::F32, &Device::Cpu)?);
        }
        // Blocks follow each other whatever the axes: a row of the true shape need not be made of whole ones.
        let flat = vec![entry.shape.iter().product()];
        let quantized = qtensor_from_ggml(of(entry.kind), &bytes, flat, &Device::Cpu)?;
        Ok(quantized.dequantize(&Device::Cpu)?.reshape(entry.shape.as_slice())?)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn text(out: &mut Vec<u8>, text: &str) {
        out.extend((text.len() as u64).to_le_bytes());
        out.extend(text.as_bytes());
    }

    /// A file with one value of every kind, a tensor of floats and one of eight bits an element.
    fn example() -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(3u32.to_le_bytes());
        out.extend(2u64.to_le_bytes());
        out.extend(4u64.to_le_bytes());
        text(&mut out, "general.architecture");
        out.extend(8u32.to_le_bytes());
        text(&mut out, "sd1");
        text(&mut out, "general.alignment");
        out.extend(4u32.to_le_bytes());
        out.extend(64u32.to_le_bytes());
        text(&mut out, "list");
        out.extend(9u32.to_le_bytes());
        out.extend(8u32.to_le_bytes());
        out.extend(2u64.to_le_bytes());
        text(&mut out, "a");
        text(&mut out, "bc");
        text(&mut out, "comfy.gguf.orig_shape.q");
        out.extend(9u32.to_le_bytes());
        out.extend(5u32.to_le_bytes());
        out.extend(4u64.to_le_bytes());
        [2u32, 16, 1, 1].iter().for_each(|axis| out.extend(axis.to_le_bytes()));
        for (name, shape, kind, offset) in [("w", vec![3u64, 2], 0u32, 0u64), ("q", vec![32, 1], 8, 64)] {
            text(&mut out, name);
            out.extend((shape.len() as u32).to_le_bytes());
            shape.iter().for_each(|axis| out.extend(axis.to_le_bytes()));
            out.extend(kind.to_le_bytes());
            out.extend(offset.to_le_bytes());
        }
        out.resize(out.len().next_multiple_of(64), 0);
        (0..6).for_each(|i| out.extend((i as f32).to_le_bytes()));
        out.resize(out.len().next_multiple_of(64), 0);
        out.extend(half::f16::from_f32(0.5).to_le_bytes());
        out.extend((0..32).map(|i| i - 16).map(i8::cast_unsigned));
        out
    }

    fn opened(bytes: &[u8]) -> Result<GgufFile> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        GgufFile::open(file.path())
    }

    #[test]
    fn kinds_are_of_the_sizes_that_the_reader_expects() {
        for kind in gguf_header::KINDS {
            let known = of(*kind);
            assert_eq!((kind.block, kind.bytes), (known.block_size(), known.type_size()), "{known:?}");
            assert_eq!(known == GgmlDType::F32, kind.number == 0);
        }
    }

    #[test]
    fn floats_and_blocks_are_read() {
        let file = opened(&example()).unwrap();
        assert_eq!(file.info("w").unwrap().shape, [2, 3]);
        assert_eq!(
            file.read("w").unwrap().to_vec2::<f32>().unwrap(),
            [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
        );
        assert_eq!(file.read("q").unwrap().dims(), [2, 16, 1, 1]);
        let blocks = file.read("q").unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!((blocks[0], blocks[31]), (-8.0, 7.5));
    }

    #[test]
    fn hostile_headers_are_refused() {
        let bytes = example();
        let refused = |bytes: &[u8]| opened(bytes).unwrap_err().to_string();
        assert!(refused(b"GGU").contains("ends too soon"));
        assert!(refused(b"GGUX____").contains("does not begin"));
        let changed = |at: usize, value: u64| {
            let mut bytes = bytes.clone();
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
            refused(&bytes)
        };
        assert!(changed(8, u64::MAX).contains("claims"));
        assert!(changed(24, u64::MAX).contains("bytes long"));
        assert!(changed(56, u64::MAX).contains("header"));
        let axes = bytes.windows(4).position(|four| four == 16u32.to_le_bytes()).unwrap();
        assert!(changed(axes, 17).contains("cannot have been [2, 17, 0, 1]"));
        assert!(refused(&bytes[..bytes.len() - 1]).contains("beyond the end"));
    }
}
