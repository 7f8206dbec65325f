//! Weights that bitsandbytes has packed: 4 bits an element, by a table of 16 values and a scale for each block, or 8 bits, by a scale for each row.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use serde::Deserialize;

use super::{Source, TensorInfo};
use crate::diffusion::error::{ModelError, Result};

/// Ends the name of the tensor that says how a weight was packed; the kind follows.
const STATE: &str = ".quant_state.bitsandbytes__";
/// Ends the name of the scales of a weight of 8 bits.
const ROWS: &str = ".SCB";
/// Ends the name of a mark beside them.
const FORMAT: &str = ".weight_format";
/// Stands in the names of what belongs to a weight.
const BELOW: &str = ".weight.";
/// The longest description of a packed weight, in bytes.
const LONGEST_STATE: usize = 1 << 16;

/// A source whose packed weights are unpacked, in single floats, as they are read.
#[derive(Debug)]
pub struct BitsAndBytes {
    inner: Arc<dyn Source>,
    packed: HashMap<String, Packed>,
    /// Tensors that say how others are packed.
    beside: HashSet<String>,
}

#[derive(Debug)]
enum Packed {
    /// Two elements a byte.
    Half(State),
    /// One element a byte.
    Byte,
}

/// How a weight of 4 bits was packed.
#[derive(Debug, Deserialize)]
struct State {
    shape: Vec<usize>,
    /// Elements that share a scale.
    blocksize: usize,
    /// Where scales are packed in turn: how many share one of theirs, and what is added to all.
    #[serde(default)]
    nested_blocksize: Option<usize>,
    #[serde(default)]
    nested_offset: Option<f32>,
}

impl BitsAndBytes {
    /// `source` itself if nothing in it is packed. An error names a weight whose description is wrong.
    pub fn unpacked(source: Arc<dyn Source>) -> Result<Arc<dyn Source>> {
        let mut packed = HashMap::new();
        let names = source.names();
        for name in &names {
            if let Some((weight, _)) = name.split_once(STATE) {
                packed.insert(weight.to_owned(), Packed::Half(state(&*source, name, weight)?));
            } else if name.ends_with(FORMAT) {
                // In rows; whatever else there once was would be unpacked to noise.
                let format = source.read(name)?.flatten_all()?.to_dtype(DType::F32)?.to_vec1::<f32>()?;
                if format.iter().any(|format| *format != 0.0) {
                    return Err(corrupt(&*source, name, "weights packed in another order than rows are not read"));
                }
            } else if let Some(module) = name.strip_suffix(ROWS) {
                packed.insert(format!("{module}.weight"), Packed::Byte);
            }
        }
        if packed.is_empty() {
            return Ok(source);
        }
        let is_beside = |name: &&String| {
            let of_half = || {
                name.find(BELOW)
                    .is_some_and(|at| packed.contains_key(&name[..at + BELOW.len() - 1]))
            };
            name.ends_with(ROWS) || name.ends_with(FORMAT) || of_half()
        };
        let beside = names.iter().filter(is_beside).cloned().collect();
        Ok(Arc::new(Self {
            inner: source,
            packed,
            beside,
        }))
    }

    fn corrupt(&self, name: &str, reason: impl std::fmt::Display) -> ModelError {
        corrupt(&*self.inner, name, reason)
    }

    /// A tensor beside a weight, in single floats.
    fn floats(&self, name: &str) -> Result<Vec<f32>> {
        Ok(self.inner.read(name)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
    }

    fn bytes(&self, name: &str) -> Result<Vec<u8>> {
        let tensor = self.inner.read(name)?;
        match tensor.dtype() {
            DType::U8 => Ok(tensor.flatten_all()?.to_vec1()?),
            other => Err(self.corrupt(name, format_args!("it is of type {other:?}, expected bytes"))),
        }
    }

    /// The scale of every block of a weight of 4 bits.
    fn scales(&self, name: &str, state: &State) -> Result<Vec<f32>> {
        let own = format!("{name}.absmax");
        let Some(block) = state.nested_blocksize else {
            return self.floats(&own);
        };
        let packed = self.bytes(&own)?;
        let table = self.floats(&format!("{name}.nested_quant_map"))?;
        let scales = self.floats(&format!("{name}.nested_absmax"))?;
        let offset = state.nested_offset.unwrap_or(0.0);
        if table.len() != 256 || block == 0 || scales.len() < packed.len().div_ceil(block) {
            return Err(self.corrupt(name, "the scales of its scales are too few"));
        }
        let value = |(i, byte): (usize, &u8)| table[usize::from(*byte)] * scales[i / block] + offset;
        Ok(packed.iter().enumerate().map(value).collect())
    }

    fn half(&self, name: &str, state: &State) -> Result<Tensor> {
        let packed = self.bytes(name)?;
        let table = self.floats(&format!("{name}.quant_map"))?;
        let elements: usize = state.shape.iter().product();
        let scales = self.scales(name, state)?;
        if table.len() != 16 || state.blocksize == 0 || scales.len() < elements.div_ceil(state.blocksize) {
            return Err(self.corrupt(name, "its table or its scales are too short"));
        }
        let mut values = Vec::with_capacity(elements);
        let fours = packed.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        let mut fours = fours.map(|four| table[usize::from(four)]).take(elements);
        for scale in scales {
            values.extend(fours.by_ref().take(state.blocksize).map(|value| value * scale));
        }
        Ok(Tensor::from_vec(values, state.shape.as_slice(), &Device::Cpu)?)
    }

    fn byte(&self, name: &str) -> Result<Tensor> {
        let module = name.strip_suffix(".weight").unwrap_or(name);
        let scales = self.inner.read(&format!("{module}{ROWS}"))?.to_dtype(DType::F32)?.flatten_all()?;
        let weight = self.inner.read(name)?;
        let &[rows, _] = weight.dims() else {
            return Err(self.corrupt(name, format_args!("its shape is {:?}, expected two axes", weight.dims())));
        };
        if scales.elem_count() != rows {
            return Err(self.corrupt(name, format_args!("it has {rows} rows and {} scales", scales.elem_count())));
        }
        let scales = (scales / 127.0)?.reshape((rows, 1))?;
        Ok(weight.to_dtype(DType::F32)?.broadcast_mul(&scales)?)
    }
}

fn corrupt(source: &dyn Source, name: &str, reason: impl std::fmt::Display) -> ModelError {
    ModelError::Corrupt {
        file: source.label(),
        reason: format!("tensor `{name}`: {reason}"),
    }
}

/// The description of a weight of 4 bits, whose shape is that of what is there.
fn state(source: &dyn Source, name: &str, weight: &str) -> Result<State> {
    let info = source
        .info(name)
        .filter(|info| info.dtype == DType::U8 && info.elements() <= LONGEST_STATE);
    info.ok_or_else(|| corrupt(source, name, "it is no description of a packed weight"))?;
    let text: Vec<u8> = source.read(name)?.flatten_all()?.to_vec1()?;
    let state: State = serde_json::from_slice(&text).map_err(|error| corrupt(source, name, error))?;
    let bytes = source
        .info(weight)
        .filter(|info| info.dtype == DType::U8)
        .map(|info| info.elements());
    let elements = state.shape.iter().try_fold(1usize, |n, &axis| n.checked_mul(axis));
    if bytes.is_none() || elements.map(|n| n.div_ceil(2)) != bytes {
        let bytes = bytes.unwrap_or(0);
        return Err(corrupt(
            source,
            weight,
            format_args!("its {bytes} bytes are not half of {:?}", state.shape),
        ));
    }
    Ok(state)
}

impl Source for BitsAndBytes {
    fn label(&self) -> String {
        self.inner.label()
    }

    fn names(&self) -> Vec<String> {
        self.inner.names().into_iter().filter(|name| !self.beside.contains(name)).collect()
    }

    fn info(&self, name: &str) -> Option<TensorInfo> {
        if self.beside.contains(name) {
            return None;
        }
        let mut info = self.inner.info(name)?;
        match self.packed.get(name) {
            Some(Packed::Half(state)) => info.shape.clone_from(&state.shape),
            Some(Packed::Byte) => {}
            None => return Some(info),
        }
        info.dtype = DType::F32;
        Some(info)
    }

    fn read(&self, name: &str) -> Result<Tensor> {
        match self.packed.get(name) {
            Some(Packed::Half(state)) => self.half(name, state),
            Some(Packed::Byte) => self.byte(name),
            None => self.inner.read(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::diffusion::weights::SafetensorsFile;

    /// A source of tensors in memory.
    #[derive(Debug)]
    struct Held(HashMap<String, Tensor>);

    impl Source for Held {
        fn label(&self) -> String {
            "held".into()
        }

        fn names(&self) -> Vec<String> {
            self.0.keys().cloned().collect()
        }

        fn info(&self, name: &str) -> Option<TensorInfo> {
            let tensor = self.0.get(name)?;
            Some(TensorInfo {
                shape: tensor.dims().to_vec(),
                dtype: tensor.dtype(),
            })
        }

        fn read(&self, name: &str) -> Result<Tensor> {
            self.0.get(name).cloned().ok_or_else(|| ModelError::MissingTensor {
                file: self.label(),
                tensor: name.to_owned(),
            })
        }
    }

    fn recorded(name: &str) -> SafetensorsFile {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/numerics");
        SafetensorsFile::open(&folder.join(name)).unwrap()
    }

    fn values(tensor: &Tensor) -> Vec<f32> {
        tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn weights_are_what_bitsandbytes_unpacks() {
        let source = BitsAndBytes::unpacked(Arc::new(recorded("models/bitsandbytes.safetensors"))).unwrap();
        let wanted = recorded("bitsandbytes.safetensors");
        let mut names = source.names();
        names.sort();
        let mut expected = wanted.names();
        expected.sort();
        assert_eq!(names, expected);
        for name in names {
            let (found, wanted) = (source.read(&name).unwrap(), wanted.read(&name).unwrap());
            assert_eq!(source.info(&name).unwrap().shape, wanted.dims(), "{name}");
            let far = values(&found)
                .iter()
                .zip(values(&wanted))
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f32::max);
            assert!(found.dims() == wanted.dims() && far < 1e-6, "{name}: {far}");
        }
    }

    #[test]
    fn what_is_not_packed_is_left_alone() {
        let own: Arc<dyn Source> = Arc::new(Held(HashMap::from([(
            "a.weight".to_owned(),
            Tensor::zeros((2, 2), DType::F32, &Device::Cpu).unwrap(),
        )])));
        assert!(Arc::ptr_eq(&own, &BitsAndBytes::unpacked(own.clone()).unwrap()));
    }

    #[test]
    fn descriptions_that_do_not_fit_are_refused() {
        let bytes = |text: &[u8]| Tensor::from_slice(text, text.len(), &Device::Cpu).unwrap();
        let floats = |n: usize| Tensor::zeros(n, DType::F32, &Device::Cpu).unwrap();
        let packed = |state: &str, scales: usize| {
            BitsAndBytes::unpacked(Arc::new(Held(HashMap::from([
                ("a.weight".to_owned(), bytes(&[0; 8])),
                ("a.weight.absmax".to_owned(), floats(scales)),
                ("a.weight.quant_map".to_owned(), floats(16)),
                ("a.weight.quant_state.bitsandbytes__nf4".to_owned(), bytes(state.as_bytes())),
            ]))))
            .and_then(|source| source.read("a.weight"))
        };
        assert!(packed(r#"{"shape":[4,4],"blocksize":8}"#, 2).is_ok());
        for (state, scales, wrong) in [
            ("nothing", 2, "expected"),
            (r#"{"shape":[4,5],"blocksize":8}"#, 2, "not half"),
            (r#"{"shape":[4294967296,4294967296],"blocksize":8}"#, 2, "not half"),
            (r#"{"shape":[1152921504606846976],"blocksize":8}"#, 2, "not half"),
            (r#"{"shape":[4,4],"blocksize":0}"#, 2, "too short"),
            (r#"{"shape":[4,4],"blocksize":8}"#, 1, "too short"),
            (r#"{"shape":[4,4],"blocksize":8,"nested_blocksize":0}"#, 2, "expected bytes"),
        ] {
            let error = packed(state, scales).unwrap_err().to_string();
            assert!(error.contains(wrong) && error.contains("a.weight"), "{state}: {error}");
        }
        let tiled = BitsAndBytes::unpacked(Arc::new(Held(HashMap::from([
            ("a.weight".to_owned(), Tensor::zeros((2, 2), DType::I64, &Device::Cpu).unwrap()),
            ("a.SCB".to_owned(), floats(2)),
            ("a.weight_format".to_owned(), bytes(&[1])),
        ]))));
        assert!(tiled.unwrap_err().to_string().contains("another order than rows"));
        let rows = BitsAndBytes::unpacked(Arc::new(Held(HashMap::from([
            ("a.weight".to_owned(), Tensor::zeros((2, 2), DType::I64, &Device::Cpu).unwrap()),
            ("a.SCB".to_owned(), floats(3)),
        ]))));
        assert!(
            rows.unwrap()
                .read("a.weight")
                .unwrap_err()
                .to_string()
                .contains("2 rows and 3 scales")
        );
    }
}
