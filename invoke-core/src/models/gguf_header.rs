//! The header of a GGUF file: keys and values, then names, shapes and places of tensors, most of which have few bits an element.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};

/// The most tensors, and the most keys and values, that a file may have.
const MOST_ENTRIES: u64 = 100_000;
/// The longest name or key.
const LONGEST_NAME: u64 = 1024;
/// The longest header that is read.
const LONGEST_HEADER: u64 = 64 << 20;
/// The most axes a tensor may have.
const MOST_AXES: u32 = 8;
/// Begins keys that state a tensor's shape: files of denoisers store convolutions with two axes, so that their rows are made of whole blocks.
const ORIGINAL_SHAPE: &str = "comfy.gguf.orig_shape.";

/// A tensor as the header describes it.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Length of each axis, outermost first.
    pub(crate) shape: Vec<usize>,
    /// How its elements are stored.
    pub(crate) kind: Kind,
    /// Where it begins in the file.
    pub(crate) start: u64,
    /// Bytes that it takes there.
    pub(crate) bytes: usize,
}

/// Reads the header of an open file: its tensors by name, every one of which lies inside the file. An error says what is wrong with it.
pub(crate) fn read(file: &File) -> std::io::Result<Result<HashMap<String, Entry>, String>> {
    let length = file.metadata()?.len();
    let header = Header {
        from: BufReader::new(file.try_clone()?),
        at: 0,
        limit: length.min(LONGEST_HEADER),
    };
    Ok(header.read(length))
}

/// Reads a header, never beyond its limit.
struct Header<R> {
    from: R,
    at: u64,
    limit: u64,
}

type Parsed<T> = Result<T, String>;

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
        let mut shapes = HashMap::new();
        for _ in 0..values {
            let key = self.name()?;
            let kind = self.u32()?;
            if let (Some(tensor), 9) = (key.strip_prefix(ORIGINAL_SHAPE), kind) {
                shapes.insert(tensor.to_owned(), self.shape()?);
            } else if let (Some(value), "general.alignment") = (self.value(kind, 0)?, key.as_str()) {
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
            if let Some(shape) = shapes.remove(&name) {
                if elements(&shape) != elements(&entry.shape) {
                    return Err(format!(
                        "tensor `{name}` is stored as {:?} and cannot have been {shape:?}",
                        entry.shape
                    ));
                }
                entry.shape = shape;
            }
            tensors.insert(name, entry);
        }
        Ok(tensors)
    }

    /// An array of whole numbers of 32 bits that is a shape.
    fn shape(&mut self) -> Parsed<Vec<usize>> {
        let (of, count) = (self.u32()?, self.u64()?);
        if !matches!(of, 4 | 5) || count > u64::from(MOST_AXES) {
            return Err(format!("a shape in it is an array of {count} values of type {of}"));
        }
        (0..count).map(|_| Ok(self.u32()? as usize)).collect()
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
        let elements = elements(&shape).ok_or("a shape overflows")?;
        if !elements.is_multiple_of(kind.block) {
            return Err(format!("a tensor of {elements} elements is not made of blocks of {}", kind.block));
        }
        let bytes = (elements / kind.block).checked_mul(kind.bytes).ok_or("a shape overflows")?;
        Ok(Entry { shape, kind, start, bytes })
    }
}

/// Number of a shape's elements; `None` if they cannot be counted.
fn elements(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |n, &axis| n.checked_mul(axis))
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

/// How a number of the format says that elements are stored: it, elements of a block, bytes of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    /// The number.
    pub(crate) number: u32,
    /// Elements that are stored together.
    pub(crate) block: usize,
    /// Bytes that they take.
    pub(crate) bytes: usize,
}

/// All that can be read: floats of 32, 16 and again 16 bits (the last is `bfloat16`), and blocks of 2 to 8 bits an element.
pub(crate) const KINDS: &[Kind] = &[
    kind(0, 1, 4),
    kind(1, 1, 2),
    kind(2, 32, 18),
    kind(3, 32, 20),
    kind(6, 32, 22),
    kind(7, 32, 24),
    kind(8, 32, 34),
    kind(10, 256, 84),
    kind(11, 256, 110),
    kind(12, 256, 144),
    kind(13, 256, 176),
    kind(14, 256, 210),
    kind(30, 1, 2),
];

const fn kind(number: u32, block: usize, bytes: usize) -> Kind {
    Kind { number, block, bytes }
}

fn kind_of(number: u32) -> Parsed<Kind> {
    let kind = KINDS.iter().find(|kind| kind.number == number).copied();
    kind.ok_or_else(|| format!("a tensor has the type {number}, which is not supported"))
}
