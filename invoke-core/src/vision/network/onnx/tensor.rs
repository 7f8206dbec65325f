//! Tensors within an ONNX file.

use candle_core::{Device, Tensor};
use half::{bf16, f16};

use crate::models::protobuf::{Fields, Value};
use crate::vision::network::elements;

/// ONNX's numbers of the kinds of elements.
pub(super) mod kind {
    pub(in super::super) const FLOAT: u64 = 1;
    pub(in super::super) const UINT8: u64 = 2;
    pub(in super::super) const INT8: u64 = 3;
    pub(in super::super) const UINT16: u64 = 4;
    pub(in super::super) const INT16: u64 = 5;
    pub(in super::super) const INT32: u64 = 6;
    pub(in super::super) const INT64: u64 = 7;
    pub(in super::super) const BOOL: u64 = 9;
    pub(in super::super) const FLOAT16: u64 = 10;
    pub(in super::super) const DOUBLE: u64 = 11;
    pub(in super::super) const UINT32: u64 = 12;
    pub(in super::super) const UINT64: u64 = 13;
    pub(in super::super) const BFLOAT16: u64 = 16;
}

/// A tensor's fields, its numbers not looked at yet.
#[derive(Debug, Default)]
struct Raw<'a> {
    name: &'a str,
    sides: Vec<i64>,
    kind: u64,
    raw: Option<&'a [u8]>,
    floats: Vec<f32>,
    numbers: Vec<i64>,
    doubles: Vec<f64>,
    elsewhere: bool,
}

/// A tensor's name, and its elements as floats, whole numbers or truth values on the CPU.
pub(super) fn read(bytes: &[u8]) -> Result<(&str, Tensor), String> {
    let mut raw = Raw::default();
    let mut fields = Fields(bytes);
    while let Some((field, value)) = fields.next()? {
        match field {
            1 => value.numbers(&mut raw.sides)?,
            2 => raw.kind = value.number()?,
            4 => value.floats(&mut raw.floats)?,
            5 | 7 | 11 => value.numbers(&mut raw.numbers)?,
            8 => raw.name = value.text()?,
            9 => raw.raw = Some(value.bytes()?),
            10 => match value {
                Value::Eight(bytes) => raw.doubles.push(f64::from_le_bytes(bytes)),
                other => raw.doubles.extend(chunks(other.bytes()?)?.iter().map(|b| f64::from_le_bytes(*b))),
            },
            13 => raw.elsewhere = true,
            14 => raw.elsewhere |= value.number()? != 0,
            _ => {}
        }
    }
    let tensor = raw.tensor().map_err(|error| format!("the tensor `{}` {error}", raw.name))?;
    Ok((raw.name, tensor))
}

/// The bytes of elements of equal width.
fn chunks<const N: usize>(bytes: &[u8]) -> Result<&[[u8; N]], String> {
    match bytes.as_chunks::<N>() {
        (chunks, []) => Ok(chunks),
        _ => Err(format!("has {} bytes of elements of {N} bytes", bytes.len())),
    }
}

impl Raw<'_> {
    fn tensor(&self) -> Result<Tensor, String> {
        if self.elsewhere {
            return Err("lies in another file, which is not read".into());
        }
        let sides = self.sides.iter().map(|side| usize::try_from(*side));
        let sides = sides
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| format!("has the shape {:?}", self.sides))?;
        let count = elements(&sides).map_err(|error| error.to_string())?;
        match self.kind {
            kind::FLOAT | kind::FLOAT16 | kind::DOUBLE | kind::BFLOAT16 => shaped(self.as_floats()?, &sides, count),
            kind::BOOL => {
                let truths = self.as_numbers()?.into_iter().map(|n| u8::from(n != 0)).collect();
                shaped::<u8>(truths, &sides, count)
            }
            kind::UINT8 | kind::INT8 | kind::UINT16 | kind::INT16 | kind::INT32 | kind::INT64 | kind::UINT32 | kind::UINT64 => {
                shaped(self.as_numbers()?, &sides, count)
            }
            other => Err(format!("has elements of kind {other}, which is not supported")),
        }
    }

    fn as_floats(&self) -> Result<Vec<f32>, String> {
        let halves = |bits: &dyn Fn(u16) -> f32| self.numbers.iter().map(|n| bits(*n as u16)).collect();
        Ok(match (self.raw, self.kind) {
            (Some(raw), kind::FLOAT) => chunks(raw)?.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            (Some(raw), kind::FLOAT16) => chunks(raw)?.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
            (Some(raw), kind::BFLOAT16) => chunks(raw)?.iter().map(|b| bf16::from_le_bytes(*b).to_f32()).collect(),
            (Some(raw), _) => chunks(raw)?.iter().map(|b| f64::from_le_bytes(*b) as f32).collect(),
            (None, kind::FLOAT) => self.floats.clone(),
            (None, kind::FLOAT16) => halves(&|bits| f16::from_bits(bits).to_f32()),
            (None, kind::BFLOAT16) => halves(&|bits| bf16::from_bits(bits).to_f32()),
            (None, _) => self.doubles.iter().map(|v| *v as f32).collect(),
        })
    }

    fn as_numbers(&self) -> Result<Vec<i64>, String> {
        let Some(raw) = self.raw else {
            return Ok(self.numbers.clone());
        };
        Ok(match self.kind {
            kind::UINT8 | kind::BOOL => raw.iter().map(|b| i64::from(*b)).collect(),
            kind::INT8 => raw.iter().map(|b| i64::from(*b as i8)).collect(),
            kind::UINT16 => chunks(raw)?.iter().map(|b| i64::from(u16::from_le_bytes(*b))).collect(),
            kind::INT16 => chunks(raw)?.iter().map(|b| i64::from(i16::from_le_bytes(*b))).collect(),
            kind::INT32 => chunks(raw)?.iter().map(|b| i64::from(i32::from_le_bytes(*b))).collect(),
            kind::UINT32 => chunks(raw)?.iter().map(|b| i64::from(u32::from_le_bytes(*b))).collect(),
            _ => chunks(raw)?.iter().map(|b| i64::from_le_bytes(*b)).collect(),
        })
    }
}

fn shaped<T: candle_core::WithDType>(values: Vec<T>, sides: &[usize], count: usize) -> Result<Tensor, String> {
    if values.len() != count {
        return Err(format!("has {} elements for the shape {sides:?}", values.len()));
    }
    Tensor::from_vec(values, sides, &Device::Cpu).map_err(|error| error.to_string())
}
