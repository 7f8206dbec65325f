//! What both sides of a benchmark are compared by: results that torch's side wrote, and the memory of this process.

use std::path::Path;

use candle_core::{Device, Tensor};

/// The norm of the difference to the floats in a file, relative to theirs.
pub(crate) fn difference(ours: &Tensor, file: &Path) -> f64 {
    let bytes = std::fs::read(file).expect("torch's side writes its result");
    let theirs: Vec<f32> = bytes
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect();
    let ours: Vec<f32> = ours.flatten_all().and_then(|t| t.to_vec1()).expect("floats");
    assert_eq!(ours.len(), theirs.len(), "both results have the same shape");
    let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
    let apart = norm(&mut ours.iter().zip(&theirs).map(|(a, b)| f64::from(a - b)));
    apart / norm(&mut theirs.iter().map(|x| f64::from(*x)))
}

/// Most memory this process has held since [`begin_peak`], else ever, in bytes, as Linux tells it.
pub(crate) fn peak() -> f64 {
    memory("VmHWM:")
}

/// What this process holds, in bytes; [`peak`] counts from here on.
pub(crate) fn begin_peak() -> f64 {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    memory("VmRSS:")
}

fn memory(name: &str) -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok())
        .unwrap_or(f64::NAN)
        * 1024.0
}

/// The same numbers on both sides.
pub(crate) fn ramp(shape: &[usize]) -> Tensor {
    let data: Vec<f32> = (0..shape.iter().product()).map(|i: usize| (i as f64 * 0.7).sin() as f32).collect();
    Tensor::from_vec(data, shape, &Device::Cpu).expect("as many numbers as the shape says")
}
