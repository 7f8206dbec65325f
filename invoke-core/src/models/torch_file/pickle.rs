//! A machine for pickles that builds values and calls nothing.
//!
//! A pickle is a program whose `REDUCE` calls whatever function it names. Here a call is looked up in a short list of functions that put tensors
//! together, which are understood and not run; objects of a few kinds that training leaves beside the tensors become empty values; any other
//! name that is called ends the reading.

use std::{collections::HashMap, io::Read};

/// Most values that one pickle may make: some thousand times as many as the largest checkpoints.
const MOST_VALUES: usize = 2 << 20;
/// Longest text or number.
const LONGEST: u64 = 1 << 20;
/// Functions and classes by the beginnings of their names whose results no tensor depends on.
const INERT: &[&str] = &[
    "torch.device",
    "torch.serialization._get_layout",
    "numpy.",
    "_codecs.encode",
    "pytorch_lightning.",
    "lightning.",
    "lightning_fabric.",
    "omegaconf.",
    "argparse.Namespace",
    "pathlib.",
    "datetime.",
    "typing.",
    "builtins.set",
    "__builtin__.set",
    "builtins.object",
    "__builtin__.object",
    "copy_reg._reconstructor",
    "copyreg._reconstructor",
];

/// The place of a value among those made.
pub(super) type Id = usize;

/// Elements of one kind, stored one after another.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StorageRef {
    /// The class that holds them: `FloatStorage` …
    pub(super) class: String,
    /// Its name in the file.
    pub(super) key: String,
    /// How many.
    pub(super) elements: u64,
}

/// A view on a storage.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TensorRef {
    pub(super) storage: StorageRef,
    pub(super) offset: u64,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// What a pickle is made of.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// Nothing, or something that no tensor depends on.
    Other,
    None,
    Bool,
    Int(i64),
    /// A number too large for [`Value::Int`], or bytes.
    Bytes(Vec<u8>),
    Text(String),
    /// A function or class.
    Global(String),
    /// A list or tuple.
    List(Vec<Id>),
    /// A dictionary.
    Dict(Vec<(Id, Id)>),
    /// A module of TorchScript: its attributes.
    Module(Vec<(Id, Id)>),
    Storage(StorageRef),
    Tensor(TensorRef),
}

/// A pickle that was read.
#[derive(Debug)]
pub(super) struct Pickle {
    values: Vec<Value>,
    root: Id,
}

impl Pickle {
    /// What the pickle is.
    pub(super) fn root(&self) -> Id {
        self.root
    }

    /// The last value that was made.
    pub(super) fn last(&self) -> Id {
        self.values.len() - 1
    }

    /// A value.
    pub(super) fn at(&self, id: Id) -> &Value {
        &self.values[id]
    }
}

/// Reads one pickle to its end. The error says what is wrong with it.
pub(super) fn read(input: &mut dyn Read) -> Result<Pickle, String> {
    let mut machine = Machine {
        input,
        values: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    while let Some(op) = machine.step()? {
        machine.run(op)?;
    }
    let root = machine.pop()?;
    Ok(Pickle {
        values: machine.values,
        root,
    })
}

struct Machine<'a> {
    input: &'a mut dyn Read,
    values: Vec<Value>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
}

impl Machine<'_> {
    /// The next instruction; `None` at the end.
    fn step(&mut self) -> Result<Option<u8>, String> {
        let [op] = self.bytes::<1>()?;
        Ok((op != b'.').then_some(op))
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut bytes = [0; N];
        self.input
            .read_exact(&mut bytes)
            .map_err(|_| "its pickle ends too early".to_owned())?;
        Ok(bytes)
    }

    fn long(&mut self, length: u64) -> Result<Vec<u8>, String> {
        if length > LONGEST {
            return Err(format!("its pickle holds a text or number of {length} bytes"));
        }
        let mut bytes = vec![0; length as usize];
        self.input
            .read_exact(&mut bytes)
            .map_err(|_| "its pickle ends too early".to_owned())?;
        Ok(bytes)
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = Vec::new();
        loop {
            match self.bytes::<1>()? {
                [b'\n'] => break,
                [byte] => line.push(byte),
            }
            if line.len() as u64 > LONGEST {
                return Err("its pickle holds a line that does not end".into());
            }
        }
        String::from_utf8(line).map_err(|_| "its pickle holds a name that is no text".into())
    }

    fn push(&mut self, value: Value) -> Result<(), String> {
        if self.values.len() >= MOST_VALUES || self.stack.len() >= MOST_VALUES {
            return Err(format!("its pickle makes more than {MOST_VALUES} values"));
        }
        self.values.push(value);
        self.stack.push(self.values.len() - 1);
        Ok(())
    }

    fn push_text(&mut self, length: u64) -> Result<(), String> {
        let bytes = self.long(length)?;
        self.push(Value::Text(String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn push_number(&mut self, length: u64) -> Result<(), String> {
        let bytes = self.long(length)?;
        if bytes.len() > 8 {
            return self.push(Value::Bytes(bytes));
        }
        let negative = bytes.last().is_some_and(|b| *b >= 0x80);
        let mut full = [if negative { 0xff } else { 0 }; 8];
        full[..bytes.len()].copy_from_slice(&bytes);
        self.push(Value::Int(i64::from_le_bytes(full)))
    }

    fn pop(&mut self) -> Result<Id, String> {
        // Nothing below the last mark belongs to the instruction.
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err("its pickle takes a value where there is none".into());
        }
        self.stack
            .pop()
            .ok_or_else(|| "its pickle takes a value where there is none".into())
    }

    fn top(&self) -> Result<Id, String> {
        self.stack
            .last()
            .copied()
            .ok_or_else(|| "its pickle takes a value where there is none".into())
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or("its pickle lacks a mark")?;
        if mark > self.stack.len() {
            return Err("its pickle lacks a mark".into());
        }
        Ok(self.stack.split_off(mark))
    }

    fn run(&mut self, op: u8) -> Result<(), String> {
        match op {
            // PROTO, FRAME
            0x80 => {
                let [version] = self.bytes::<1>()?;
                if version > 5 {
                    return Err(format!("its pickle is of version {version}, known are those up to 5"));
                }
            }
            0x95 => {
                self.bytes::<8>()?;
            }
            b'(' => self.marks.push(self.stack.len()),
            b'0' => {
                if self.marks.last() == Some(&self.stack.len()) {
                    self.marks.pop();
                } else {
                    self.pop()?;
                }
            }
            b'1' => {
                self.pop_to_mark()?;
            }
            b'2' => self.stack.push(self.top()?),
            b'N' => self.push(Value::None)?,
            0x88 | 0x89 => self.push(Value::Bool)?,
            b'K' => {
                let [n] = self.bytes::<1>()?;
                self.push(Value::Int(n.into()))?;
            }
            b'M' => {
                let n = u16::from_le_bytes(self.bytes()?);
                self.push(Value::Int(n.into()))?;
            }
            b'J' => {
                let n = i32::from_le_bytes(self.bytes()?);
                self.push(Value::Int(n.into()))?;
            }
            0x8a => {
                let [n] = self.bytes::<1>()?;
                self.push_number(n.into())?;
            }
            0x8b => {
                let n = u32::from_le_bytes(self.bytes()?);
                self.push_number(n.into())?;
            }
            b'G' => {
                self.bytes::<8>()?;
                self.push(Value::Other)?;
            }
            b'X' => {
                let n = u32::from_le_bytes(self.bytes()?);
                self.push_text(n.into())?;
            }
            0x8c | b'U' => {
                let [n] = self.bytes::<1>()?;
                self.push_text(n.into())?;
            }
            0x8d => {
                let n = u64::from_le_bytes(self.bytes()?);
                self.push_text(n)?;
            }
            b'T' => {
                let n = u32::from_le_bytes(self.bytes()?);
                self.push_text(n.into())?;
            }
            b'B' => {
                let n = u32::from_le_bytes(self.bytes()?);
                let bytes = self.long(n.into())?;
                self.push(Value::Bytes(bytes))?;
            }
            b'C' => {
                let [n] = self.bytes::<1>()?;
                let bytes = self.long(n.into())?;
                self.push(Value::Bytes(bytes))?;
            }
            b'}' => self.push(Value::Dict(Vec::new()))?,
            b']' | b')' | 0x8f => self.push(Value::List(Vec::new()))?,
            b't' | b'l' => {
                let items = self.pop_to_mark()?;
                self.push(Value::List(items))?;
            }
            0x85..=0x87 => {
                let mut items = Vec::new();
                for _ in 0..=(op - 0x85) {
                    items.insert(0, self.pop()?);
                }
                self.push(Value::List(items))?;
            }
            b'd' => {
                let items = self.pop_to_mark()?;
                self.push(Value::Dict(pairs(&items)?))?;
            }
            b'a' => {
                let item = self.pop()?;
                self.extend_list(&[item])?;
            }
            b'e' | 0x90 => {
                let items = self.pop_to_mark()?;
                self.extend_list(&items)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.extend_dict(&[key, value])?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.extend_dict(&items)?;
            }
            b'q' => {
                let [n] = self.bytes::<1>()?;
                self.keep(n.into())?;
            }
            b'r' => {
                let n = u32::from_le_bytes(self.bytes()?);
                self.keep(n.into())?;
            }
            0x94 => self.keep(self.memo.len() as u64)?,
            b'h' => {
                let [n] = self.bytes::<1>()?;
                self.recall(n.into())?;
            }
            b'j' => {
                let n = u32::from_le_bytes(self.bytes()?);
                self.recall(n.into())?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Value::Global(format!("{module}.{name}")))?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Value::Text(name), Value::Text(module)) = (&self.values[name], &self.values[module]) else {
                    return Err("its pickle names a function by something that is no text".into());
                };
                let name = format!("{module}.{name}");
                self.push(Value::Global(name))?;
            }
            b'R' | 0x81 => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                let made = self.call(function, arguments)?;
                self.push(made)?;
            }
            b'b' => {
                let state = self.pop()?;
                let object = self.top()?;
                // Only modules are made of their state; elsewhere it is notes of the training.
                if let (Value::Module(_), Value::Dict(fields)) = (&self.values[object], &self.values[state]) {
                    self.values[object] = Value::Module(fields.clone());
                }
            }
            b'Q' => {
                let id = self.pop()?;
                let storage = self.storage(id)?;
                self.push(storage)?;
            }
            other => {
                return Err(format!(
                    "its pickle uses instruction 0x{other:02x}, which tensor files have no need of"
                ));
            }
        }
        Ok(())
    }

    fn keep(&mut self, name: u64) -> Result<(), String> {
        let top = self.top()?;
        self.memo.insert(name, top);
        Ok(())
    }

    fn recall(&mut self, name: u64) -> Result<(), String> {
        let id = *self.memo.get(&name).ok_or("its pickle refers to a value that it did not make")?;
        if self.stack.len() >= MOST_VALUES {
            return Err(format!("its pickle makes more than {MOST_VALUES} values"));
        }
        self.stack.push(id);
        Ok(())
    }

    fn extend_list(&mut self, items: &[Id]) -> Result<(), String> {
        let list = self.top()?;
        match &mut self.values[list] {
            Value::List(known) => known.extend(items),
            Value::Other => {}
            _ => return Err("its pickle appends to something that is no list".into()),
        }
        Ok(())
    }

    fn extend_dict(&mut self, items: &[Id]) -> Result<(), String> {
        let dict = self.top()?;
        match &mut self.values[dict] {
            Value::Dict(known) => known.extend(pairs(items)?),
            Value::Other => {}
            _ => return Err("its pickle puts entries into something that is no dictionary".into()),
        }
        Ok(())
    }

    /// What a call would make.
    fn call(&self, function: Id, arguments: Id) -> Result<Value, String> {
        let Value::Global(name) = &self.values[function] else {
            return match &self.values[function] {
                Value::Other => Ok(Value::Other),
                _ => Err("its pickle calls something that is no function".into()),
            };
        };
        let Value::List(given) = &self.values[arguments] else {
            return Err(format!("its pickle calls `{name}` without a list of arguments"));
        };
        match name.as_str() {
            "collections.OrderedDict" | "collections.defaultdict" | "collections.Counter" | "builtins.dict" | "__builtin__.dict" => {
                Ok(match given.last().map(|id| &self.values[*id]) {
                    Some(Value::Dict(known)) => Value::Dict(known.clone()),
                    Some(Value::List(known)) => Value::Dict(self.listed_pairs(known)),
                    _ => Value::Dict(Vec::new()),
                })
            }
            "torch.Size" => Ok(given.first().map_or(Value::Other, |id| self.values[*id].clone())),
            "torch._utils._rebuild_tensor_v2" | "torch._utils._rebuild_tensor" => self.tensor(given),
            "torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state" | "torch.nn.parameter.Parameter" => {
                match given.first().map(|id| &self.values[*id]) {
                    Some(Value::Tensor(tensor)) => Ok(Value::Tensor(tensor.clone())),
                    _ => Err("its pickle makes a parameter of something that is no tensor".into()),
                }
            }
            "torch._tensor._rebuild_from_type_v2" => match given.as_slice() {
                [function, _, arguments, ..] => match (&self.values[*function], &self.values[*arguments]) {
                    (Value::Global(inner), Value::List(inner_given)) if inner.starts_with("torch._utils._rebuild_tensor") => {
                        self.tensor(inner_given)
                    }
                    _ => Err("its pickle holds a tensor of an unknown kind".into()),
                },
                _ => Err("its pickle holds a tensor of an unknown kind".into()),
            },
            module if module.starts_with("__torch__.") => Ok(Value::Module(Vec::new())),
            inert if INERT.iter().any(|known| inert.starts_with(known)) => Ok(Value::Other),
            foreign => Err(format!(
                "its pickle calls `{foreign}`, which is no part of a file of tensors; convert it to safetensors where you trust it"
            )),
        }
    }

    /// The entries of a list of pairs.
    fn listed_pairs(&self, list: &[Id]) -> Vec<(Id, Id)> {
        let pair = |id: &Id| match &self.values[*id] {
            Value::List(two) if two.len() == 2 => Some((two[0], two[1])),
            _ => None,
        };
        list.iter().filter_map(pair).collect()
    }

    fn tensor(&self, given: &[Id]) -> Result<Value, String> {
        let wrong = || "its pickle describes a tensor in a way that is not understood".to_owned();
        let [storage, offset, shape, strides, ..] = given else {
            return Err(wrong());
        };
        let (Value::Storage(storage), Value::Int(offset)) = (&self.values[*storage], &self.values[*offset]) else {
            return Err(wrong());
        };
        let lengths = |id: Id| match &self.values[id] {
            Value::List(items) => items
                .iter()
                .map(|item| match self.values[*item] {
                    Value::Int(n) => usize::try_from(n).map_err(|_| wrong()),
                    _ => Err(wrong()),
                })
                .collect::<Result<Vec<_>, _>>(),
            _ => Err(wrong()),
        };
        let (shape, strides) = (lengths(*shape)?, lengths(*strides)?);
        if shape.len() != strides.len() {
            return Err(wrong());
        }
        Ok(Value::Tensor(TensorRef {
            storage: storage.clone(),
            offset: u64::try_from(*offset).map_err(|_| wrong())?,
            shape,
            strides,
        }))
    }

    fn storage(&self, id: Id) -> Result<Value, String> {
        let wrong = || "its pickle describes a storage in a way that is not understood".to_owned();
        let Value::List(parts) = &self.values[id] else {
            return Err(wrong());
        };
        let [kind, class, key, _, elements, rest @ ..] = parts.as_slice() else {
            return Err(wrong());
        };
        let at = |id: &Id| &self.values[*id];
        match (at(kind), at(class), at(key), at(elements)) {
            (Value::Text(kind), Value::Global(class), Value::Text(key), Value::Int(elements)) if kind == "storage" => {
                if rest.iter().any(|id| self.values[*id] != Value::None) {
                    return Err("its tensors share storages in a way that is not supported".into());
                }
                Ok(Value::Storage(StorageRef {
                    class: class.rsplit('.').next().unwrap_or_default().to_owned(),
                    key: key.clone(),
                    elements: u64::try_from(*elements).map_err(|_| wrong())?,
                }))
            }
            _ => Err(wrong()),
        }
    }
}

fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>, String> {
    if !items.len().is_multiple_of(2) {
        return Err("its pickle has a key without a value".into());
    }
    Ok(items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}
