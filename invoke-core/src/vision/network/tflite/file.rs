//! What a TFLite file says: tensors, operators, and what goes in and comes out.

use candle_core::{DType, Device, Tensor};

use super::flat::{Flaw, Table};

/// Most tensors of a network.
const MOST: usize = 1 << 14;
/// Most operators: MediaPipe's have 712 at most.
const MOST_OPERATORS: usize = 1 << 11;
/// Most tensors that an operator takes, and that a network gives.
const MOST_INPUTS: usize = 32;
/// Most dimensions of a tensor.
const MOST_DIMENSIONS: usize = 6;
/// Most numbers of a tensor, and of all that a file holds: MediaPipe's tensors have 1.2 million at most.
const MOST_NUMBERS: usize = 1 << 22;
/// The kind of operators that widen.
const DEQUANTIZE: i32 = 6;

/// A tensor.
#[derive(Debug)]
pub(super) struct Described {
    /// In the file's order: pictures are `[1, h, w, c]`.
    pub shape: Vec<usize>,
    /// Its numbers, where the file holds them.
    pub numbers: Option<Numbers>,
}

/// Numbers that a file holds.
#[derive(Debug)]
pub(super) enum Numbers {
    Floats(Tensor),
    Ints(Vec<i32>),
}

/// An operator: what it is, and which tensors it takes and gives; `None` is one that is left out.
#[derive(Debug)]
pub(super) struct Operator<'a> {
    pub code: i32,
    /// Its name, of those that TFLite does not know itself.
    pub name: &'a [u8],
    pub inputs: Vec<Option<usize>>,
    pub output: usize,
    pub options: Option<Table<'a>>,
    pub settings: &'a [u8],
}

/// A network.
#[derive(Debug)]
pub(super) struct File<'a> {
    pub tensors: Vec<Described>,
    pub operators: Vec<Operator<'a>>,
    pub inputs: Vec<usize>,
    pub outputs: Vec<usize>,
}

impl<'a> File<'a> {
    pub(super) fn parse(data: &'a [u8]) -> Result<Self, Flaw> {
        let model = Table::root(data, b"TFL3")?;
        let codes = model.tables(1, MOST)?;
        let graphs = model.tables(2, MOST)?;
        let [graph] = graphs.as_slice() else {
            return Err(format!("{} networks, expected one", graphs.len()));
        };
        let buffers = model.tables(4, MOST)?;
        let mut left = MOST_NUMBERS;
        let tensors: Vec<Described> = graph
            .tables(0, MOST)?
            .iter()
            .map(|t| described(t, &buffers, &mut left))
            .collect::<Result<_, _>>()?;
        let index = |i: i32| -> Result<usize, Flaw> {
            let found = usize::try_from(i).ok().filter(|i| *i < tensors.len());
            found.ok_or_else(|| format!("tensor {i} of {}", tensors.len()))
        };
        let all = |list: Vec<i32>| list.into_iter().map(index).collect::<Result<Vec<_>, _>>();
        let operator = |table: &Table<'a>| -> Result<Operator<'a>, Flaw> {
            let number = table.int(0, 0)?;
            let code = usize::try_from(number).ok().and_then(|i| codes.get(i));
            let code = code.ok_or_else(|| format!("operator kind {number} of {}", codes.len()))?;
            let outputs = all(table.ints(2, MOST_INPUTS)?)?;
            let [output] = outputs[..] else {
                return Err(format!("an operator with {} outputs, expected one", outputs.len()));
            };
            let input = |i| if i == -1 { Ok(None) } else { index(i).map(Some) };
            Ok(Operator {
                // Files of before there were more than 127 kinds have the number in one byte.
                code: code.int(3, 0)?.max(i32::from(code.byte(0)?)),
                name: code.raw(1)?,
                inputs: table.ints(1, MOST_INPUTS)?.into_iter().map(input).collect::<Result<_, _>>()?,
                output,
                options: table.table(4)?,
                settings: table.raw(5)?,
            })
        };
        let mut file = Self {
            operators: graph.tables(3, MOST_OPERATORS)?.iter().map(operator).collect::<Result<_, _>>()?,
            inputs: all(graph.ints(1, MOST_INPUTS)?)?,
            outputs: all(graph.ints(2, MOST_INPUTS)?)?,
            tensors,
        };
        file.widen()?;
        Ok(file)
    }

    /// Does what operators do that widen weights kept in half floats: those were widened as they were read.
    fn widen(&mut self) -> Result<(), Flaw> {
        for operator in self.operators.extract_if(.., |operator| operator.code == DEQUANTIZE) {
            let from = operator.inputs.first().copied().flatten();
            let numbers = match from.and_then(|i| self.tensors[i].numbers.as_ref()) {
                Some(Numbers::Floats(numbers)) => numbers.clone(),
                _ => return Err("an operator widens numbers that are not the file's".to_owned()),
            };
            self.tensors[operator.output] = Described {
                shape: numbers.dims().to_vec(),
                numbers: Some(Numbers::Floats(numbers)),
            };
        }
        Ok(())
    }
}

/// The number of elements of a shape.
fn count(shape: &[usize]) -> Result<usize, Flaw> {
    let all = shape.iter().try_fold(1_usize, |all, n| all.checked_mul(*n));
    all.filter(|n| *n <= MOST_NUMBERS)
        .ok_or_else(|| format!("a tensor of {shape:?}, more than {MOST_NUMBERS} numbers"))
}

/// Reads a tensor; its numbers are taken off those that are `left`.
fn described(tensor: &Table<'_>, buffers: &[Table<'_>], left: &mut usize) -> Result<Described, Flaw> {
    let shape = tensor.ints(0, MOST_DIMENSIONS)?;
    let shape: Vec<usize> = shape
        .iter()
        .map(|n| usize::try_from(*n).map_err(|_| format!("a tensor of {shape:?}")))
        .collect::<Result<_, _>>()?;
    let number = tensor.int(2, 0)?;
    let buffer = usize::try_from(number).ok().and_then(|i| buffers.get(i));
    let data = buffer.ok_or_else(|| format!("buffer {number} of {}", buffers.len()))?.raw(0)?;
    if data.is_empty() {
        return Ok(Described { shape, numbers: None });
    }
    let kind = tensor.byte(1)?;
    let (dtype, size) = match kind {
        0 => (DType::F32, 4),
        1 => (DType::F16, 2),
        2 => (DType::U32, 4),
        _ => {
            return Err(format!(
                "a tensor of numbers of the kind {kind}, expected single or half floats or integers of four bytes"
            ));
        }
    };
    let numbers = count(&shape)?;
    if numbers * size != data.len() {
        return Err(format!("a tensor of {shape:?} has {} bytes", data.len()));
    }
    // Many tensors may have the same buffer.
    *left = left
        .checked_sub(numbers)
        .ok_or_else(|| format!("its tensors hold more than {MOST_NUMBERS} numbers"))?;
    let numbers = if dtype == DType::U32 {
        Numbers::Ints(data.as_chunks().0.iter().map(|v| i32::from_le_bytes(*v)).collect())
    } else {
        let tensor = Tensor::from_raw_buffer(data, dtype, &shape, &Device::Cpu).and_then(|t| t.to_dtype(DType::F32));
        Numbers::Floats(tensor.map_err(|error| error.to_string())?)
    };
    Ok(Described {
        shape,
        numbers: Some(numbers),
    })
}
