//! Numbers of any size by their digits, because a cursor that is converted to a double may change.

use std::cmp::Ordering;

/// A decimal number: `0.DIGITS × 10^exponent`, without leading and trailing zeros. Zero has no digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number {
    negative: bool,
    exponent: i64,
    digits: String,
}

impl Number {
    /// Parses `-12`, `1000.50`, `9e5`, and no other notation.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (mantissa, ""),
        };
        let all = format!("{whole}{fraction}");
        if whole.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let significant = all.trim_start_matches('0');
        let leading = all.len() - significant.len();
        let digits = significant.trim_end_matches('0').to_owned();
        if digits.is_empty() {
            return Some(Self { negative: false, exponent: 0, digits });
        }
        let exponent = i64::from(exponent) + whole.len() as i64 - leading as i64;
        Some(Self { negative, exponent, digits })
    }

    /// Whether systems write it for "no end": the greatest value of an integer type, or only nines.
    pub fn is_sentinel(&self) -> bool {
        const GREATEST: [&str; 5] =
            ["2147483647", "4294967295", "9223372036854775807", "18446744073709551615", "253402300799"];
        let whole = self.digits.len() as i64 <= self.exponent && self.exponent < 64;
        let text = || format!("{:0<1$}", self.digits, self.exponent as usize);
        let nines = |text: &str| text.len() >= 9 && text.bytes().all(|byte| byte == b'9');
        whole && !self.negative && {
            let text = text();
            GREATEST.contains(&text.as_str()) || nines(&text)
        }
    }

    /// The number minus `other`, in plain notation; `None` if that takes more than 38 digits.
    pub fn less(&self, other: &Self) -> Option<String> {
        let scale_of = |number: &Self| (number.digits.len() as i64 - number.exponent).max(0);
        let scale = scale_of(self).max(scale_of(other));
        let scaled = |number: &Self| -> Option<i128> {
            if number.digits.is_empty() {
                return Some(0);
            }
            let zeros = number.exponent + scale - number.digits.len() as i64;
            let power = 10_i128.checked_pow(u32::try_from(zeros).ok()?)?;
            let size = number.digits.parse::<i128>().ok()?.checked_mul(power)?;
            Some(if number.negative { -size } else { size })
        };
        let difference = scaled(self)?.checked_sub(scaled(other)?)?;
        let scale = usize::try_from(scale).ok()?;
        let digits = format!("{:0>1$}", difference.unsigned_abs(), scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        let fraction = fraction.trim_end_matches('0');
        let sign = if difference < 0 { "-" } else { "" };
        Some(if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") })
    }

    fn size(&self, other: &Self) -> Ordering {
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            // Digits without trailing zeros compare like texts.
            (false, false) => self.exponent.cmp(&other.exponent).then_with(|| self.digits.cmp(&other.digits)),
        }
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, false) => self.size(other),
            (true, true) => other.size(self),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn numbers_compare_by_value() {
        let rising = [
            "-1e3",
            "-12345678901234567890.2",
            "-12345678901234567890.1",
            "-1.5",
            "-0.5",
            "-0.05",
            "0",
            "0.05",
            "0.5",
            "1",
            "1.5",
            "2",
            "10",
            "999.5",
            "1000.5",
            "9e5",
            "1e6",
            "12345678901234567890123456789012345678901",
            "12345678901234567890123456789012345678902",
        ];
        let mut numbers: Vec<Number> = rising.iter().map(|text| Number::parse(text).unwrap()).collect();
        numbers.swap(0, 2);
        numbers.swap(0, 1);
        for pair in numbers.windows(2) {
            assert!(pair[0] < pair[1], "{pair:?}");
        }
        for (one, other) in [("1", "1.0"), ("1e3", "1000"), ("-0", "0"), ("007", "7"), ("+5", "5"), ("1.20E1", "12")] {
            assert_eq!(Number::parse(one), Number::parse(other), "{one} {other}");
        }
        for text in ["", "-", "1.", ".5", "1,5", "0x1f", "1e", "1_000", "v9", "1.9.0", "NaN", "Infinity", "１"] {
            assert_eq!(Number::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_greatest_values_of_types_stand_for_no_end() {
        for (text, expected) in [
            ("9223372036854775807", true),
            ("2147483647", true),
            ("999999999", true),
            ("9999", false),
            ("999999999.5", false),
            ("-999999999", false),
            ("1e300", false),
            ("0", false),
            ("1700000000", false),
        ] {
            assert_eq!(Number::parse(text).unwrap().is_sentinel(), expected, "{text}");
        }
    }

    #[test]
    fn differences_are_exact() {
        for (one, other, expected) in [
            ("1000.5", "1.25", "999.25"),
            ("5", "10", "-5"),
            ("12345678901234567890", "1", "12345678901234567889"),
            ("1e3", "0", "1000"),
            ("0.1", "0.1", "0"),
        ] {
            let difference = Number::parse(one).unwrap().less(&Number::parse(other).unwrap());
            assert_eq!(difference.as_deref(), Some(expected), "{one} {other}");
        }
        assert_eq!(Number::parse("1e300").unwrap().less(&Number::parse("1").unwrap()), None);
    }
}
