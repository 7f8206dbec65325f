//! Networks put together by hand.

use std::collections::HashMap;

use candle_core::{Device, Tensor};

use super::*;
use crate::diffusion::ModelError;

fn floats(shape: &[usize], phase: usize) -> Tensor {
    let count = shape.iter().product::<usize>();
    let values: Vec<f32> = (0..count).map(|i| ((i * 7919 + phase) % 1013) as f32 / 506.0 - 1.0).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn ints(values: &[i64]) -> Tensor {
    Tensor::new(values, &Device::Cpu).unwrap()
}

fn step(op: Op, inputs: &[&str], outputs: &[&str]) -> Step {
    let owned = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
    Step {
        op,
        inputs: owned(inputs),
        outputs: owned(outputs),
    }
}

fn network(constants: &[(&str, Tensor)], steps: Vec<Step>, outputs: &[&str]) -> Network {
    Network {
        name: "by hand".into(),
        inputs: vec![Input {
            name: "x".into(),
            shape: Vec::new(),
        }],
        outputs: outputs.iter().map(|n| (*n).to_owned()).collect(),
        constants: constants
            .iter()
            .map(|(n, t)| ((*n).to_owned(), t.clone()))
            .collect::<HashMap<_, _>>(),
        steps,
    }
}

fn run(network: Network, x: &Tensor) -> Result<Vec<Tensor>, ModelError> {
    Runner::new(network, &Device::Cpu)?.run(vec![x.clone()], || Ok::<_, ModelError>(()))
}

#[track_caller]
fn close(found: &Tensor, want: &Tensor) {
    assert_eq!(found.dims(), want.dims());
    let worst = (found - want).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
    assert!(worst.to_scalar::<f32>().unwrap() < 1e-5, "{worst}");
}

#[test]
fn convolutions_agree_with_candle() {
    let x = floats(&[2, 6, 9, 8], 3);
    for (groups, outputs, kernel, stride, dilation, pads) in [
        (1, 4, 3, 1, 1, [1; 4]),
        (1, 4, 3, 2, 1, [0, 1, 2, 1]),
        (2, 4, 3, 1, 2, [2, 2, 2, 2]),
        (3, 6, 1, 2, 1, [0; 4]),
        (6, 6, 5, 1, 1, [2; 4]),
        (6, 6, 3, 2, 1, [0, 1, 0, 1]),
        (6, 6, 2, 1, 1, [0, 1, 1, 0]),
        (6, 6, 3, 1, 2, [1, 2, 3, 0]),
        (6, 12, 3, 1, 1, [1; 4]),
    ] {
        let weight = floats(&[outputs, 6 / groups, kernel, kernel], 11);
        let bias = floats(&[outputs], 5);
        let op = || Op::Conv {
            window: Window {
                strides: [stride; 2],
                dilations: [dilation; 2],
                padding: Padding::Explicit(pads),
                ..Window::default()
            },
            groups,
        };
        let padded = x
            .pad_with_zeros(2, pads[0], pads[1])
            .unwrap()
            .pad_with_zeros(3, pads[2], pads[3])
            .unwrap();
        let want = padded.conv2d(&weight, 0, stride, dilation, groups).unwrap();
        let want = want.broadcast_add(&bias.reshape((1, (), 1, 1)).unwrap()).unwrap();
        let known = [("w", weight.clone()), ("b", bias.clone())];
        let found = run(network(&known, vec![step(op(), &["x", "w", "b"], &["y"])], &["y"]), &x).unwrap();
        close(&found[0], &want);
        // Weights that are computed, too.
        let made = vec![
            step(Op::Binary(Binary::Mul), &["w", "one"], &["w2"]),
            step(op(), &["x", "w2", "b"], &["y"]),
        ];
        let known = [("w", weight), ("b", bias), ("one", Tensor::new(&[1_f32], &Device::Cpu).unwrap())];
        close(&run(network(&known, made, &["y"]), &x).unwrap()[0], &want);
    }
}

#[test]
fn strides_may_differ_between_the_axes() {
    let (x, weight) = (floats(&[1, 3, 9, 8], 3), floats(&[2, 3, 3, 2], 1));
    let op = Op::Conv {
        window: Window {
            strides: [2, 3],
            ..Window::default()
        },
        groups: 1,
    };
    let found = run(network(&[("w", weight.clone())], vec![step(op, &["x", "w"], &["y"])], &["y"]), &x).unwrap();
    let whole = x.conv2d(&weight, 0, 1, 1, 1).unwrap();
    let places = |list: &[u32]| Tensor::new(list, &Device::Cpu).unwrap();
    let want = whole.index_select(&places(&[0, 2, 4, 6]), 2).unwrap();
    close(&found[0], &want.index_select(&places(&[0, 3, 6]), 3).unwrap());
}

#[test]
fn shapes_are_computed_where_a_graph_asks_for_it() {
    // [b, c, h, w] to [b, h * w, c], with the sides taken from the picture.
    let steps = vec![
        step(Op::Shape { start: 0, end: None }, &["x"], &["sides"]),
        step(Op::Gather { axis: 0 }, &["sides", "first_two"], &["kept"]),
        step(Op::Concat { axis: 0 }, &["kept", "rest"], &["shape"]),
        step(Op::Reshape { allow_zero: false }, &["x", "shape"], &["flat"]),
        step(
            Op::Transpose {
                order: Some(vec![0, 2, 1]),
            },
            &["flat"],
            &["y"],
        ),
    ];
    let known = [("first_two", ints(&[0, -3])), ("rest", ints(&[-1]))];
    let x = floats(&[2, 3, 4, 5], 0);
    let want = x.flatten_from(2).unwrap().transpose(1, 2).unwrap();
    close(&run(network(&known, steps, &["y"]), &x).unwrap()[0], &want);
}

#[test]
fn whoever_runs_it_may_stop_it() {
    let steps = || {
        (0..3)
            .map(|i| step(Op::Unary(Unary::Relu), &[["x", "a", "b"][i]], &[["a", "b", "y"][i]]))
            .collect()
    };
    let runner = Runner::new(network(&[], steps(), &["y"]), &Device::Cpu).unwrap();
    let mut asked = 0;
    let stopped = runner.run(vec![floats(&[4], 0)], || {
        asked += 1;
        if asked == 2 {
            Err(ModelError::Input("stopped".into()))
        } else {
            Ok(())
        }
    });
    assert_eq!(stopped.unwrap_err().to_string(), "stopped");
    assert_eq!(asked, 2);
    assert_eq!((runner.outputs(), runner.bytes()), (1, 0));
}

#[test]
fn what_does_not_fit_is_refused_and_named() {
    let x = floats(&[1, 3, 4, 5], 0);
    let bad: Vec<(Network, &str)> = vec![
        (network(&[], vec![step(Op::Unary(Unary::Relu), &["z"], &["y"])], &["y"]), "`z`"),
        (
            network(&[], vec![step(Op::Unary(Unary::Relu), &["x"], &["x"])], &["x"]),
            "there already",
        ),
        (network(&[], vec![], &["y"]), "`y`"),
        (
            network(&[("w", floats(&[2, 3], 0))], vec![step(Op::MatMul, &["x", "w"], &["y"])], &["y"]),
            "the step MatMul that gives `y`",
        ),
        (
            network(
                &[("s", ints(&[1 << 40, 1 << 40]))],
                vec![step(Op::ConstantOfShape(Element::Float(0.0)), &["s"], &["y"])],
                &["y"],
            ),
            "more than",
        ),
        (
            network(
                &[("s", ints(&[7, -1]))],
                vec![step(Op::Reshape { allow_zero: false }, &["x", "s"], &["y"])],
                &["y"],
            ),
            "cannot have the shape",
        ),
        (
            network(
                &[("i", ints(&[3]))],
                vec![step(Op::Gather { axis: 1 }, &["x", "i"], &["y"])],
                &["y"],
            ),
            "no place 3",
        ),
        (
            network(
                &[("a", ints(&[1])), ("b", ints(&[0]))],
                vec![step(Op::Binary(Binary::Div), &["a", "b"], &["y"])],
                &["y"],
            ),
            "Div",
        ),
    ];
    for (network, part) in bad {
        let error = run(network, &x).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    let mut shaped = network(&[], vec![step(Op::Unary(Unary::Relu), &["x"], &["y"])], &["y"]);
    shaped.inputs[0].shape = vec![None, Some(4)];
    assert!(run(shaped, &x).unwrap_err().to_string().contains("expected [None, Some(4)]"));
}

#[test]
fn a_side_of_nothing_hides_no_other() {
    assert_eq!(elements(&[3, 0, 5]).unwrap(), 0);
    assert!(elements(&[0, 1 << 40]).is_err() && elements(&[1; 17]).is_err());
}
