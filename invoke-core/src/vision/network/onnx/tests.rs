//! Every operator held to onnxruntime, by the small graphs that `tests/numerics/record_network.py` recorded.

use std::{collections::BTreeMap, path::Path};

use candle_core::{DType, Device, Tensor};

use super::*;
use crate::{diffusion::ModelError, vision::network::Runner};

/// What was recorded, by the graphs' names: the graph, what it is given and what it gives.
fn recorded() -> BTreeMap<String, (Vec<u8>, Vec<Tensor>, Vec<Tensor>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/numerics/vision/network.safetensors");
    let arrays = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
    let names = arrays.keys().filter_map(|name| name.strip_suffix("/model"));
    names
        .map(|name| {
            let list = |what: &str| {
                (0..)
                    .map_while(|i| arrays.get(&format!("{name}/{what}{i}")).cloned())
                    .collect::<Vec<_>>()
            };
            let model = arrays[&format!("{name}/model")].to_vec1().unwrap();
            (name.to_owned(), (model, list("in"), list("out")))
        })
        .collect()
}

fn run(name: &str, bytes: &[u8], inputs: Vec<Tensor>) -> Result<Vec<Tensor>> {
    Runner::new(read(bytes, name)?, &Device::Cpu)?.run(inputs, || Ok::<_, ModelError>(()))
}

fn largest_difference(found: &Tensor, want: &Tensor) -> f64 {
    let numbers = |t: &Tensor| t.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap();
    let apart = |(a, b): (f64, f64)| {
        let difference = (a - b).abs() / b.abs().max(1.0);
        if difference.is_nan() { f64::INFINITY } else { difference }
    };
    numbers(found).into_iter().zip(numbers(want)).map(apart).fold(0.0, f64::max)
}

#[test]
fn operators_agree_with_onnxruntime() {
    let mut wrong = Vec::new();
    let all = recorded();
    assert!(all.len() > 150, "{}", all.len());
    for (name, (model, inputs, outputs)) in all {
        match run(&name, &model, inputs) {
            Err(error) => wrong.push(error.to_string()),
            Ok(found) => {
                for (i, want) in outputs.iter().enumerate() {
                    let same = found.get(i).is_some_and(|found| {
                        // onnxruntime's single precision, in sums of at most some hundred products.
                        found.dims() == want.dims() && found.dtype() == want.dtype() && largest_difference(found, want) <= 4e-6
                    });
                    if !same {
                        let difference = found
                            .get(i)
                            .filter(|f| f.dims() == want.dims())
                            .map(|f| largest_difference(f, want));
                        wrong.push(format!(
                            "{name} {i}: {:?} and {:?}, {difference:?} apart",
                            found.get(i).map(Tensor::shape),
                            want.shape()
                        ));
                    }
                }
                if found.len() != outputs.len() {
                    wrong.push(format!("{name} gives {} values, expected {}", found.len(), outputs.len()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A message's field of bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    assert!(bytes.len() < 128);
    [&[number << 3 | 2, bytes.len() as u8], bytes].concat()
}

fn file(nodes: &[Vec<u8>], tensors: &[Vec<u8>]) -> Vec<u8> {
    let nodes = nodes.iter().flat_map(|node| field(1, node));
    let tensors = tensors.iter().flat_map(|tensor| field(5, tensor));
    let graph: Vec<u8> = nodes.chain(tensors).chain(field(12, &field(1, b"y"))).collect();
    [field(8, &[0x10, 13]), field(7, &graph)].concat()
}

#[test]
fn what_is_not_supported_is_named() {
    let node = |op: &[u8], domain: &[u8]| [field(1, b"x"), field(2, b"y"), field(4, op), field(7, domain)].concat();
    // A tensor `w` of one float, as raw bytes, with more fields.
    let tensor = |more: &[u8]| [&[8, 1, 0x10, 1][..], &field(8, b"w"), &field(9, &[0; 4]), more].concat();
    for (bytes, part) in [
        (file(&[node(b"Loop", b"")], &[]), "the operator `Loop` is not supported"),
        (file(&[node(b"Relu", b"com.custom")], &[]), "`Relu` of `com.custom`"),
        (file(&[], &[tensor(&[0x70, 1])]), "the tensor `w` lies in another file"),
        (
            file(&[], &[tensor(&field(13, &field(1, b"location")))]),
            "the tensor `w` lies in another file",
        ),
        (file(&[], &[tensor(&[8, 3])]), "has 1 elements for the shape [1, 3]"),
        (file(&[], &[tensor(&[0x10, 14])]), "kind 14"),
        (file(&[], &[tensor(&[]), tensor(&[])]), "`w` is there twice"),
        (
            file(&[], &[tensor(&[8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f])]),
            "more than",
        ),
        ([field(8, &[0x10, 99]), field(7, &[])].concat(), "version is 99, expected 9 to 18"),
        (field(7, &[]), "version is missing"),
        (field(8, &[0x10, 13]), "no graph"),
        (b"\x80\x02}q\x00.".to_vec(), ""),
    ] {
        let error = read(&bytes, "x.onnx").unwrap_err().to_string();
        assert!(
            error.starts_with("`x.onnx` is damaged or not of a supported kind") && error.contains(part),
            "{error}"
        );
    }
    let missing = open(Path::new("/nowhere/x.onnx")).unwrap_err().to_string();
    assert!(missing.contains("nowhere/x.onnx"), "{missing}");
}

/// Numbers without a pattern, the same every time (xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n.max(1) as u64) as usize
    }

    /// A damaged copy: bytes changed, numbers made large, parts cut out, repeated or exchanged.
    fn damage(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = bytes.to_vec();
        for _ in 0..=self.below(3) {
            let (at, other) = (self.below(out.len()), self.below(out.len()));
            let (first, last) = (at.min(other), at.max(other));
            match self.below(7) {
                0 if !out.is_empty() => out[at] ^= 1 << self.below(8),
                1 if !out.is_empty() => out[at] = self.below(256) as u8,
                2 => out.truncate(at),
                3 => {
                    let end = out.len().min(at + 8);
                    out[at..end].fill([0xff, 0, 0x7f][self.below(3)]);
                }
                4 => {
                    let part = out[first..last].to_vec();
                    out.splice(at..at, part);
                }
                5 => drop(out.drain(first..last)),
                _ if !out.is_empty() => out.swap(at, other),
                _ => {}
            }
        }
        out
    }
}

/// Whatever comes of them, nothing may panic: neither when they are read nor when what is still readable is run.
#[test]
fn damaged_files_are_refused_without_a_panic() {
    let all: Vec<_> = recorded().into_values().collect();
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let (mut refused, mut run) = (0, 0);
    for round in 0..6_000 {
        let (model, inputs, _) = &all[round % all.len()];
        let damaged = chance.damage(model);
        match read(&damaged, "damaged") {
            Err(_) => refused += 1,
            Ok(network) => {
                for (name, tensor) in &network.constants {
                    assert!(tensor.elem_count() <= damaged.len().max(1), "{name}: {:?}", tensor.shape());
                }
                if let Ok(runner) = Runner::new(network, &Device::Cpu) {
                    run += usize::from(runner.run(inputs.clone(), || Ok::<_, ModelError>(())).is_ok());
                }
            }
        }
    }
    assert!(refused > 1_000 && run > 100, "{refused} refused, {run} run");
}
