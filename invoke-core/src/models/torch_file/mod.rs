//! Files that torch saves (`.pth`, `.pt`, `.ckpt`, `.bin`): names, shapes and places of their tensors, found without running anything.
//!
//! Such a file holds a pickle that describes tensors and the bytes of their storages: in a zip archive (torch 1.6 and later, TorchScript too),
//! or one after another (before). Of TorchScript the tensors of its modules are read, its code is not looked at.

mod pickle;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::{BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use parking_lot::Mutex;

use pickle::{Id, Pickle, StorageRef, TensorRef, Value};

/// Largest pickle that is read from an archive.
const MOST_PICKLE_BYTES: u64 = 64 << 20;
/// Most entries of an archive.
const MOST_ENTRIES: usize = 200_000;
/// How deep dictionaries may lie in one another.
const DEEPEST: usize = 64;
/// Most dictionary entries that are looked at.
const MOST_VISITS: usize = 1 << 20;
/// Most axes of a tensor.
const MOST_AXES: usize = 8;
/// Names under which a checkpoint keeps its weights beside notes of the training; the first that is there counts.
const WRAPPERS: &[&str] = &[
    "model_state_dict",
    "state_dict",
    "params_ema",
    "params-ema",
    "params",
    "model",
    "net",
];
/// The number that files from before torch 1.6 begin with.
const OLD_MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum TorchFileError {
    /// Nothing there, no leave to read it, or a fault of the disk.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// It is damaged, or holds what is not read.
    #[error("{0}")]
    Refused(String),
}

/// How elements are stored. All are little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TorchType {
    /// `double`
    F64,
    /// `float`
    F32,
    /// `half`
    F16,
    /// `bfloat16`
    Bf16,
    /// `int64`
    I64,
    /// `int32`
    I32,
    /// `int16`
    I16,
    /// `int8`
    I8,
    /// `uint8`
    U8,
    /// `bool`, a byte each
    Bool,
}

impl TorchType {
    fn of_class(class: &str) -> Option<Self> {
        Some(match class {
            "DoubleStorage" => Self::F64,
            "FloatStorage" => Self::F32,
            "HalfStorage" => Self::F16,
            "BFloat16Storage" => Self::Bf16,
            "LongStorage" => Self::I64,
            "IntStorage" => Self::I32,
            "ShortStorage" => Self::I16,
            "CharStorage" => Self::I8,
            "ByteStorage" => Self::U8,
            "BoolStorage" => Self::Bool,
            _ => return None,
        })
    }

    /// Bytes of an element.
    pub fn width(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::Bf16 | Self::I16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }
}

/// A tensor of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TorchTensor {
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// Its elements' type.
    pub dtype: TorchType,
    strides: Vec<usize>,
    /// Where its first element lies in the file.
    start: u64,
    /// Elements from its first to its last, both included.
    span: usize,
}

impl TorchTensor {
    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    fn is_dense(&self) -> bool {
        let mut step = 1;
        self.shape.iter().zip(&self.strides).rev().all(|(n, stride)| {
            let fits = *n <= 1 || *stride == step;
            step *= n;
            fits
        })
    }
}

/// A file whose description was read and checked: every tensor lies within the file.
#[derive(Debug)]
pub struct TorchFile {
    path: PathBuf,
    file: Mutex<File>,
    tensors: BTreeMap<String, TorchTensor>,
}

/// Whether a file begins as those of torch do: as a zip archive or as a pickle.
pub fn is_torch_file(path: &Path) -> std::io::Result<bool> {
    let mut head = Vec::new();
    File::open(path)?.take(9).read_to_end(&mut head)?;
    Ok(match head.as_slice() {
        // The length of a safetensors header, whatever its first bytes are.
        [_, _, _, _, 0, 0, 0, 0, b'{'] => false,
        [b'P', b'K', 3, 4, ..] | [0x80, 1..=5, ..] => true,
        _ => false,
    })
}

impl TorchFile {
    /// Reads a file's description; of its tensors nothing yet.
    pub fn open(path: &Path) -> Result<Self, TorchFileError> {
        let refused = TorchFileError::Refused;
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut head = [0; 4];
        file.read_exact(&mut head)
            .map_err(|_| refused("it is shorter than any file of tensors".into()))?;
        file.rewind()?;
        let (pickle, places) = if &head == b"PK\x03\x04" {
            archive(&file)?
        } else {
            one_after_another(&file, length)?
        };
        let tensors = collect(&pickle, &places, length).map_err(refused)?;
        Ok(Self {
            path: path.to_owned(),
            file: Mutex::new(file),
            tensors,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its tensors by name. The weights of a checkpoint that keeps them under `state_dict`, `params_ema` and the like are named without that.
    pub fn tensors(&self) -> &BTreeMap<String, TorchTensor> {
        &self.tensors
    }

    /// The bytes of a tensor of this file, its elements in order of its axes.
    pub fn read(&self, tensor: &TorchTensor) -> std::io::Result<Vec<u8>> {
        let width = tensor.dtype.width();
        let mut bytes = vec![0; tensor.span * width];
        {
            let mut file = self.file.lock();
            file.seek(SeekFrom::Start(tensor.start))?;
            file.read_exact(&mut bytes)?;
        }
        if tensor.is_dense() {
            return Ok(bytes);
        }
        let mut dense = Vec::with_capacity(tensor.elements() * width);
        let mut index = vec![0; tensor.shape.len()];
        for _ in 0..tensor.elements() {
            let at: usize = index.iter().zip(&tensor.strides).map(|(i, stride)| i * stride).sum();
            dense.extend_from_slice(&bytes[at * width..(at + 1) * width]);
            for (i, n) in index.iter_mut().zip(&tensor.shape).rev() {
                *i += 1;
                if *i < *n {
                    break;
                }
                *i = 0;
            }
        }
        Ok(dense)
    }
}

/// Where storages lie: first byte, and bytes or, before torch 1.6, elements.
type Places = HashMap<String, u64>;

fn archive(file: &File) -> Result<(Pickle, Places), TorchFileError> {
    let refused = |reason: String| TorchFileError::Refused(reason);
    let broken = |error: zip::result::ZipError| TorchFileError::Refused(format!("its archive is damaged: {error}"));
    let mut zip = zip::ZipArchive::new(BufReader::new(file.try_clone()?)).map_err(broken)?;
    if zip.len() > MOST_ENTRIES {
        return Err(refused(format!("its archive has more than {MOST_ENTRIES} entries")));
    }
    let mut places = Places::new();
    let mut pickle = None;
    for index in 0..zip.len() {
        let mut entry = zip.by_index_raw(index).map_err(broken)?;
        let name = entry.name().map_err(broken)?.into_owned();
        // The first part is the archive's own name.
        let Some((_, inner)) = name.split_once('/') else { continue };
        if inner != "data.pkl" && inner != "byteorder" && !inner.starts_with("data/") {
            continue;
        }
        if entry.compression() != zip::CompressionMethod::Stored {
            return Err(refused(format!("its entry `{inner}` is compressed, torch stores all as it is")));
        }
        match inner {
            "data.pkl" => {
                if entry.size() > MOST_PICKLE_BYTES {
                    return Err(refused(format!(
                        "its pickle has {} bytes, at most {MOST_PICKLE_BYTES} are read",
                        entry.size()
                    )));
                }
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes)?;
                pickle = Some(pickle::read(&mut bytes.as_slice()).map_err(refused)?);
            }
            "byteorder" => {
                let mut order = String::new();
                entry.take(16).read_to_string(&mut order)?;
                if order != "little" {
                    return Err(refused("its numbers are stored with the highest byte first".into()));
                }
            }
            _ => {
                let start = entry
                    .data_start()
                    .ok_or_else(|| refused(format!("its entry `{inner}` cannot be found")))?;
                places.insert(inner["data/".len()..].to_owned(), start);
            }
        }
    }
    let pickle = pickle.ok_or_else(|| refused("it is an archive without the `data.pkl` of torch".into()))?;
    Ok((pickle, places))
}

fn one_after_another(file: &File, length: u64) -> Result<(Pickle, Places), TorchFileError> {
    let refused = |reason: String| TorchFileError::Refused(reason);
    let mut input = BufReader::new(file.try_clone()?);
    let magic = pickle::read(&mut input).map_err(refused)?;
    if magic.at(magic.root()) != &Value::Bytes(OLD_MAGIC.to_vec()) {
        return Err(refused("it is a pickle that torch did not save".into()));
    }
    // The protocol and what the machine was like.
    for _ in 0..2 {
        pickle::read(&mut input).map_err(refused)?;
    }
    let described = pickle::read(&mut input).map_err(refused)?;
    let order = pickle::read(&mut input).map_err(refused)?;
    let Value::List(keys) = order.at(order.root()) else {
        return Err(refused("it does not list its storages".into()));
    };
    let widths = storage_widths(&described);
    let mut places = Places::new();
    for key in keys {
        let Value::Text(key) = order.at(*key) else {
            return Err(refused("it does not name its storages".into()));
        };
        let mut count = [0; 8];
        input
            .read_exact(&mut count)
            .map_err(|_| refused("it ends before its storages do".into()))?;
        let start = input.stream_position()?;
        let bytes = widths
            .get(key)
            .and_then(|width| u64::from_le_bytes(count).checked_mul(*width as u64))
            .filter(|bytes| start.checked_add(*bytes).is_some_and(|end| end <= length))
            .ok_or_else(|| refused(format!("its storage `{key}` ends beyond the end of the file")))?;
        places.insert(key.clone(), start);
        input.seek(SeekFrom::Start(start + bytes))?;
    }
    Ok((described, places))
}

/// Bytes of an element of each storage that a pickle describes.
fn storage_widths(pickle: &Pickle) -> HashMap<String, usize> {
    let mut widths = HashMap::new();
    for id in 0..=pickle.last() {
        if let Value::Storage(StorageRef { class, key, .. }) = pickle.at(id)
            && let Some(dtype) = TorchType::of_class(class)
        {
            widths.insert(key.clone(), dtype.width());
        }
    }
    widths
}

/// The entries of a dictionary or module whose keys are texts.
fn entries(pickle: &Pickle, id: Id) -> Option<Vec<(&str, Id)>> {
    let (Value::Dict(pairs) | Value::Module(pairs)) = pickle.at(id) else {
        return None;
    };
    let named = |(key, value): &(Id, Id)| match pickle.at(*key) {
        Value::Text(text) => Some((text.as_str(), *value)),
        _ => None,
    };
    Some(pairs.iter().filter_map(named).collect())
}

/// The tensors of a pickle by their names, with dots between the names of dictionaries that lie in one another.
fn collect(pickle: &Pickle, places: &Places, length: u64) -> Result<BTreeMap<String, TorchTensor>, String> {
    let mut root = pickle.root();
    let is_dict = |id: Id| matches!(pickle.at(id), Value::Dict(_));
    let top = entries(pickle, root).ok_or("it holds no dictionary of tensors")?;
    let wrapped = WRAPPERS
        .iter()
        .find_map(|wrapper| top.iter().find(|(name, id)| name == wrapper && is_dict(*id)));
    if let Some((_, inner)) = wrapped {
        root = *inner;
    }
    if let Some([(_, only)]) = entries(pickle, root).as_deref()
        && is_dict(*only)
    {
        root = *only;
    }
    let mut tensors = BTreeMap::new();
    let mut visits = 0;
    let mut waiting = vec![(String::new(), root, 0)];
    while let Some((prefix, id, depth)) = waiting.pop() {
        for (name, value) in entries(pickle, id).unwrap_or_default() {
            visits += 1;
            if visits > MOST_VISITS || depth > DEEPEST {
                return Err("its dictionaries lie too deep in one another".into());
            }
            let name = format!("{prefix}{name}");
            match pickle.at(value) {
                Value::Tensor(tensor) => {
                    let placed = place(tensor, places, length).map_err(|reason| format!("tensor `{name}`: {reason}"))?;
                    tensors.insert(name, placed);
                }
                Value::Dict(_) | Value::Module(_) => waiting.push((name + ".", value, depth + 1)),
                _ => {}
            }
        }
    }
    if tensors.is_empty() {
        return Err("it holds no tensors".into());
    }
    Ok(tensors)
}

/// Checks that a tensor lies within its storage and the storage within the file.
fn place(tensor: &TensorRef, places: &Places, length: u64) -> Result<TorchTensor, String> {
    let StorageRef { class, key, elements } = &tensor.storage;
    let dtype = TorchType::of_class(class).ok_or_else(|| format!("elements of `{class}` are not supported"))?;
    let start = *places.get(key).ok_or_else(|| format!("its storage `{key}` is not in the file"))?;
    let width = dtype.width() as u64;
    let end = elements.checked_mul(width).and_then(|bytes| bytes.checked_add(start));
    if end.is_none_or(|end| end > length) {
        return Err("its storage ends beyond the end of the file".into());
    }
    if tensor.shape.len() > MOST_AXES {
        return Err(format!("it has {} axes, at most {MOST_AXES} are supported", tensor.shape.len()));
    }
    // As many elements as the storage has at most: views that repeat elements would make much of a small file.
    let count = tensor.shape.iter().try_fold(1_usize, |n, axis| n.checked_mul(*axis));
    if count.is_none_or(|count| count as u64 > *elements) {
        return Err(format!("its shape {:?} needs more elements than its storage has", tensor.shape));
    }
    let span = if tensor.shape.contains(&0) {
        Some(0)
    } else {
        let reach = tensor.shape.iter().zip(&tensor.strides);
        reach
            .map(|(n, stride)| (n - 1).checked_mul(*stride))
            .try_fold(1_usize, |sum, part| sum.checked_add(part?))
    };
    let span = span
        .filter(|span| tensor.offset.checked_add(*span as u64).is_some_and(|end| end <= *elements))
        .ok_or("it reaches beyond its storage")?;
    Ok(TorchTensor {
        shape: tensor.shape.clone(),
        dtype,
        strides: tensor.strides.clone(),
        start: start + tensor.offset * width,
        span,
    })
}
