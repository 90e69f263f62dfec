//! The cursor column: how its values are written, which of them have no place in its order, and the start of a
//! lookback.

use database_client::Lookback;
use mysql_client::sql::quote_text;
use mysql_client::types::Kind;
use mysql_client::{Client, Stream};
use osiris_sdk::{Error, Result, context};

/// The cursor column.
pub struct Cursor<'a> {
    pub name: &'a str,
    /// Its name, quoted.
    pub sql: String,
    pub kind: Kind,
    /// The lowest of the values that have no place in its order, in SQL.
    pub sentinel: Option<String>,
}

impl Cursor<'_> {
    /// Reports a greatest value that looks like a mistake: every later row below it would never be read.
    ///
    /// # Errors
    /// The server's error.
    pub fn warn<S: Stream>(&self, client: &mut Client<S>, end: &str) -> Result<()> {
        let sentence = match self.kind {
            Kind::Date | Kind::DateTime | Kind::Timestamp => {
                let future = format!("select cast({} as datetime) > utc_timestamp() + interval 1 day", quote_text(end));
                if client.value(&future)?.as_deref() != Some("1") {
                    return Ok(());
                }
                "the greatest cursor value is in the future; rows that come later with smaller values are never read"
            }
            Kind::Text if !end.starts_with(|c: char| c.is_ascii_digit()) => {
                "the cursor is a text, ordered as its collation says; rows that come later with smaller values are never read"
            }
            _ => return Ok(()),
        };
        context::warn(sentence, &[("cursor", &self.name), ("value", &end)]);
        Ok(())
    }
}

/// The values that stand for "none": the year 9999, the last second of a timestamp, the largest integer.
pub fn sentinel(kind: Kind) -> Option<String> {
    let number = match kind {
        Kind::Date | Kind::DateTime => return Some("'9999-01-01'".to_owned()),
        Kind::Timestamp => return Some("'2038-01-19 00:00:00'".to_owned()),
        Kind::I32 => i32::MAX.to_string(),
        Kind::U32 => u32::MAX.to_string(),
        Kind::I64 => i64::MAX.to_string(),
        Kind::U64 => u64::MAX.to_string(),
        _ => return None,
    };
    Some(number)
}

/// A value below all others, for a state that has not read any row with a place in the cursor's order.
pub fn first_value(kind: Kind) -> &'static str {
    match kind {
        Kind::Date | Kind::DateTime => "0001-01-01",
        Kind::Timestamp => "1970-01-01 00:00:01",
        Kind::U32 | Kind::U64 => "0",
        Kind::I32 => "-2147483648",
        _ => "-9223372036854775808",
    }
}

/// The value that precedes another by a span, in SQL.
///
/// # Errors
/// `config` for a span of another kind than the cursor.
pub fn before(kind: Kind, value: &str, lookback: &Lookback, name: &str) -> Result<String> {
    let own = literal(kind, value, name)?;
    match (kind, lookback) {
        (Kind::Date | Kind::DateTime | Kind::Timestamp, Lookback::Seconds(seconds)) => {
            // Before the first year the result is null.
            Ok(format!(
                "coalesce(cast({own} as datetime(6)) - interval {seconds} second, cast('0001-01-01' as datetime(6)))"
            ))
        }
        (Kind::Text | Kind::Uuid, _) => Err(Error::config(format!(
            "`lookback` goes back from a number or a time, and the cursor `{name}` is a text"
        ))),
        (Kind::Date | Kind::DateTime | Kind::Timestamp, Lookback::Number(number)) => Err(Error::config(format!(
            "`lookback` is {number}, and the cursor `{name}` is a time; write a duration, such as `2h` or `1d`"
        ))),
        (_, Lookback::Number(number)) => Ok(format!("cast({own} as decimal(65,30)) - {number}")),
        (_, Lookback::Seconds(_)) => {
            Err(Error::config(format!("`lookback` is {lookback}, and the cursor `{name}` is a number; write a number")))
        }
    }
}

/// A cursor value in SQL.
///
/// # Errors
/// `config` for a type without a reliable order, or a value that is not of the type.
pub fn literal(kind: Kind, value: &str, name: &str) -> Result<String> {
    match kind {
        Kind::I8
        | Kind::U8
        | Kind::I16
        | Kind::U16
        | Kind::I32
        | Kind::U32
        | Kind::I64
        | Kind::U64
        | Kind::Year
        | Kind::Bool
        | Kind::Decimal { .. } => {
            let digits = value.strip_prefix('-').unwrap_or(value);
            if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
                Ok(value.to_owned())
            } else {
                Err(Error::config(format!("`{value}` is no number, as the cursor `{name}` is")))
            }
        }
        Kind::Date | Kind::DateTime | Kind::Timestamp | Kind::Text | Kind::Uuid => Ok(quote_text(value)),
        other => Err(Error::config(format!(
            "column `{name}` ({}) cannot be the cursor; take a number without exponent, a date, a timestamp or a text",
            other.duckdb()
        ))),
    }
}

/// A description of the order of a cursor's values: the same for types that hold the same values in the same order.
pub fn order_in_words(kind: Kind) -> &'static str {
    match kind {
        Kind::Date | Kind::DateTime => "dates and times without a zone",
        Kind::Timestamp => "times in UTC",
        Kind::Text => "texts",
        Kind::Uuid => "UUIDs",
        _ => "numbers",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn cursors_cannot_break_out_of_their_literal() {
        assert_eq!(literal(Kind::I32, "-5", "c").unwrap(), "-5");
        assert!(literal(Kind::I32, "1 or 1=1", "c").is_err());
        assert_eq!(literal(Kind::Text, "'", "c").unwrap(), "_utf8mb4 x'27'");
        assert!(literal(Kind::F64, "1", "c").is_err() && literal(Kind::Json, "1", "c").is_err());
    }

    #[test]
    fn a_lookback_needs_a_span_of_the_values_kind() {
        let back = |kind, value: &str, span: &str| before(kind, value, &Lookback::parse(span).unwrap(), "c");
        assert_eq!(back(Kind::I32, "100", "10").unwrap(), "cast(100 as decimal(65,30)) - 10");
        assert!(back(Kind::Date, "2024-01-01", "1d").unwrap().contains("- interval 86400 second"));
        for (kind, span) in [(Kind::I32, "1d"), (Kind::Date, "10"), (Kind::Text, "10"), (Kind::Text, "1d")] {
            assert!(back(kind, "1", span).is_err(), "{kind:?} {span}");
        }
    }
}
