//! The type of a column, by all of its values, and values as JSON for that type.

use std::fmt::Write;

use json_records::Type;

use crate::rows::Value;
use crate::serial::{Epoch, Moment, clock_text, date_text, timestamp_text};

/// Whether a DOUBLE holds the whole number exactly.
fn is_exact(whole: i128) -> bool {
    (whole as f64) as i128 == whole
}

/// The values of a column that have been seen: how many of each kind, and the cell of the first of each.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    kinds: [Count; KINDS.len()],
}

#[derive(Debug, Clone, Default)]
struct Count {
    values: u64,
    first: String,
}

/// The kinds of values, as an error or a warning calls them.
const KINDS: [&str; 10] = [
    "whole numbers",
    "whole numbers beyond a DOUBLE's precision",
    "whole numbers beyond a BIGINT",
    "numbers",
    "booleans",
    "dates",
    "timestamps",
    "times",
    "durations",
    "texts",
];

/// The place of a value's kind among [`KINDS`]; `None` for an empty text, which any column may have.
fn kind(value: Value<'_>) -> Option<usize> {
    Some(match value {
        Value::Whole(whole) if i64::try_from(whole).is_ok() && is_exact(whole) => 0,
        Value::Whole(whole) if i64::try_from(whole).is_ok() => 1,
        Value::Whole(_) => 2,
        Value::Real(_) => 3,
        Value::Boolean(_) => 4,
        Value::Date(_) => 5,
        Value::Timestamp(_) => 6,
        Value::Time(_) => 7,
        Value::Interval(_) => 8,
        Value::Text("") => return None,
        Value::Text(_) | Value::Error(_) => 9,
    })
}

impl Seen {
    /// `cell` names the cell.
    pub fn see(&mut self, value: Value<'_>, cell: impl FnOnce() -> String) {
        let Some(kind) = kind(value) else { return };
        let count = &mut self.kinds[kind];
        if count.values == 0 {
            count.first = cell();
        }
        count.values += 1;
    }

    /// Adds the values of another file's column.
    pub fn join(&mut self, other: &Self) {
        for (known, other) in self.kinds.iter_mut().zip(&other.kinds) {
            if known.values == 0 {
                known.first.clone_from(&other.first);
            }
            known.values += other.values;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.kinds.iter().all(|count| count.values == 0)
    }

    /// The narrowest type that leaves each value unchanged: texts, if there are several kinds.
    pub fn settle(&self) -> Type {
        let has: Vec<usize> = (0..KINDS.len()).filter(|kind| self.kinds[*kind].values > 0).collect();
        match has[..] {
            [0] | [1] | [0, 1] => Type::BigInt,
            [2] | [0, 2] | [1, 2] | [0, 1, 2] => Type::HugeInt,
            [3] | [0, 3] => Type::Double,
            [4] => Type::Boolean,
            [5] => Type::Date,
            [6] | [5, 6] => Type::Timestamp,
            [7] => Type::Time,
            [8] | [7, 8] => Type::Interval,
            _ => Type::Varchar,
        }
    }

    /// The kinds of values and their first cells, if they have no type in common other than text.
    pub fn mixture(&self) -> Option<String> {
        let known = self.kinds.iter().enumerate().filter(|(_, count)| count.values > 0);
        if self.settle() != Type::Varchar || known.clone().count() < 2 {
            return None;
        }
        let words = known.map(|(kind, count)| format!("{} {} from {}", count.values, KINDS[kind], count.first));
        Some(words.collect::<Vec<_>>().join(", "))
    }
}

/// The value as text, as a column of texts or a name of a column has it.
pub fn text(value: Value<'_>) -> String {
    match value {
        Value::Whole(whole) => whole.to_string(),
        Value::Real(real) => format!("{real:?}"),
        Value::Text(text) | Value::Error(text) => text.to_owned(),
        Value::Boolean(value) => value.to_string(),
        Value::Date(days) => date_text(days),
        Value::Timestamp(micros) => timestamp_text(micros),
        Value::Time(micros) | Value::Interval(micros) => clock_text(micros),
    }
}

/// Appends the value as JSON for a column of the type `kind`. A number in a column of dates is a number of days.
pub fn write_json(value: Value<'_>, kind: &Type, epoch: Epoch, json: &mut String) {
    let quoted = |text: &str, json: &mut String| json.push_str(&serde_json::Value::from(text).to_string());
    match (value, kind) {
        (Value::Text(text), _) => quoted(text, json),
        (value, Type::Varchar) => quoted(&text(value), json),
        (
            Value::Date(days),
            Type::Timestamp | Type::TimestampS | Type::TimestampMs | Type::TimestampNs | Type::TimestampTz,
        ) => {
            quoted(&format!("{} 00:00:00", date_text(days)), json);
        }
        (Value::Whole(whole), kind) if is_moment(kind) => write_moment(whole as f64, kind, epoch, value, json),
        (Value::Real(real), kind) if is_moment(kind) => write_moment(real, kind, epoch, value, json),
        // Writing to a text cannot fail.
        (Value::Whole(whole), Type::Double) if is_exact(whole) => drop(write!(json, "{:?}", whole as f64)),
        (Value::Whole(whole), _) => drop(write!(json, "{whole}")),
        (Value::Real(real), _) => drop(write!(json, "{real:?}")),
        (Value::Boolean(value), _) => json.push_str(if value { "true" } else { "false" }),
        (value, _) => quoted(&text(value), json),
    }
}

fn is_moment(kind: &Type) -> bool {
    matches!(
        kind,
        Type::Date
            | Type::Time
            | Type::Timestamp
            | Type::TimestampS
            | Type::TimestampMs
            | Type::TimestampNs
            | Type::TimestampTz
            | Type::Interval
    )
}

fn write_moment(days: f64, kind: &Type, epoch: Epoch, value: Value<'_>, json: &mut String) {
    let moment = match (kind, epoch.moment(days)) {
        (Type::Interval, _) => Some(Value::Interval(crate::serial::microseconds(days))),
        (_, Some(Moment::Date(days))) => Some(Value::Date(days)),
        (_, Some(Moment::Timestamp(micros))) => Some(Value::Timestamp(micros)),
        (_, Some(Moment::Time(micros))) => Some(Value::Time(micros)),
        (_, None) => None,
    };
    match moment {
        Some(moment) => write_json(moment, kind, epoch, json),
        // The number itself does not fit the column, which is reported with its place.
        None => json.push_str(&text(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settle(values: &[Value<'_>]) -> Type {
        let mut seen = Seen::default();
        values.iter().for_each(|value| seen.see(*value, String::new));
        seen.settle()
    }

    #[test]
    fn a_type_leaves_every_value_unchanged() {
        use Value::{Boolean, Date, Interval, Real, Text, Time, Timestamp, Whole};
        let large = i128::from(i64::MAX);
        for (values, expected) in [
            (vec![], Type::Varchar),
            (vec![Whole(1), Text("")], Type::BigInt),
            (vec![Whole(large)], Type::BigInt),
            (vec![Whole(1), Whole(large + 1)], Type::HugeInt),
            (vec![Whole(1), Real(0.5)], Type::Double),
            (vec![Whole(large), Real(0.5)], Type::Varchar),
            (vec![Whole(1 << 60), Real(0.5)], Type::Double),
            (vec![Boolean(true)], Type::Boolean),
            (vec![Boolean(true), Whole(1)], Type::Varchar),
            (vec![Date(1)], Type::Date),
            (vec![Date(1), Timestamp(1)], Type::Timestamp),
            (vec![Time(1)], Type::Time),
            (vec![Time(1), Interval(1)], Type::Interval),
            (vec![Time(1), Date(1)], Type::Varchar),
            (vec![Whole(1), Text("x")], Type::Varchar),
        ] {
            assert_eq!(settle(&values), expected, "{values:?}");
        }
    }

    #[test]
    fn numbers_in_a_column_of_dates_are_days() {
        let json = |value, kind| {
            let mut json = String::new();
            write_json(value, &kind, Epoch::Year1900, &mut json);
            json
        };
        assert_eq!(json(Value::Whole(45_351), Type::Date), "\"2024-02-29\"");
        assert_eq!(json(Value::Real(45_351.5), Type::Timestamp), "\"2024-02-29 12:00:00\"");
        assert_eq!(json(Value::Whole(45_351), Type::Timestamp), "\"2024-02-29 00:00:00\"");
        assert_eq!(json(Value::Real(1.5), Type::Interval), "\"36:00:00\"");
        assert_eq!(json(Value::Whole(-1), Type::Date), "-1");
        assert_eq!(json(Value::Real(1e300), Type::Double), "1e300");
        assert_eq!(json(Value::Text("a\"b"), Type::Varchar), "\"a\\\"b\"");
    }
}
