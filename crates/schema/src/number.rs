//! Numbers of JSON, compared as the numbers they are, and texts under which equal values are equal.

use std::cmp::Ordering;

use serde_json::{Number, Value};

/// Compares two numbers; integers exactly.
pub(crate) fn compare(a: &Number, b: &Number) -> Ordering {
    match (integer(a), integer(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => float(a).total_cmp(&float(b)),
    }
}

/// Says whether a number has no fraction.
pub(crate) fn is_integer(number: &Number) -> bool {
    integer(number).is_some() || float(number).fract() == 0.0
}

/// Says whether `number` is a whole multiple of `of`, which is above zero.
///
/// Both are taken as the decimals they are written as: 19.99 is a multiple of 0.01.
pub(crate) fn is_multiple(number: &Number, of: &Number) -> bool {
    let exact = decimal(number).zip(decimal(of)).and_then(|(a, b)| {
        let exponent = a.1.min(b.1);
        let a = scaled(a, exponent)?;
        let b = scaled(b, exponent)?;
        Some(b != 0 && a % b == 0)
    });
    exact.unwrap_or_else(|| (float(number) % float(of)).abs() < f64::MIN_POSITIVE)
}

fn scaled((digits, own): (i128, i32), exponent: i32) -> Option<i128> {
    let shift = u32::try_from(own - exponent).ok()?;
    digits.checked_mul(10_i128.checked_pow(shift)?)
}

/// Returns digits and the power of ten that they are times of.
fn decimal(number: &Number) -> Option<(i128, i32)> {
    let text = number.to_string();
    let (digits, exponent) = match text.split_once(['e', 'E']) {
        None => (text.as_str(), 0),
        Some((digits, exponent)) => (digits, exponent.parse().ok()?),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let places = i32::try_from(fraction.len()).ok()?;
    Some((
        format!("{whole}{fraction}").parse().ok()?,
        exponent - places,
    ))
}

fn integer(number: &Number) -> Option<i128> {
    number
        .as_i64()
        .map(i128::from)
        .or_else(|| number.as_u64().map(i128::from))
}

fn float(number: &Number) -> f64 {
    number.as_f64().unwrap_or(f64::NAN)
}

/// Appends a text that two values have in common exactly when they are equal: 1 is 1.0, and the
/// order of names does not matter.
pub(crate) fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Number(number) => out.push_str(&canonical_number(number)),
        Value::Array(items) => {
            out.push('[');
            for item in items {
                canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        Value::Object(map) => {
            let mut pairs: Vec<_> = map.iter().collect();
            pairs.sort_unstable_by_key(|(name, _)| *name);
            out.push('{');
            for (name, value) in pairs {
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                canonical(value, out);
                out.push(',');
            }
            out.push('}');
        }
        plain => out.push_str(&plain.to_string()),
    }
}

fn canonical_number(number: &Number) -> String {
    let value = float(number);
    if integer(number).is_none() && value.fract() == 0.0 {
        return format!("{value:.0}");
    }
    number.to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn number(text: &str) -> Number {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn multiples_are_of_decimals_as_they_are_written() {
        for (a, b, expected) in [
            ("19.99", "0.01", true),
            ("0.0075", "0.0001", true),
            ("0.00751", "0.0001", false),
            ("12391239123", "1e-8", true),
            ("9007199254740993", "2", false),
            ("-4.5", "1.5", true),
            ("1e308", "0.5", true),
        ] {
            assert_eq!(is_multiple(&number(a), &number(b)), expected, "{a} of {b}");
        }
    }

    #[test]
    fn big_integers_are_compared_exactly() {
        let (a, b) = (number("9007199254740993"), number("9007199254740992"));

        assert_eq!(compare(&a, &b), Ordering::Greater);
        assert_eq!(compare(&number("1"), &number("1.0")), Ordering::Equal);
    }

    #[test]
    fn equal_values_have_one_text() {
        let text = |value| {
            let mut text = String::new();
            canonical(&value, &mut text);
            text
        };

        assert_eq!(
            text(json!({"a": 1, "b": [2.0]})),
            text(json!({"b": [2], "a": 1.0}))
        );
        assert_ne!(text(json!([1, 2])), text(json!([12])));
        assert_ne!(text(json!(["a,b"])), text(json!(["a", "b"])));
        assert_ne!(text(json!(1)), text(json!(true)));
        assert_ne!(text(json!("1")), text(json!(1)));
    }
}
