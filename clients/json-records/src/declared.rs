//! The types that a user can declare for a column, and how JSON values become them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use osiris_sdk::{Error, Result};

/// A type that a user declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Declared {
    Boolean,
    Integer,
    BigInt,
    Double,
    /// Digits in all, and those behind the point.
    Decimal(u8, u8),
    Varchar,
    Json,
    Date,
    Timestamp,
    TimestampTz,
}

const KNOWN: &str =
    "BOOLEAN, INTEGER, BIGINT, HUGEINT, DOUBLE, DECIMAL(p,s), VARCHAR, JSON, DATE, TIMESTAMP, TIMESTAMPTZ";

/// Days from 0000-03-01 to 1970-01-01.
const EPOCH_DAYS: i64 = 719_468;

impl Declared {
    /// Reads a type's name as DuckDB writes it.
    ///
    /// # Errors
    /// `config`, naming those there are.
    pub fn parse(name: &str) -> Result<Self> {
        let unknown =
            || Error::config(format!("`{name}` is no type that a column can be declared as; there are: {KNOWN}"));
        let upper = name.trim().to_ascii_uppercase();
        let known = match upper.as_str() {
            "BOOLEAN" | "BOOL" => Self::Boolean,
            "INTEGER" | "INT" | "INT4" => Self::Integer,
            "BIGINT" | "INT8" | "LONG" => Self::BigInt,
            "HUGEINT" => Self::Decimal(38, 0),
            "DOUBLE" | "FLOAT8" | "FLOAT" => Self::Double,
            "VARCHAR" | "TEXT" | "STRING" => Self::Varchar,
            "JSON" => Self::Json,
            "DATE" => Self::Date,
            "TIMESTAMP" | "DATETIME" => Self::Timestamp,
            "TIMESTAMPTZ" | "TIMESTAMP WITH TIME ZONE" => Self::TimestampTz,
            other => {
                let inner =
                    other.strip_prefix("DECIMAL").or_else(|| other.strip_prefix("NUMERIC")).ok_or_else(unknown)?;
                let inner = if inner.trim().is_empty() { "(18,3)" } else { inner.trim() };
                let inner = inner.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).ok_or_else(unknown)?;
                let (digits, scale) = inner.split_once(',').unwrap_or((inner, "0"));
                let digits: u8 = digits.trim().parse().map_err(|_| unknown())?;
                let scale: u8 = scale.trim().parse().map_err(|_| unknown())?;
                if !(1..=38).contains(&digits) || scale > digits {
                    return Err(unknown());
                }
                Self::Decimal(digits, scale)
            }
        };
        Ok(known)
    }

    /// The type's name for messages.
    pub fn name(self) -> String {
        match self {
            Self::Boolean => "BOOLEAN".to_owned(),
            Self::Integer => "INTEGER".to_owned(),
            Self::BigInt => "BIGINT".to_owned(),
            Self::Double => "DOUBLE".to_owned(),
            Self::Decimal(digits, scale) => format!("DECIMAL({digits},{scale})"),
            Self::Varchar => "VARCHAR".to_owned(),
            Self::Json => "JSON".to_owned(),
            Self::Date => "DATE".to_owned(),
            Self::Timestamp => "TIMESTAMP".to_owned(),
            Self::TimestampTz => "TIMESTAMPTZ".to_owned(),
        }
    }
}

/// A number out of a number or a text.
pub fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| decimal(&number.to_string(), 38, 0, true)?.try_into().ok()),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

pub fn double(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

pub fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(*value),
        Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// A decimal as the integer that it is with `scale` digits behind the point, rounded half away from zero; with
/// `exact`, `None` where there is something to round.
pub fn decimal(text: &str, digits: u8, scale: u8, exact: bool) -> Option<i128> {
    let text = text.trim();
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Where the point lands in `all`, counted from its beginning.
    let point = i64::try_from(whole.len()).ok()? + i64::from(exponent) + i64::from(scale);
    let all = all.as_bytes();
    let mut number: i128 = 0;
    let kept = usize::try_from(point).unwrap_or(0);
    for place in 0..kept {
        let digit = all.get(place).map_or(0, |byte| i128::from(byte - b'0'));
        if number == 0 && digit == 0 && place >= all.len() {
            break;
        }
        number = number.checked_mul(10)?.checked_add(digit)?;
    }
    let rest = all.get(kept.min(all.len())..).unwrap_or_default();
    if exact && rest.iter().any(|digit| *digit != b'0') {
        return None;
    }
    if point >= 0 && rest.first().is_some_and(|digit| *digit >= b'5') {
        number = number.checked_add(1)?;
    }
    let limit = 10_i128.checked_pow(u32::from(digits))?;
    (number < limit).then_some(if negative { -number } else { number })
}

/// Days since 1970-01-01 of a text such as `2024-02-29`.
pub fn date(text: &str) -> Option<i32> {
    let text = text.trim();
    if text.len() > 10 {
        let (micros, _) = timestamp(text)?;
        return (micros % 86_400_000_000 == 0).then(|| i32::try_from(micros / 86_400_000_000).ok()).flatten();
    }
    let mut parts = text.splitn(3, '-');
    let mut number = |length: usize| -> Option<i64> {
        let part = parts.next()?;
        (part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit())).then(|| part.parse().ok()).flatten()
    };
    let (year, month, day) = (number(4)?, number(2)?, number(2)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days).contains(&day) {
        return None;
    }
    // Years begin in March here, so that the leap day is a year's last.
    let year = if month <= 2 { year - 1 } else { year };
    let (era, month) = (year.div_euclid(400), (month + 9) % 12);
    let year = year.rem_euclid(400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    i32::try_from(era * 146_097 + year * 365 + year / 4 - year / 100 + day_of_year - EPOCH_DAYS).ok()
}

/// Microseconds since 1970-01-01 UTC of an ISO 8601 text, and whether it names a zone; without one it is taken
/// for UTC.
pub fn timestamp(text: &str) -> Option<(i64, bool)> {
    let text = text.trim();
    let days = i64::from(date(text.get(..10)?)?);
    let rest = &text[10..];
    if rest.is_empty() {
        return Some((days * 86_400_000_000, false));
    }
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let zone = rest.find(['Z', 'z', '+', '-']);
    let (clock, zone) = rest.split_at(zone.unwrap_or(rest.len()));
    let (clock, fraction) = clock.trim_end().split_once(['.', ',']).unwrap_or((clock.trim_end(), ""));
    let mut parts = clock.split(':').map(two_digits);
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = parts.next().unwrap_or(Some(0))?;
    if parts.next().is_some()
        || hour > 23
        || minute > 59
        || second > 60
        || !fraction.bytes().all(|c| c.is_ascii_digit())
    {
        return None;
    }
    let micros: i64 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    let seconds = (hour * 60 + minute) * 60 + second - offset(zone)?;
    Some(((days * 86_400 + seconds) * 1_000_000 + micros, !zone.is_empty()))
}

/// The seconds that a zone such as `+02:00` is ahead of UTC.
fn offset(zone: &str) -> Option<i64> {
    if matches!(zone, "" | "Z" | "z") {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let digits = zone[1..].replace(':', "");
    let (hours, minutes) = match digits.len() {
        2 => (digits.as_str(), "00"),
        4 => digits.split_at_checked(2)?,
        _ => return None,
    };
    let (hours, minutes) = (two_digits(hours)?, two_digits(minutes)?);
    (hours <= 18 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60)
}

fn two_digits(text: &str) -> Option<i64> {
    (text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn names_of_types_are_read() {
        for (name, expected) in [
            ("bigint", Declared::BigInt),
            ("Decimal(10, 2)", Declared::Decimal(10, 2)),
            ("NUMERIC(5)", Declared::Decimal(5, 0)),
            ("decimal", Declared::Decimal(18, 3)),
            ("timestamp with time zone", Declared::TimestampTz),
        ] {
            assert_eq!(Declared::parse(name).unwrap(), expected, "{name}");
        }
        for name in ["", "BLOB", "DECIMAL(39,0)", "DECIMAL(2,3)", "DECIMAL(", "DECIMAL(x)"] {
            assert!(Declared::parse(name).unwrap_err().message.contains("there are: BOOLEAN"), "{name}");
        }
    }

    #[test]
    fn decimals_are_read_and_rounded() {
        for (text, digits, scale, expected) in [
            ("12.345", 10, 2, Some(1235)),
            ("-12.345", 10, 2, Some(-1235)),
            ("12.344", 10, 2, Some(1234)),
            ("0.005", 10, 2, Some(1)),
            ("0.004", 10, 2, Some(0)),
            ("0.0009", 10, 2, Some(0)),
            ("1e3", 10, 2, Some(100_000)),
            ("1.5E-3", 10, 4, Some(15)),
            ("9e-40", 38, 0, Some(0)),
            ("+7", 3, 0, Some(7)),
            ("99.999", 4, 2, None),
            ("100", 2, 0, None),
            ("1e40", 38, 0, None),
            ("0e999999999", 38, 0, Some(0)),
            ("1e999999999", 38, 0, None),
            ("", 3, 0, None),
            (".", 3, 0, None),
            ("1x", 3, 0, None),
            ("18446744073709551615", 38, 0, Some(18_446_744_073_709_551_615)),
        ] {
            assert_eq!(decimal(text, digits, scale, false), expected, "{text}");
        }
    }

    #[test]
    fn times_are_read() {
        for (text, expected) in [
            ("1970-01-01", Some((0, false))),
            ("1970-01-01T00:00:00Z", Some((0, true))),
            ("2024-02-29T12:30:45.123456789+02:00", Some((1_709_202_645_123_456, true))),
            ("2024-02-29 10:30:45.123456", Some((1_709_202_645_123_456, false))),
            ("1969-12-31T23:59:59.5-0000", Some((-500_000, true))),
            ("2024-02-29T10:30", Some((1_709_202_600_000_000, false))),
            ("0001-01-01T00:00:00Z", Some((-62_135_596_800_000_000, true))),
            ("2023-02-29", None),
            ("2024-13-01", None),
            ("2024-1-1", None),
            ("2024-02-29T25:00:00", None),
            ("2024-02-29T10:00:00+99:00", None),
            ("2024-02-29T10:00:00 UTC", None),
            ("yesterday, or so", None),
            ("é2024-01-0", None),
        ] {
            assert_eq!(timestamp(text), expected, "{text}");
        }
        assert_eq!(date("2000-03-01"), Some(11_017));
        assert_eq!(date("2000-03-01T00:00:00Z"), Some(11_017));
        assert_eq!(date("2000-03-01T00:00:01Z"), None);
    }

    #[test]
    fn numbers_come_out_of_numbers_and_texts() {
        assert_eq!(
            [integer(&json!(5)), integer(&json!("5")), integer(&json!(5.0)), integer(&json!(5.5))],
            [Some(5), Some(5), Some(5), None]
        );
        assert_eq!(double(&json!("1.5")), Some(1.5));
        assert_eq!([boolean(&json!("TRUE")), boolean(&json!(1))], [Some(true), None]);
    }
}
