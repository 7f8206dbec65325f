//! Rounding as Python does it.

/// A float cut to a whole number; `None` beyond the range.
pub(super) fn int_of(x: f64) -> Option<i64> {
    let limit = 9_223_372_036_854_775_808.0;
    (x.is_finite() && x > -limit && x < limit).then_some(x as i64)
}

/// To the nearest whole number, halves to the even one.
pub(super) fn round_half_even(x: f64) -> f64 {
    x.round_ties_even()
}

/// To decimals, judged by the exact value of the float; `decimals` below zero rounds to tens, hundreds and so on.
pub(super) fn round_decimals(x: f64, decimals: i64) -> f64 {
    if !x.is_finite() || decimals > 323 {
        return x;
    }
    match usize::try_from(decimals) {
        // Formatting rounds the exact value, halves to even.
        Ok(decimals) => format!("{x:.decimals$}").parse().unwrap_or(x),
        Err(_) if decimals < -308 => 0.0_f64.copysign(x),
        Err(_) => {
            let unit = 10f64.powi(-(decimals as i32));
            (x / unit).round_ties_even() * unit
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_python_rounds() {
        let table = [
            (5.14159, 2, 5.14),
            (2.675, 2, 2.67),
            (0.5, 0, 0.0),
            (1.5, 0, 2.0),
            (2.5, 0, 2.0),
            (1234.0, -2, 1200.0),
            (1250.0, -2, 1200.0),
            (1350.0, -2, 1400.0),
            (-2.5, 0, -2.0),
        ];
        for (x, decimals, expected) in table {
            assert_eq!(round_decimals(x, decimals), expected, "{x} {decimals}");
        }
        assert_eq!(int_of(1e19), None);
        assert_eq!(int_of(-2.9), Some(-2));
    }
}
