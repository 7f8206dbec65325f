//! Numbers as Python writes them.

use serde_json::Number;

/// A number as a text: `2`, `2.0`, `1e+16`.
pub fn number_text(number: &Number) -> String {
    match number.as_f64() {
        Some(x) if number.is_f64() => float_text(x),
        _ => number.to_string(),
    }
}

/// The shortest text that means this number, with an exponent below 1e-4 and from 1e16 on.
pub fn float_text(x: f64) -> String {
    if x.is_nan() {
        return "nan".into();
    }
    if x.is_infinite() {
        return if x > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let size = x.abs();
    if size == 0.0 || (1e-4..1e16).contains(&size) {
        return format!("{x:?}");
    }
    let text = format!("{x:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
    format!("{digits}e{sign}{exponent:0>2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_look_as_in_python() {
        let table = [
            (2.0, "2.0"),
            (0.1, "0.1"),
            (1e16, "1e+16"),
            (1.5e-5, "1.5e-05"),
            (1e15, "1000000000000000.0"),
            (-0.0, "-0.0"),
            (1e100, "1e+100"),
            (0.0001, "0.0001"),
        ];
        for (x, text) in table {
            assert_eq!(float_text(x), text);
        }
    }
}
