//! ONNX files: a graph of operations and its weights in one message of protocol buffers. Nothing in such a file is code; what it says of lengths,
//! shapes and places is checked, weights in other files are refused, and an operator that [`Op`](super::Op) does not know is named.

mod ops;
mod tensor;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, path::Path};

use candle_core::Tensor;

use super::{Input, Network, Step, named, read_whole};
use crate::diffusion::Result;
use crate::models::protobuf::{Fields, Value};

/// Versions of the operators that are known.
const OPSETS: std::ops::RangeInclusive<u64> = 9..=18;
/// The largest file that is read, which is read as a whole: those of poses have up to 220 MB.
const LARGEST: u64 = 1 << 29;

/// Opens an ONNX file.
///
/// # Errors
/// If it cannot be read, is damaged, or asks for what is not supported.
pub fn open(path: &Path) -> Result<Network> {
    let (bytes, name) = read_whole(path, LARGEST)?;
    read(&bytes, &name)
}

/// Reads an ONNX file's bytes; `name` is what it is called in messages.
///
/// # Errors
/// If it is damaged or asks for what is not supported.
pub fn read(bytes: &[u8], name: &str) -> Result<Network> {
    named(name, model(bytes))
}

fn model(bytes: &[u8]) -> Result<Network, String> {
    let (mut graph_bytes, mut opset) = (None, None);
    let mut fields = Fields(bytes);
    while let Some((field, value)) = fields.next()? {
        match field {
            7 => graph_bytes = Some(value.bytes()?),
            8 => {
                let (mut domain, mut version) = ("", 0);
                let mut fields = Fields(value.bytes()?);
                while let Some((field, value)) = fields.next()? {
                    match field {
                        1 => domain = value.text()?,
                        2 => version = value.number()?,
                        _ => {}
                    }
                }
                if is_standard(domain) {
                    opset = Some(version);
                }
            }
            _ => {}
        }
    }
    match (graph_bytes, opset) {
        (Some(bytes), Some(opset)) if OPSETS.contains(&opset) => graph(bytes, opset),
        (_, Some(opset)) if !OPSETS.contains(&opset) => Err(format!(
            "the operators' version is {opset}, expected {} to {}",
            OPSETS.start(),
            OPSETS.end()
        )),
        (None, _) => Err("there is no graph".into()),
        _ => Err("the operators' version is missing".into()),
    }
}

fn is_standard(domain: &str) -> bool {
    domain.is_empty() || domain == "ai.onnx"
}

fn graph(bytes: &[u8], opset: u64) -> Result<Network, String> {
    let mut network = Network::default();
    let mut fields = Fields(bytes);
    let mut nodes = Vec::new();
    while let Some((field, value)) = fields.next()? {
        match field {
            1 => nodes.push(value.bytes()?),
            5 => {
                let (name, tensor) = tensor::read(value.bytes()?)?;
                constant(&mut network, name, tensor)?;
            }
            11 => network.inputs.push(input(value.bytes()?)?),
            12 => network.outputs.push(input(value.bytes()?)?.name),
            15 => return Err("sparse tensors are not supported".into()),
            _ => {}
        }
    }
    for bytes in nodes {
        let node = Node::read(bytes)?;
        if node.op == "Constant" && is_standard(node.domain) {
            let tensor = ops::constant(&node)?;
            let name = node.outputs.first().copied().unwrap_or_default();
            constant(&mut network, name, tensor)?;
        } else {
            let op = ops::op(&node, opset)?;
            let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            network.steps.push(Step {
                op,
                inputs: owned(&node.inputs),
                outputs: owned(&node.outputs),
            });
        }
    }
    // Older files list weights among the inputs.
    let constants = &network.constants;
    network.inputs.retain(|input| !constants.contains_key(&input.name));
    Ok(network)
}

fn constant(network: &mut Network, name: &str, tensor: Tensor) -> Result<(), String> {
    match network.constants.insert(name.to_owned(), tensor) {
        None if !name.is_empty() => Ok(()),
        None => Err("a tensor has no name".into()),
        Some(_) => Err(format!("the tensor `{name}` is there twice")),
    }
}

/// What a file tells of an input or output.
fn input(bytes: &[u8]) -> Result<Input, String> {
    let (mut name, mut shape) = (String::new(), Vec::new());
    each(bytes, |field, value| {
        match field {
            1 => value.text()?.clone_into(&mut name),
            2 => each(value.bytes()?, |field, value| match field {
                1 => each(value.bytes()?, |field, value| match field {
                    2 => each(value.bytes()?, |field, value| {
                        if field == 1 {
                            shape.push(side(value.bytes()?)?);
                        }
                        Ok(())
                    }),
                    _ => Ok(()),
                }),
                _ => Ok(()),
            })?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(Input { name, shape })
}

/// A side's length, if it is a number.
fn side(bytes: &[u8]) -> Result<Option<usize>, String> {
    let mut length = None;
    each(bytes, |field, value| {
        if field == 1 {
            length = usize::try_from(value.number()? as i64).ok().filter(|n| *n > 0);
        }
        Ok(())
    })?;
    Ok(length)
}

/// Does something for each field of a message.
fn each<'a>(bytes: &'a [u8], mut f: impl FnMut(u64, Value<'a>) -> Result<(), String>) -> Result<(), String> {
    let mut fields = Fields(bytes);
    while let Some((field, value)) = fields.next()? {
        f(field, value)?;
    }
    Ok(())
}

/// One operation as the file has it.
#[derive(Debug, Default)]
struct Node<'a> {
    op: &'a str,
    domain: &'a str,
    inputs: Vec<&'a str>,
    outputs: Vec<&'a str>,
    attributes: HashMap<&'a str, Attribute<'a>>,
}

/// What an operation is told besides its inputs.
#[derive(Debug, Default)]
struct Attribute<'a> {
    float: Option<f32>,
    int: Option<i64>,
    text: Option<&'a str>,
    tensor: Option<&'a [u8]>,
    floats: Vec<f32>,
    ints: Vec<i64>,
}

impl<'a> Node<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let mut node = Self::default();
        each(bytes, |field, value| {
            match field {
                1 => node.inputs.push(value.text()?),
                2 => node.outputs.push(value.text()?),
                4 => node.op = value.text()?,
                5 => {
                    let (name, attribute) = Attribute::read(value.bytes()?)?;
                    node.attributes.insert(name, attribute);
                }
                7 => node.domain = value.text()?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(node)
    }

    fn int(&self, name: &str) -> Option<i64> {
        self.attributes.get(name).and_then(|a| a.int)
    }

    fn float(&self, name: &str) -> Option<f32> {
        self.attributes.get(name).and_then(|a| a.float)
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.attributes.get(name).and_then(|a| a.text)
    }

    fn ints(&self, name: &str) -> Option<&[i64]> {
        self.attributes.get(name).map(|a| a.ints.as_slice())
    }
}

impl<'a> Attribute<'a> {
    fn read(bytes: &'a [u8]) -> Result<(&'a str, Self), String> {
        let (mut name, mut attribute) = ("", Self::default());
        each(bytes, |field, value| {
            match field {
                1 => name = value.text()?,
                2 => attribute.float = Some(value.float()?),
                3 => attribute.int = Some(value.number()? as i64),
                4 => attribute.text = std::str::from_utf8(value.bytes()?).ok(),
                5 => attribute.tensor = Some(value.bytes()?),
                7 => value.floats(&mut attribute.floats)?,
                8 => value.numbers(&mut attribute.ints)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok((name, attribute))
    }
}
