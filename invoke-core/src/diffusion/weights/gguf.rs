//! One GGUF file: tensors, most of them in few bits an element, behind a header of keys and values.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use candle_core::quantized::{GgmlDType, ggml_file::qtensor_from_ggml};
use candle_core::{DType, Device, Tensor};

use super::spans::Spans;
use super::{Source, TensorInfo};
use crate::diffusion::error::{ModelError, Result, short};

/// The most tensors, and the most keys and values, that a file may have.
const MOST_ENTRIES: u64 = 100_000;
/// The longest name or key.
const LONGEST_NAME: u64 = 1024;
/// The longest header that is read.
const LONGEST_HEADER: u64 = 64 << 20;
/// The most axes a tensor may have.
const MOST_AXES: u32 = 8;

/// A GGUF file whose header has been checked: every tensor lies inside the file. Elements are single floats as they are read.
#[derive(Debug)]
pub struct GgufFile {
    spans: Spans,
    tensors: HashMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    shape: Vec<usize>,
    kind: GgmlDType,
    start: u64,
    bytes: usize,
}

impl GgufFile {
    /// Opens a file and checks its header. Nothing of the tensors is read yet.
    pub fn open(path: &Path) -> Result<Self> {
        let io = |source| ModelError::Io { file: short(path), source };
        let file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        let tensors = Header {
            from: BufReader::new(file.try_clone().map_err(io)?),
            at: 0,
            limit: length.min(LONGEST_HEADER),
        }
        .read(length)
        .map_err(|reason| ModelError::Corrupt { file: short(path), reason })?;
        Ok(Self {
            spans: Spans::new(path, file),
            tensors,
        })
    }
}

/// Reads a header, never beyond its limit.
struct Header<R> {
    from: R,
    at: u64,
    limit: u64,
}

type Parsed<T> = std::result::Result<T, String>;

impl<R: Read> Header<R> {
    fn bytes<const N: usize>(&mut self) -> Parsed<[u8; N]> {
        let mut bytes = [0; N];
        self.take(N as u64)?;
        self.from.read_exact(&mut bytes).map_err(|_| "its header ends too soon")?;
        Ok(bytes)
    }

    /// Accounts for bytes that are about to be read.
    fn take(&mut self, count: u64) -> Parsed<()> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.limit);
        self.at = end.ok_or("its header ends too soon or is longer than 64 MB")?;
        Ok(())
    }

    fn u32(&mut self) -> Parsed<u32> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    fn u64(&mut self) -> Parsed<u64> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }

    fn skip(&mut self, count: u64) -> Parsed<()> {
        self.take(count)?;
        let skipped = std::io::copy(&mut self.from.by_ref().take(count), &mut std::io::sink());
        match skipped {
            Ok(n) if n == count => Ok(()),
            _ => Err("its header ends too soon".into()),
        }
    }

    fn name(&mut self) -> Parsed<String> {
        let length = self.u64()?;
        if length > LONGEST_NAME {
            return Err(format!("a name in it is {length} bytes long, at most {LONGEST_NAME} are supported"));
        }
        self.take(length)?;
        let mut bytes = vec![0; length as usize];
        self.from.read_exact(&mut bytes).map_err(|_| "its header ends too soon")?;
        String::from_utf8(bytes).map_err(|_| "a name in it is not UTF-8".into())
    }

    /// Skips a value of a type; whole numbers of 32 bits are returned.
    fn value(&mut self, kind: u32, depth: u32) -> Parsed<Option<u32>> {
        match kind {
            4 => return Ok(Some(self.u32()?)),
            8 => {
                let length = self.u64()?;
                self.skip(length)?;
            }
            9 => {
                let (of, count) = (self.u32()?, self.u64()?);
                match fixed_width(of) {
                    Some(width) => self.skip(count.checked_mul(width).ok_or("an array in it is too long")?)?,
                    None if depth < 4 => {
                        for _ in 0..count {
                            self.value(of, depth + 1)?;
                        }
                    }
                    None => return Err("arrays in it are nested too deeply".into()),
                }
            }
            other => {
                let width = fixed_width(other).ok_or_else(|| format!("a value in it has the unknown type {other}"))?;
                self.skip(width)?;
            }
        }
        Ok(None)
    }

    fn read(mut self, length: u64) -> Parsed<HashMap<String, Entry>> {
        if &self.bytes::<4>()? != b"GGUF" {
            return Err("it does not begin as GGUF files do".into());
        }
        let version = self.u32()?;
        if !(2..=3).contains(&version) {
            return Err(format!("its version of GGUF is {version}, 2 and 3 are supported"));
        }
        let (tensors, values) = (self.u64()?, self.u64()?);
        if tensors > MOST_ENTRIES || values > MOST_ENTRIES {
            return Err(format!(
                "it claims {tensors} tensors and {values} values, at most {MOST_ENTRIES} are supported"
            ));
        }
        let mut alignment = 32;
        for _ in 0..values {
            let key = self.name()?;
            let kind = self.u32()?;
            if let (Some(value), "general.alignment") = (self.value(kind, 0)?, key.as_str()) {
                alignment = u64::from(value);
            }
        }
        if !alignment.is_power_of_two() || alignment > 1 << 16 {
            return Err(format!("its alignment is {alignment}, a power of two up to 65536 expected"));
        }
        let mut found = Vec::new();
        for _ in 0..tensors {
            found.push((self.name()?, self.tensor()?));
        }
        // Offsets count from the next aligned byte after the header.
        let data = self.at.next_multiple_of(alignment);
        let mut tensors = HashMap::with_capacity(found.len());
        for (name, mut entry) in found {
            let end = data
                .checked_add(entry.start)
                .and_then(|start| start.checked_add(entry.bytes as u64));
            if end.is_none_or(|end| end > length) {
                return Err(format!("tensor `{name}` ends beyond the end of the file"));
            }
            entry.start += data;
            tensors.insert(name, entry);
        }
        Ok(tensors)
    }

    fn tensor(&mut self) -> Parsed<Entry> {
        let axes = self.u32()?;
        if axes > MOST_AXES {
            return Err(format!("a tensor has {axes} axes, at most {MOST_AXES} are supported"));
        }
        // The innermost axis comes first.
        let mut shape = Vec::new();
        for _ in 0..axes {
            shape.push(usize::try_from(self.u64()?).map_err(|_| "a shape overflows")?);
        }
        shape.reverse();
        let kind = kind_of(self.u32()?)?;
        let start = self.u64()?;
        let elements = shape
            .iter()
            .try_fold(1usize, |n, &axis| n.checked_mul(axis))
            .ok_or("a shape overflows")?;
        if !elements.is_multiple_of(kind.block_size()) {
            return Err(format!(
                "a tensor of {elements} elements is not made of blocks of {}",
                kind.block_size()
            ));
        }
        let bytes = (elements / kind.block_size())
            .checked_mul(kind.type_size())
            .ok_or("a shape overflows")?;
        Ok(Entry { shape, kind, start, bytes })
    }
}

/// Bytes of a value of a type; `None` for texts and arrays, and for types there are not.
fn fixed_width(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

fn kind_of(number: u32) -> Parsed<GgmlDType> {
    Ok(match number {
        0 => GgmlDType::F32,
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
        other => return Err(format!("a tensor has the type {other}, which is not supported")),
    })
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
        let quantized = qtensor_from_ggml(entry.kind, &bytes, entry.shape.clone(), &Device::Cpu)?;
        Ok(quantized.dequantize(&Device::Cpu)?)
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
        out.extend(3u64.to_le_bytes());
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
    fn floats_and_blocks_are_read() {
        let file = opened(&example()).unwrap();
        assert_eq!(file.info("w").unwrap().shape, [2, 3]);
        assert_eq!(
            file.read("w").unwrap().to_vec2::<f32>().unwrap(),
            [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
        );
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
        assert!(refused(&bytes[..bytes.len() - 1]).contains("beyond the end"));
    }
}
