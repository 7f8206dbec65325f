//! Arithmetic.

mod python;

use invoke_macros::Node;
use serde::Deserialize;
use serde_json::{Map, Value};

use self::python::{int_of, round_decimals, round_half_even};
use super::{
    Invoke, NodeCx, NodeEntry, NodeError, entry,
    outputs::{FloatOutput, IntegerOutput},
};
use crate::{domain::shape::choices, graph::meta::BrokenRule};

pub(super) const NODES: &[NodeEntry] = &[
    entry::<Add>(),
    entry::<Subtract>(),
    entry::<Multiply>(),
    entry::<Divide>(),
    entry::<IntegerMath>(),
    entry::<FloatMath>(),
    entry::<FloatToInteger>(),
    entry::<Round>(),
    entry::<RandomInt>(),
    entry::<RandomFloat>(),
];

fn integer(value: Option<i64>) -> Result<IntegerOutput, NodeError> {
    value
        .map(Into::into)
        .ok_or_else(|| NodeError::new("OverflowError", "the result is not between -2^63 and 2^63 - 1"))
}

fn check_integer_math(values: &Map<String, Value>) -> Result<(), BrokenRule> {
    let (operation, b) = (
        values.get("operation").and_then(Value::as_str),
        values.get("b").and_then(Value::as_i64),
    );
    match (operation, b) {
        (Some("DIV" | "MOD"), Some(0)) => Err(BrokenRule::of("b", "Cannot divide by zero")),
        (Some("EXP"), Some(b)) if b < 0 => Err(BrokenRule::of("b", "Result of exponentiation is not an integer")),
        _ => Ok(()),
    }
}

fn check_float_math(values: &Map<String, Value>) -> Result<(), BrokenRule> {
    let number = |field: &str| values.get(field).and_then(Value::as_f64);
    match (values.get("operation").and_then(Value::as_str), number("a"), number("b")) {
        (Some("DIV"), _, Some(0.0)) => Err(BrokenRule::of("b", "Cannot divide by zero")),
        (Some("EXP"), Some(0.0), Some(b)) if b < 0.0 => Err(BrokenRule::of("b", "Cannot raise zero to a negative power")),
        (Some("EXP"), Some(a), Some(b)) if a < 0.0 && b.fract() != 0.0 => {
            Err(BrokenRule::of("b", "Root operation resulted in a complex number"))
        }
        _ => Ok(()),
    }
}

/// Division of whole numbers as floats, cut to a whole number.
fn divided(a: i64, b: i64) -> Result<IntegerOutput, NodeError> {
    if b == 0 {
        return Err(NodeError::new("ZeroDivisionError", "division by zero"));
    }
    integer(int_of(a as f64 / b as f64))
}

/// a + b.
#[derive(Debug, Deserialize, Node)]
#[node(id = "add", title = "Add Integers", version = "1.0.1", category = "math", tags("math", "add"), output = IntegerOutput)]
struct Add {
    #[field(default = 0)]
    a: i64,
    #[field(default = 0)]
    b: i64,
}

impl Invoke for Add {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<IntegerOutput, NodeError> {
        integer(self.a.checked_add(self.b))
    }
}

/// a − b.
#[derive(Debug, Deserialize, Node)]
#[node(id = "sub", title = "Subtract Integers", version = "1.0.1", category = "math", tags("math", "subtract"), output = IntegerOutput)]
struct Subtract {
    #[field(default = 0)]
    a: i64,
    #[field(default = 0)]
    b: i64,
}

impl Invoke for Subtract {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<IntegerOutput, NodeError> {
        integer(self.a.checked_sub(self.b))
    }
}

/// a · b.
#[derive(Debug, Deserialize, Node)]
#[node(id = "mul", title = "Multiply Integers", version = "1.0.1", category = "math", tags("math", "multiply"), output = IntegerOutput)]
struct Multiply {
    #[field(default = 0)]
    a: i64,
    #[field(default = 0)]
    b: i64,
}

impl Invoke for Multiply {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<IntegerOutput, NodeError> {
        integer(self.a.checked_mul(self.b))
    }
}

/// a / b, cut to a whole number.
#[derive(Debug, Deserialize, Node)]
#[node(id = "div", title = "Divide Integers", version = "1.0.1", category = "math", tags("math", "divide"), output = IntegerOutput)]
struct Divide {
    #[field(default = 0)]
    a: i64,
    #[field(default = 0)]
    b: i64,
}

impl Invoke for Divide {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<IntegerOutput, NodeError> {
        divided(self.a, self.b)
    }
}

choices! {
    enum IntegerMathOperation { Add = "ADD", Sub = "SUB", Mul = "MUL", Div = "DIV", Exp = "EXP", Mod = "MOD", Abs = "ABS", Min = "MIN", Max = "MAX" }
}

/// One of several operations on whole numbers.
#[derive(Debug, Deserialize, Node)]
#[node(id = "integer_math", check = check_integer_math, title = "Integer Math", version = "1.0.1", category = "math", tags("math", "integer", "add", "subtract", "multiply", "divide", "modulus", "power", "absolute value", "min", "max"), output = IntegerOutput)]
struct IntegerMath {
    #[field(default = "ADD", choices("ABS" = "Absolute Value of A", "ADD" = "Add A+B", "DIV" = "Divide A/B", "EXP" = "Exponentiate A^B", "MAX" = "Maximum(A,B)", "MIN" = "Minimum(A,B)", "MOD" = "Modulus A%B", "MUL" = "Multiply A*B", "SUB" = "Subtract A-B"))]
    operation: IntegerMathOperation,
    #[field(default = 1)]
    a: i64,
    #[field(default = 1)]
    b: i64,
}

impl Invoke for IntegerMath {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<IntegerOutput, NodeError> {
        let (a, b) = (self.a, self.b);
        match self.operation {
            IntegerMathOperation::Add => integer(a.checked_add(b)),
            IntegerMathOperation::Sub => integer(a.checked_sub(b)),
            IntegerMathOperation::Mul => integer(a.checked_mul(b)),
            IntegerMathOperation::Div => divided(a, b),
            IntegerMathOperation::Exp => integer(power(a, b)),
            // The sign follows the divisor.
            IntegerMathOperation::Mod => integer(
                a.checked_rem(b)
                    .map(|rest| if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }),
            ),
            IntegerMathOperation::Abs => integer(a.checked_abs()),
            IntegerMathOperation::Min => integer(Some(a.min(b))),
            IntegerMathOperation::Max => integer(Some(a.max(b))),
        }
    }
}

choices! {
    enum FloatMathOperation { Add = "ADD", Sub = "SUB", Mul = "MUL", Div = "DIV", Exp = "EXP", Abs = "ABS", Sqrt = "SQRT", Min = "MIN", Max = "MAX" }
}

/// One of several operations on numbers.
#[derive(Debug, Deserialize, Node)]
#[node(id = "float_math", check = check_float_math, title = "Float Math", version = "1.0.1", category = "math", tags("math", "float", "add", "subtract", "multiply", "divide", "power", "root", "absolute value", "min", "max"), output = FloatOutput)]
struct FloatMath {
    #[field(default = "ADD", choices("ABS" = "Absolute Value of A", "ADD" = "Add A+B", "DIV" = "Divide A/B", "EXP" = "Exponentiate A^B", "MAX" = "Maximum(A,B)", "MIN" = "Minimum(A,B)", "MUL" = "Multiply A*B", "SQRT" = "Square Root of A", "SUB" = "Subtract A-B"))]
    operation: FloatMathOperation,
    #[field(default = 1)]
    a: f64,
    #[field(default = 1)]
    b: f64,
}

impl Invoke for FloatMath {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<FloatOutput, NodeError> {
        let (a, b) = (self.a, self.b);
        let value = match self.operation {
            FloatMathOperation::Add => a + b,
            FloatMathOperation::Sub => a - b,
            FloatMathOperation::Mul => a * b,
            FloatMathOperation::Div => a / b,
            FloatMathOperation::Exp => a.powf(b),
            FloatMathOperation::Abs => a.abs(),
            FloatMathOperation::Sqrt => a.sqrt(),
            FloatMathOperation::Min => a.min(b),
            FloatMathOperation::Max => a.max(b),
        };
        if value.is_finite() || self.operation == FloatMathOperation::Sqrt {
            Ok(value.into())
        } else {
            Err(NodeError::new("OverflowError", "the result is too large"))
        }
    }
}

choices! {
    enum FloatToIntegerMethod { Nearest = "Nearest", Floor = "Floor", Ceiling = "Ceiling", Truncate = "Truncate" }
}

/// Rounds to a multiple.
#[derive(Debug, Deserialize, Node)]
#[node(id = "float_to_int", title = "Float To Integer", version = "1.0.1", category = "math", tags("math", "round", "integer", "float", "convert"), output = IntegerOutput)]
struct FloatToInteger {
    #[field(default = 0)]
    value: f64,
    #[field(default = 1, ge = 1, title = "Multiple of")]
    multiple: i64,
    #[field(default = "Nearest")]
    method: FloatToIntegerMethod,
}

impl Invoke for FloatToInteger {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<IntegerOutput, NodeError> {
        let quotient = self.value / self.multiple as f64;
        let whole = match self.method {
            FloatToIntegerMethod::Nearest => round_half_even(quotient),
            FloatToIntegerMethod::Floor => quotient.floor(),
            FloatToIntegerMethod::Ceiling => quotient.ceil(),
            FloatToIntegerMethod::Truncate => {
                return integer(int_of(self.value / self.multiple as f64).and_then(|n| n.checked_mul(self.multiple)));
            }
        };
        integer(int_of(whole).and_then(|n| n.checked_mul(self.multiple)))
    }
}

/// Rounds to decimals.
#[derive(Debug, Deserialize, Node)]
#[node(id = "round_float", title = "Round Float", version = "1.0.1", category = "math", tags("math", "round"), output = FloatOutput)]
struct Round {
    #[field(default = 0)]
    value: f64,
    #[field(default = 0)]
    decimals: i64,
}

impl Invoke for Round {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<FloatOutput, NodeError> {
        Ok(round_decimals(self.value, self.decimals).into())
    }
}

/// A whole number by chance, below `high`.
#[derive(Debug, Deserialize, Node)]
#[node(id = "rand_int", title = "Random Integer", version = "1.0.1", category = "math", tags("math", "random"), cache = false, output = IntegerOutput)]
struct RandomInt {
    #[field(default = 0)]
    low: i64,
    #[field(default = 2147483647)]
    high: i64,
}

impl Invoke for RandomInt {
    fn invoke(self, cx: &dyn NodeCx) -> Result<IntegerOutput, NodeError> {
        let span = i128::from(self.high) - i128::from(self.low);
        if span <= 0 {
            return Err(NodeError::value("low >= high"));
        }
        let chance = (i128::from(cx.random_u32()) << 32) | i128::from(cx.random_u32());
        Ok((self.low + ((chance * span) >> 64) as i64).into())
    }
}

/// A number by chance.
#[derive(Debug, Deserialize, Node)]
#[node(id = "rand_float", title = "Random Float", version = "1.0.1", category = "math", tags("math", "float", "random"), cache = false, output = FloatOutput)]
struct RandomFloat {
    #[field(default = 0.0)]
    low: f64,
    #[field(default = 1.0)]
    high: f64,
    #[field(default = 2)]
    decimals: i64,
}

impl Invoke for RandomFloat {
    fn invoke(self, cx: &dyn NodeCx) -> Result<FloatOutput, NodeError> {
        let chance = ((u64::from(cx.random_u32()) << 21) ^ u64::from(cx.random_u32() >> 11)) as f64 / (1u64 << 53) as f64;
        Ok(round_decimals(self.low + chance * (self.high - self.low), self.decimals).into())
    }
}

/// a to the power of b, `None` beyond the range.
fn power(a: i64, b: i64) -> Option<i64> {
    match a {
        0 | 1 => Some(if b == 0 { 1 } else { a }),
        -1 => Some(if b % 2 == 0 { 1 } else { -1 }),
        _ => a.checked_pow(u32::try_from(b).ok()?),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::nodes::testing::run;

    fn value(id: &str, inputs: Value) -> Value {
        match run(id, inputs) {
            Ok(output) => output["value"].clone(),
            Err(error) => json!(error.to_string().split(':').next().unwrap()),
        }
    }

    #[test]
    fn whole_numbers() {
        let table = [
            ("add", json!({"a": 2, "b": 3}), json!(5)),
            ("sub", json!({"a": 2, "b": 3}), json!(-1)),
            ("mul", json!({"a": 2, "b": 3}), json!(6)),
            ("div", json!({"a": 7, "b": 2}), json!(3)),
            ("div", json!({"a": -7, "b": 2}), json!(-3)),
            ("div", json!({"a": 1, "b": 0}), json!("ZeroDivisionError")),
            ("mul", json!({"a": i64::MAX, "b": 2}), json!("OverflowError")),
            ("integer_math", json!({"operation": "MOD", "a": -7, "b": 3}), json!(2)),
            ("integer_math", json!({"operation": "MOD", "a": 7, "b": -3}), json!(-2)),
            ("integer_math", json!({"operation": "EXP", "a": 2, "b": 10}), json!(1024)),
            // Such an input is refused by its name.
            ("integer_math", json!({"operation": "EXP", "a": 2, "b": -1}), json!("b")),
            ("integer_math", json!({"operation": "ABS", "a": -4}), json!(4)),
            ("integer_math", json!({"operation": "MAX", "a": -4, "b": 2}), json!(2)),
            ("float_to_int", json!({"value": 2.5}), json!(2)),
            ("float_to_int", json!({"value": 100.0, "multiple": 8}), json!(96)),
            (
                "float_to_int",
                json!({"value": 100.0, "multiple": 8, "method": "Ceiling"}),
                json!(104),
            ),
            ("float_to_int", json!({"value": -1.5, "method": "Truncate"}), json!(-1)),
            ("float_to_int", json!({"value": -1.5, "method": "Floor"}), json!(-2)),
        ];
        for (id, inputs, expected) in table {
            assert_eq!(value(id, inputs.clone()), expected, "{id} {inputs}");
        }
    }

    #[test]
    fn numbers() {
        let table = [
            (json!({"operation": "DIV", "a": 1.0, "b": 4.0}), json!(0.25)),
            (json!({"operation": "DIV", "a": 1.0, "b": 0.0}), json!("b")),
            (json!({"operation": "EXP", "a": 2.0, "b": 0.5}), json!(2f64.sqrt())),
            (json!({"operation": "EXP", "a": -2.0, "b": 0.5}), json!("b")),
            (json!({"operation": "EXP", "a": 0.0, "b": -1.0}), json!("b")),
            (json!({"operation": "SQRT", "a": 9.0}), json!(3.0)),
        ];
        for (inputs, expected) in table {
            assert_eq!(value("float_math", inputs.clone()), expected, "{inputs}");
        }
    }

    #[test]
    fn chance_stays_in_its_bounds() {
        for (low, high) in [(0, 1), (-5, 7), (i64::MIN, i64::MAX)] {
            let n = value("rand_int", json!({"low": low, "high": high})).as_i64().unwrap();
            assert!((low..high).contains(&n), "{n}");
        }
        assert_eq!(value("rand_int", json!({"low": 3, "high": 3})), "ValueError");
        let x = value("rand_float", json!({"low": 1.0, "high": 2.0})).as_f64().unwrap();
        assert!((1.0..=2.0).contains(&x), "{x}");
    }
}
