//! `lookback`: the span before the cursor that each run reads again, for records that appear late.

use osiris_sdk::{Error, Result};
use serde_json::Value;

use crate::order::{Key, Order, Rank};

/// A span of time or of numbers.
pub struct Lookback {
    written: Value,
}

impl Lookback {
    /// # Errors
    /// `config` for a text that is neither a number nor a duration.
    pub fn parse(written: &Value) -> Result<Self> {
        let known = match written {
            Value::Number(number) => !number.to_string().starts_with('-'),
            Value::String(text) => duration(text).is_some(),
            _ => false,
        };
        if known {
            return Ok(Self { written: written.clone() });
        }
        Err(Error::config(format!(
            "`lookback` is {written}; write a duration such as `2h`, `1d` or `1d 12h` for dates and times (s, m, h, d, w), a \
             number for numbers"
        )))
    }

    /// The value that precedes `value` by the span, in the same notation, and its place in the order.
    ///
    /// # Errors
    /// `config` if the span does not match the cursor's values.
    pub fn before(&self, value: &Value, key: &Key, order: &mut Order) -> Result<(Value, Key)> {
        let wrong = |wanted: &str| {
            Error::config(format!("`lookback` is {}, but the cursor's values are {wanted}", self.written))
        };
        let text = match key {
            Key::Number(number) => {
                let span = crate::number::Number::parse(&self.written.to_string());
                let span = span.ok_or_else(|| wrong("numbers: write a number"))?;
                number.less(&span).ok_or_else(|| wrong("numbers of too many digits for it"))?
            }
            Key::Moment(moment) => {
                let seconds = self.written.as_str().and_then(duration);
                let seconds = seconds.ok_or_else(|| wrong("dates or times: write a duration such as `2h`"))?;
                moment.earlier(seconds).ok_or_else(|| wrong("moments too long ago for it"))?
            }
            Key::Text(_) => return Err(wrong("texts, which no span can be taken off")),
        };
        let earlier = match value {
            Value::Number(_) => serde_json::from_str(&text)?,
            _ => Value::from(text),
        };
        match order.rank(&earlier, || "the request".to_owned())? {
            Rank::At(key) => Ok((earlier, key)),
            _ => Err(wrong("of a kind that it does not go with")),
        }
    }
}

/// The seconds of `90s`, `2h`, `1d 12h`.
fn duration(text: &str) -> Option<i64> {
    let mut rest = text.trim();
    let mut seconds: i64 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (digits, behind) = rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count());
        let behind = behind.trim_start();
        let (unit, behind) = behind.split_at(behind.bytes().take_while(u8::is_ascii_alphabetic).count());
        let unit = match unit.to_ascii_lowercase().as_str() {
            "s" | "sec" | "second" | "seconds" => 1,
            "m" | "min" | "minute" | "minutes" => 60,
            "h" | "hour" | "hours" => 3_600,
            "d" | "day" | "days" => 86_400,
            "w" | "week" | "weeks" => 604_800,
            _ => return None,
        };
        seconds = seconds.checked_add(digits.parse::<i64>().ok()?.checked_mul(unit)?)?;
        rest = behind.trim_start();
    }
    Some(seconds)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::order::CursorType;
    use serde_json::json;

    fn before(lookback: Value, value: Value) -> Result<Value> {
        let mut order = Order::new("at", CursorType::Auto, None, 4_000_000_000).unwrap();
        let Rank::At(key) = order.rank(&value, String::new).unwrap() else { panic!() };
        Ok(Lookback::parse(&lookback)?.before(&value, &key, &mut order)?.0)
    }

    #[test]
    fn a_span_is_subtracted_in_the_values_own_notation() {
        for (lookback, value, expected) in [
            (json!("2h"), json!("2024-03-01T01:00:00+01:00"), json!("2024-02-29T23:00:00+01:00")),
            (json!("1d 12h"), json!("2024-03-03"), json!("2024-03-01")),
            (json!("7 days"), json!("Fri, 08 Mar 2024 00:00:00 GMT"), json!("Fri, 01 Mar 2024 00:00:00 GMT")),
            (json!(10), json!(1000), json!(990)),
            (json!(10), json!("1000"), json!("990")),
            (json!(0.5), json!("1000.5"), json!("1000")),
        ] {
            assert_eq!(before(lookback, value).unwrap(), expected);
        }
        for (lookback, value) in [
            (json!(10), json!("2024-03-01")),
            (json!("1d"), json!(5)),
            (json!("1 fortnight"), json!("2024-03-01")),
            (json!(-1), json!(5)),
            (json!(""), json!(5)),
            (json!("d"), json!(5)),
        ] {
            assert!(matches!(before(lookback, value).unwrap_err().kind, osiris_sdk::ErrorKind::Config));
        }
    }
}
