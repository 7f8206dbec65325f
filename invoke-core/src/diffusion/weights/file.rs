//! One safetensors file.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use serde::Deserialize;

use super::spans::Spans;
use super::{Source, TensorInfo};
use crate::diffusion::error::{ModelError, Result, short};

/// The longest header that is parsed: a hundred thousand tensors fit in it.
const MAX_HEADER: u64 = 32 << 20;
/// The most axes a tensor may have.
const MAX_AXES: usize = 8;

/// A safetensors file whose header has been checked: every tensor lies inside the file and is as long as its shape says.
#[derive(Debug)]
pub struct SafetensorsFile {
    spans: Spans,
    tensors: HashMap<String, Entry>,
    metadata: HashMap<String, String>,
}

#[derive(Debug)]
struct Entry {
    info: TensorInfo,
    stored: Stored,
    start: u64,
    bytes: usize,
}

/// How elements lie in the file. Types that candle lacks are widened as they are read.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Stored {
    As(DType),
    Bool,
    I8,
    U16,
}

#[derive(Deserialize)]
struct RawEntry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (u64, u64),
}

impl SafetensorsFile {
    /// Opens a file and checks its header. Nothing of the tensors is read yet.
    pub fn open(path: &Path) -> Result<Self> {
        let io = |source| ModelError::Io { file: short(path), source };
        let corrupt = |reason: String| ModelError::Corrupt { file: short(path), reason };
        let mut file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        let mut size = [0; 8];
        file.read_exact(&mut size)
            .map_err(|_| corrupt("it is shorter than a safetensors header".into()))?;
        let header_len = u64::from_le_bytes(size);
        if header_len > MAX_HEADER || header_len > length - 8 {
            return Err(corrupt(format!("its header claims {header_len} bytes of a file of {length}")));
        }
        let mut header = vec![0; header_len as usize];
        file.read_exact(&mut header).map_err(io)?;
        let mut raw: HashMap<String, serde_json::Value> =
            serde_json::from_slice(&header).map_err(|e| corrupt(format!("its header is not valid: {e}")))?;
        drop(header);
        let metadata = match raw.remove("__metadata__") {
            Some(value) => serde_json::from_value(value).unwrap_or_default(),
            None => HashMap::new(),
        };
        let data = 8 + header_len;
        let mut tensors = HashMap::with_capacity(raw.len());
        for (name, value) in raw {
            let entry: RawEntry = serde_json::from_value(value).map_err(|e| corrupt(format!("tensor `{name}`: {e}")))?;
            let entry = check(entry, data, length).map_err(|reason| corrupt(format!("tensor `{name}`: {reason}")))?;
            tensors.insert(name, entry);
        }
        Ok(Self {
            spans: Spans::new(path, file),
            tensors,
            metadata,
        })
    }

    /// The free-form strings of the header (`__metadata__`).
    pub fn metadata(&self) -> &HashMap<String, String> {
        &self.metadata
    }
}

/// Checks one header entry against the file's length.
fn check(raw: RawEntry, data: u64, length: u64) -> std::result::Result<Entry, String> {
    let (stored, dtype) = match raw.dtype.as_str() {
        "F64" => (Stored::As(DType::F64), DType::F64),
        "F32" => (Stored::As(DType::F32), DType::F32),
        "F16" => (Stored::As(DType::F16), DType::F16),
        "BF16" => (Stored::As(DType::BF16), DType::BF16),
        "F8_E4M3" => (Stored::As(DType::F8E4M3), DType::F8E4M3),
        "I64" => (Stored::As(DType::I64), DType::I64),
        "I32" => (Stored::As(DType::I32), DType::I32),
        "I16" => (Stored::As(DType::I16), DType::I16),
        "U32" => (Stored::As(DType::U32), DType::U32),
        "U8" => (Stored::As(DType::U8), DType::U8),
        "BOOL" => (Stored::Bool, DType::U8),
        "I8" => (Stored::I8, DType::I64),
        "U16" => (Stored::U16, DType::U32),
        other => return Err(format!("data type {other} is not supported")),
    };
    let width = match stored {
        Stored::As(dtype) => dtype.size_in_bytes(),
        Stored::Bool | Stored::I8 => 1,
        Stored::U16 => 2,
    };
    if raw.shape.len() > MAX_AXES {
        return Err(format!("it has {} axes, at most {MAX_AXES} are supported", raw.shape.len()));
    }
    let bytes = raw
        .shape
        .iter()
        .try_fold(width, |n, &axis| n.checked_mul(axis))
        .ok_or("its shape overflows")?;
    let (start, end) = raw.data_offsets;
    let length_ok = end.checked_sub(start) == Some(bytes as u64);
    if !length_ok {
        return Err(format!("it spans bytes {start} to {end}, its shape {:?} needs {bytes}", raw.shape));
    }
    if data.checked_add(end).is_none_or(|end| end > length) {
        return Err("it ends beyond the end of the file".into());
    }
    Ok(Entry {
        info: TensorInfo { shape: raw.shape, dtype },
        stored,
        start: data + start,
        bytes,
    })
}

impl Source for SafetensorsFile {
    fn label(&self) -> String {
        self.spans.label()
    }

    fn names(&self) -> Vec<String> {
        self.tensors.keys().cloned().collect()
    }

    fn info(&self, name: &str) -> Option<TensorInfo> {
        self.tensors.get(name).map(|entry| entry.info.clone())
    }

    fn read(&self, name: &str) -> Result<Tensor> {
        let entry = self.tensors.get(name).ok_or_else(|| ModelError::MissingTensor {
            file: self.label(),
            tensor: name.to_owned(),
        })?;
        let bytes = self.spans.read(entry.start, entry.bytes)?;
        let shape = entry.info.shape.as_slice();
        let cpu = &Device::Cpu;
        let tensor = match entry.stored {
            Stored::As(dtype) => Tensor::from_raw_buffer(&bytes, dtype, shape, cpu)?,
            Stored::Bool => Tensor::from_vec(bytes, shape, cpu)?,
            Stored::I8 => Tensor::from_vec(bytes.iter().map(|&b| i64::from(b.cast_signed())).collect::<Vec<_>>(), shape, cpu)?,
            Stored::U16 => Tensor::from_vec(
                bytes
                    .chunks_exact(2)
                    .map(|b| u32::from(u16::from_le_bytes([b[0], b[1]])))
                    .collect::<Vec<_>>(),
                shape,
                cpu,
            )?,
        };
        Ok(tensor)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn write(header: &str, data: &[u8]) -> tempfile::NamedTempFile {
        write_with(header.len() as u64, header, data)
    }

    fn write_with(claimed: u64, header: &str, data: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&claimed.to_le_bytes()).unwrap();
        file.write_all(header.as_bytes()).unwrap();
        file.write_all(data).unwrap();
        file
    }

    fn refused(header: &str, data: &[u8]) -> String {
        SafetensorsFile::open(write(header, data).path()).unwrap_err().to_string()
    }

    #[test]
    fn reads_halves_and_metadata() {
        let file = write(
            r#"{"__metadata__":{"a":"b"},"w":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}"#,
            &[0, 0x3c, 0, 0xc0],
        );
        let file = SafetensorsFile::open(file.path()).unwrap();
        assert_eq!(file.metadata()["a"], "b");
        assert_eq!(file.info("w").unwrap().shape, [2]);
        let w: Vec<f32> = file.read("w").unwrap().to_dtype(DType::F32).unwrap().to_vec1().unwrap();
        assert_eq!(w, [1.0, -2.0]);
        assert!(file.read("v").unwrap_err().to_string().contains("lacks the tensor `v`"));
    }

    #[test]
    fn hostile_headers_are_refused() {
        let cases = [
            (r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, "beyond the end"),
            (r#"{"w":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#, "needs 12"),
            (r#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[8,4]}}"#, "needs 4"),
            (
                r#"{"w":{"dtype":"F32","shape":[4611686018427387904,8],"data_offsets":[0,8]}}"#,
                "overflows",
            ),
            (
                r#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[18446744073709551611,18446744073709551615]}}"#,
                "beyond the end",
            ),
            (r#"{"w":{"dtype":"Q7","shape":[1],"data_offsets":[0,4]}}"#, "Q7 is not supported"),
            (r#"{"w":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}}"#, "axes"),
            (r#"{"w":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#, "tensor `w`"),
            ("[]", "not valid"),
        ];
        for (header, expected) in cases {
            let message = refused(header, &[0; 4]);
            assert!(message.contains(expected), "{header}: {message}");
        }
    }

    #[test]
    fn a_header_longer_than_the_file_is_refused_before_anything_is_allocated() {
        for claimed in [u64::MAX, 1 << 40, 1000] {
            let file = write_with(claimed, "{}", &[]);
            assert!(SafetensorsFile::open(file.path()).unwrap_err().to_string().contains("claims"));
        }
        let mut short_file = tempfile::NamedTempFile::new().unwrap();
        short_file.write_all(&[1, 2, 3]).unwrap();
        assert!(
            SafetensorsFile::open(short_file.path())
                .unwrap_err()
                .to_string()
                .contains("shorter")
        );
    }

    #[test]
    fn a_file_that_shrinks_while_open_is_an_error() {
        let file = write(r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, &[0; 8]);
        let source = SafetensorsFile::open(file.path()).unwrap();
        file.as_file().set_len(60).unwrap();
        assert!(matches!(source.read("w"), Err(ModelError::Io { .. })));
    }
}
