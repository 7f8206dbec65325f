//! ONNX's operators as operations of a network.

use candle_core::{DType, Device, Tensor};

use super::{
    Node, is_standard,
    tensor::{self, kind},
};
use crate::vision::network::{Binary, Element, Nearest, Op, PadMode, Padding, Place, Ranges, Reduce, Resize, Unary, Window};

/// A node's operation in this version of the operators.
pub(super) fn op(node: &Node<'_>, opset: u64) -> Result<Op, String> {
    if !is_standard(node.domain) {
        return Err(format!("the operator `{}` of `{}` is not supported", node.op, node.domain));
    }
    let wrong = |error: String| {
        format!(
            "the operator `{}` that gives `{}` {error}",
            node.op,
            node.outputs.first().unwrap_or(&"")
        )
    };
    let int = |name: &str, default: i64| node.int(name).unwrap_or(default);
    let flag = |name: &str| int(name, 0) != 0;
    let float = |name: &str, default: f32| node.float(name).unwrap_or(default);
    let list = |name: &str| node.ints(name).map(<[i64]>::to_vec);
    if let Some(op) = plain(node.op) {
        return Ok(op);
    }
    Ok(match node.op {
        "Conv" => Op::Conv {
            window: window(node).map_err(wrong)?,
            groups: usize::try_from(int("group", 1)).map_err(|_| wrong("has a negative number of groups".into()))?,
        },
        "MaxPool" => Op::MaxPool(window(node).map_err(wrong)?),
        "AveragePool" => Op::AveragePool {
            window: window(node).map_err(wrong)?,
            count_padding: flag("count_include_pad"),
        },
        "LeakyRelu" => Op::Unary(Unary::LeakyRelu {
            alpha: float("alpha", 0.01),
        }),
        "HardSigmoid" => Op::Unary(Unary::HardSigmoid {
            alpha: float("alpha", 0.2),
            beta: float("beta", 0.5),
        }),
        "Clip" => Op::Clip {
            min: node.float("min"),
            max: node.float("max"),
        },
        "Concat" => Op::Concat {
            axis: node.int("axis").ok_or_else(|| wrong("has no axis".into()))?,
        },
        "Reshape" => Op::Reshape {
            allow_zero: flag("allowzero"),
        },
        "Transpose" => Op::Transpose { order: list("perm") },
        "Pad" => Op::Pad {
            mode: match node.text("mode").unwrap_or("constant") {
                "constant" => PadMode::Constant,
                "reflect" => PadMode::Reflect,
                "edge" => PadMode::Edge,
                other => return Err(wrong(format!("pads by `{other}`, expected constant, reflect or edge"))),
            },
            pads: list("pads"),
            value: if opset < 11 { Some(float("value", 0.0)) } else { None },
            axes: None,
        },
        "Slice" => Op::Slice(list("starts").map(|starts| Ranges {
            starts,
            ends: list("ends").unwrap_or_default(),
            axes: list("axes"),
        })),
        "Split" => Op::Split {
            axis: int("axis", 0),
            sizes: list("split"),
        },
        "Resize" | "Upsample" => Op::Resize(resize(node, opset).map_err(wrong)?),
        "Flatten" => Op::Flatten { axis: int("axis", 1) },
        "Squeeze" => Op::Squeeze(list("axes")),
        "Unsqueeze" => Op::Unsqueeze(list("axes")),
        "Gemm" => Op::Gemm {
            alpha: float("alpha", 1.0),
            beta: float("beta", 1.0),
            turn_a: flag("transA"),
            turn_b: flag("transB"),
        },
        "Softmax" => Op::Softmax {
            axis: int("axis", if opset < 13 { 1 } else { -1 }),
            to_the_end: opset < 13,
        },
        "ReduceMean" | "ReduceSum" | "ReduceMax" | "ReduceMin" | "ReduceL2" => Op::Reduce {
            how: match node.op {
                "ReduceMean" => Reduce::Mean,
                "ReduceSum" => Reduce::Sum,
                "ReduceMax" => Reduce::Max,
                "ReduceMin" => Reduce::Min,
                _ => Reduce::L2,
            },
            axes: list("axes"),
            keep: int("keepdims", 1) != 0,
            none_if_empty: flag("noop_with_empty_axes"),
        },
        "BatchNormalization" if flag("training_mode") => return Err(wrong("is meant for training".into())),
        "BatchNormalization" => Op::BatchNormalization {
            epsilon: f64::from(float("epsilon", 1e-5)),
        },
        "Shape" => Op::Shape {
            start: int("start", 0),
            end: node.int("end"),
        },
        "Gather" => Op::Gather { axis: int("axis", 0) },
        "Cast" => Op::Cast(number_kind(int("to", 0) as u64).map_err(wrong)?),
        "ConstantOfShape" => Op::ConstantOfShape(element(node).map_err(wrong)?),
        other => return Err(format!("the operator `{other}` is not supported")),
    })
}

/// Operators that are told nothing besides their inputs.
fn plain(name: &str) -> Option<Op> {
    Some(match name {
        // What training drops stays.
        "Identity" | "Dropout" => Op::Unary(Unary::Identity),
        "Relu" => Op::Unary(Unary::Relu),
        "Sigmoid" => Op::Unary(Unary::Sigmoid),
        "Tanh" => Op::Unary(Unary::Tanh),
        "Sqrt" => Op::Unary(Unary::Sqrt),
        "Exp" => Op::Unary(Unary::Exp),
        "Log" => Op::Unary(Unary::Log),
        "Neg" => Op::Unary(Unary::Neg),
        "Abs" => Op::Unary(Unary::Abs),
        "Floor" => Op::Unary(Unary::Floor),
        "Ceil" => Op::Unary(Unary::Ceil),
        "Reciprocal" => Op::Unary(Unary::Reciprocal),
        "Erf" => Op::Unary(Unary::Erf),
        "Not" => Op::Unary(Unary::Not),
        "Add" => Op::Binary(Binary::Add),
        "Sub" => Op::Binary(Binary::Sub),
        "Mul" => Op::Binary(Binary::Mul),
        "Div" => Op::Binary(Binary::Div),
        "Pow" => Op::Binary(Binary::Pow),
        "Max" => Op::Binary(Binary::Max),
        "Min" => Op::Binary(Binary::Min),
        "Equal" => Op::Binary(Binary::Equal),
        "Less" => Op::Binary(Binary::Less),
        "Greater" => Op::Binary(Binary::Greater),
        "PRelu" => Op::PRelu,
        "Where" => Op::Where,
        "GlobalAveragePool" => Op::GlobalAveragePool,
        "MatMul" => Op::MatMul,
        "Expand" => Op::Expand,
        _ => return None,
    })
}

/// The window of a convolution or pool over pictures.
fn window(node: &Node<'_>) -> Result<Window, String> {
    let pair = |name: &str| -> Result<Option<[usize; 2]>, String> {
        match node.ints(name) {
            None => Ok(None),
            Some([y, x]) if *y > 0 && *x > 0 => Ok(Some([*y as usize, *x as usize])),
            Some(other) => Err(format!("has the {name} {other:?}, expected two numbers from 1 on")),
        }
    };
    let padding = match node.text("auto_pad").unwrap_or("NOTSET") {
        "NOTSET" => match node.ints("pads") {
            None => Padding::Explicit([0; 4]),
            Some([top, left, bottom, right]) if [top, left, bottom, right].iter().all(|n| **n >= 0) => {
                Padding::Explicit([top, bottom, left, right].map(|n| *n as usize))
            }
            Some(other) => return Err(format!("has the pads {other:?}, expected four numbers from 0 on")),
        },
        "VALID" => Padding::Explicit([0; 4]),
        "SAME_UPPER" => Padding::SameUpper,
        "SAME_LOWER" => Padding::SameLower,
        other => return Err(format!("has the auto_pad `{other}`")),
    };
    Ok(Window {
        kernel: pair("kernel_shape")?,
        strides: pair("strides")?.unwrap_or([1; 2]),
        dilations: pair("dilations")?.unwrap_or([1; 2]),
        padding,
        round_up: node.int("ceil_mode").is_some_and(|n| n != 0),
    })
}

fn resize(node: &Node<'_>, opset: u64) -> Result<Resize, String> {
    let scales = node.attributes.get("scales").map(|a| a.floats.clone());
    let linear = match node.text("mode").unwrap_or("nearest") {
        "nearest" => false,
        "linear" | "bilinear" => true,
        other => return Err(format!("resizes by `{other}`, expected nearest or linear")),
    };
    if node.op == "Upsample" || opset < 11 {
        return Ok(Resize {
            linear,
            place: Place::Asymmetric,
            nearest: Nearest::Floor,
            scales,
            scales_input: 1,
        });
    }
    let refused = |name: &str| node.int(name).is_some_and(|n| n != 0);
    let keeps_aspect = node.text("keep_aspect_ratio_policy").is_some_and(|policy| policy != "stretch");
    if refused("antialias") || refused("exclude_outside") || node.ints("axes").is_some() || keeps_aspect {
        return Err("resizes in a way that is not supported".into());
    }
    Ok(Resize {
        linear,
        place: match node.text("coordinate_transformation_mode").unwrap_or("half_pixel") {
            "half_pixel" => Place::HalfPixel,
            "pytorch_half_pixel" => Place::PytorchHalfPixel,
            "asymmetric" => Place::Asymmetric,
            "align_corners" => Place::AlignCorners,
            other => return Err(format!("places pixels by `{other}`")),
        },
        nearest: match node.text("nearest_mode").unwrap_or("round_prefer_floor") {
            "round_prefer_floor" => Nearest::RoundPreferFloor,
            "round_prefer_ceil" => Nearest::RoundPreferCeil,
            "floor" => Nearest::Floor,
            "ceil" => Nearest::Ceil,
            other => return Err(format!("takes the nearest pixel by `{other}`")),
        },
        scales: None,
        scales_input: 2,
    })
}

/// The kind of number that stands for one of ONNX's.
fn number_kind(number: u64) -> Result<DType, String> {
    match number {
        kind::FLOAT | kind::FLOAT16 | kind::DOUBLE | kind::BFLOAT16 => Ok(DType::F32),
        kind::BOOL => Ok(DType::U8),
        kind::INT32 | kind::INT64 | kind::UINT32 | kind::UINT64 => Ok(DType::I64),
        other => Err(format!("gives elements of kind {other}, which is not supported")),
    }
}

/// The element that `ConstantOfShape` repeats.
fn element(node: &Node<'_>) -> Result<Element, String> {
    let Some(bytes) = node.attributes.get("value").and_then(|a| a.tensor) else {
        return Ok(Element::Float(0.0));
    };
    let (_, tensor) = tensor::read(bytes)?;
    if tensor.elem_count() != 1 {
        return Err(format!("repeats {} elements, expected one", tensor.elem_count()));
    }
    let one = tensor.flatten_all().and_then(|t| t.get(0)).map_err(|error| error.to_string())?;
    let element = match tensor.dtype() {
        DType::I64 => one.to_scalar().map(Element::Int),
        DType::U8 => one.to_scalar::<u8>().map(|v| Element::Bool(v != 0)),
        _ => one.to_scalar().map(Element::Float),
    };
    element.map_err(|error| error.to_string())
}

/// The value of a `Constant`.
pub(super) fn constant(node: &Node<'_>) -> Result<Tensor, String> {
    let attribute = |name: &str| node.attributes.get(name);
    let tensor = if let Some(bytes) = attribute("value").and_then(|a| a.tensor) {
        return Ok(tensor::read(bytes)?.1);
    } else if let Some(value) = node.float("value_float") {
        Tensor::new(value, &Device::Cpu)
    } else if let Some(value) = node.int("value_int") {
        Tensor::new(value, &Device::Cpu)
    } else if let Some(list) = attribute("value_floats") {
        Tensor::new(list.floats.as_slice(), &Device::Cpu)
    } else if let Some(list) = attribute("value_ints") {
        Tensor::new(list.ints.as_slice(), &Device::Cpu)
    } else {
        return Err("a constant has a value that is not supported".into());
    };
    tensor.map_err(|error| error.to_string())
}
