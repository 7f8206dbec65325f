//! Series of numbers.

use invoke_macros::Node;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    Invoke, NodeCx, NodeEntry, NodeError, entry,
    outputs::{FloatCollectionOutput, IntegerCollectionOutput},
};
use crate::{graph::meta::BrokenRule, numeric_rng::DefaultRng};

pub(super) const NODES: &[NodeEntry] = &[
    entry::<FloatLinearRange>(),
    entry::<Range>(),
    entry::<RangeOfSize>(),
    entry::<RandomRange>(),
];

/// Longest series; each element may become a run of many nodes.
const MOST: usize = 1_000_000;

fn too_many() -> NodeError {
    NodeError::new("MemoryError", format!("a series has at most {MOST} elements"))
}

fn check_range(values: &Map<String, Value>) -> Result<(), BrokenRule> {
    let number = |field: &str| values.get(field).and_then(Value::as_i64);
    match (number("start"), number("stop")) {
        (Some(start), Some(stop)) if stop <= start => Err(BrokenRule::of("stop", "stop must be greater than start")),
        _ => Ok(()),
    }
}

fn progression(start: i64, step: i64, steps: i128) -> Result<IntegerCollectionOutput, NodeError> {
    let steps = usize::try_from(steps).ok().filter(|steps| *steps <= MOST).ok_or_else(too_many)?;
    let element = |i: usize| i64::try_from(i128::from(start) + i128::from(step) * i as i128).ok();
    let collection: Option<Vec<i64>> = (0..steps).map(element).collect();
    collection
        .map(Into::into)
        .ok_or_else(|| NodeError::new("OverflowError", "an element is not between -2^63 and 2^63 - 1"))
}

/// Whole numbers from `start` to below `stop`.
#[derive(Debug, Deserialize, Node)]
#[node(id = "range", check = check_range, title = "Integer Range", version = "1.0.0", category = "batch", tags("collection", "integer", "range"), output = IntegerCollectionOutput)]
struct Range {
    #[field(default = 0)]
    start: i64,
    #[field(default = 10)]
    stop: i64,
    #[field(default = 1)]
    step: i64,
}

impl Invoke for Range {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<IntegerCollectionOutput, NodeError> {
        if self.step == 0 {
            return Err(NodeError::value("range() arg 3 must not be zero"));
        }
        let steps = if self.step > 0 {
            (i128::from(self.stop) - i128::from(self.start) - 1).max(-1) / i128::from(self.step) + 1
        } else {
            0
        };
        progression(self.start, self.step, steps)
    }
}

/// So many whole numbers from `start` on.
#[derive(Debug, Deserialize, Node)]
#[node(id = "range_of_size", title = "Integer Range of Size", version = "1.0.0", category = "batch", tags("collection", "integer", "size", "range"), output = IntegerCollectionOutput)]
struct RangeOfSize {
    #[field(default = 0)]
    start: i64,
    #[field(default = 1, gt = 0)]
    size: i64,
    #[field(default = 1)]
    step: i64,
}

impl Invoke for RangeOfSize {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<IntegerCollectionOutput, NodeError> {
        if self.step == 0 {
            return Err(NodeError::value("range() arg 3 must not be zero"));
        }
        progression(self.start, self.step, i128::from(self.size))
    }
}

/// So many numbers from `start` to `stop`, at even distances.
#[derive(Debug, Deserialize, Node)]
#[node(id = "float_range", title = "Float Range", version = "1.0.1", category = "math", tags("math", "range"), output = FloatCollectionOutput)]
struct FloatLinearRange {
    #[field(default = 5)]
    start: f64,
    #[field(default = 10)]
    stop: f64,
    #[field(default = 30)]
    steps: i64,
}

impl Invoke for FloatLinearRange {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<FloatCollectionOutput, NodeError> {
        let steps = usize::try_from(self.steps)
            .map_err(|_| NodeError::value(format!("Number of samples, {}, must be non-negative.", self.steps)))?;
        if steps > MOST {
            return Err(too_many());
        }
        let step = (self.stop - self.start) / (steps.max(2) - 1) as f64;
        let mut collection: Vec<f64> = (0..steps).map(|i| self.start + i as f64 * step).collect();
        if let (Some(last), true) = (collection.last_mut(), steps > 1) {
            *last = self.stop;
        }
        Ok(collection.into())
    }
}

/// So many whole numbers by chance, the same for a seed as numpy makes.
#[derive(Debug, Deserialize, Node)]
#[node(id = "random_range", title = "Random Range", version = "1.0.1", category = "batch", tags("range", "integer", "random", "collection"), cache = false, output = IntegerCollectionOutput)]
struct RandomRange {
    #[field(default = 0)]
    low: i64,
    #[field(default = 2147483647)]
    high: i64,
    #[field(default = 1)]
    size: i64,
    #[field(default = 0, ge = 0, le = 4294967295)]
    seed: i64,
}

impl Invoke for RandomRange {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<IntegerCollectionOutput, NodeError> {
        let size = usize::try_from(self.size).map_err(|_| NodeError::value("negative dimensions are not allowed"))?;
        if size > MOST {
            return Err(too_many());
        }
        let mut rng = DefaultRng::new(u64::try_from(self.seed).unwrap_or_default());
        let drawn: Option<Vec<i64>> = (0..size).map(|_| rng.integer(self.low, self.high)).collect();
        drawn.map(Into::into).ok_or_else(|| NodeError::value("low >= high"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::nodes::testing::run;

    #[test]
    fn series() {
        let table = [
            ("range", json!({"start": 1, "stop": 4}), Some(json!([1, 2, 3]))),
            ("range", json!({"start": 0, "stop": 10, "step": 4}), Some(json!([0, 4, 8]))),
            ("range", json!({"start": 0, "stop": 3, "step": -1}), Some(json!([]))),
            ("range", json!({"stop": 3, "step": 0}), None),
            ("range", json!({"stop": 9_000_000_000_i64}), None),
            ("range_of_size", json!({"start": 5, "size": 3, "step": -2}), Some(json!([5, 3, 1]))),
            (
                "float_range",
                json!({"start": 0.0, "stop": 1.0, "steps": 5}),
                Some(json!([0.0, 0.25, 0.5, 0.75, 1.0])),
            ),
            ("float_range", json!({"start": 0.0, "stop": 1.0, "steps": 1}), Some(json!([0.0]))),
            ("float_range", json!({"steps": -1}), None),
            (
                "random_range",
                json!({"high": 100, "size": 6, "seed": 42}),
                Some(json!([8, 77, 65, 43, 43, 85])),
            ),
            (
                "random_range",
                json!({"low": -5, "high": 1_i64 << 40, "size": 1, "seed": 7}),
                Some(json!([687_299_734_000_i64])),
            ),
            ("random_range", json!({"low": 5, "high": 5}), None),
        ];
        for (id, inputs, expected) in table {
            let found: Option<Value> = run(id, inputs.clone()).ok().map(|output| output["collection"].clone());
            assert_eq!(found, expected, "{id} {inputs}");
        }
    }
}
