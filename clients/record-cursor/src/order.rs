//! The order of a cursor's values, declared by the author or proven from the value itself.

use std::cmp::Ordering;

use osiris_sdk::{Error, Result};
use serde::Deserialize;
use serde_json::Value;

use crate::format::Format;
use crate::moment::Moment;
use crate::number::Number;
use crate::spelt;

/// How far ahead of this machine's clock a timestamp of a record's change may be, in seconds.
const AHEAD: i64 = 86_400;

/// `cursor_type`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CursorType {
    #[default]
    Auto,
    Number,
    Text,
    Timestamp,
    Date,
}

/// Who defines the order of texts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Texts {
    /// The author, by `cursor_type: text` or `cursor_format`.
    #[default]
    Author,
    /// Only the server, whose rule (a collation) is unknown.
    Server,
}

impl Texts {
    /// The remedy for values without an order.
    fn remedy(self) -> &'static str {
        match self {
            Self::Author => "take another field as `cursor.field`, or `cursor_type: text` if their letters order them",
            Self::Server => "take a column of numbers, dates or timestamps as `cursor`",
        }
    }
}

/// A value's place in the order.
#[derive(Debug, Clone, PartialEq)]
pub enum Key {
    Number(Number),
    Moment(Moment),
    Text(String),
}

impl Key {
    /// Keys of one [`Order`] are of one kind, so that each has its place.
    pub fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(one), Self::Number(other)) => one.cmp(other),
            (Self::Moment(one), Self::Moment(other)) => one.cmp(other),
            (Self::Text(one), Self::Text(other)) => one.cmp(other),
            _ => Ordering::Equal,
        }
    }
}

/// The place of a value's record in the order.
#[derive(Debug, Clone, PartialEq)]
pub enum Rank {
    At(Key),
    /// The value stands for no end or is not a number, so nothing could follow it.
    Beyond,
    /// There is no value.
    Blank,
}

/// Kinds of values that cannot be compared with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Number,
    Zoned,
    Local,
    Text,
}

impl Class {
    fn name(self) -> &'static str {
        match self {
            Self::Number => "numbers",
            Self::Zoned => "times with a zone",
            Self::Local => "dates or times without a zone",
            Self::Text => "texts",
        }
    }
}

/// Ranks the values of one field.
pub struct Order {
    field: String,
    kind: CursorType,
    format: Option<Format>,
    texts: Texts,
    /// Seconds since 1970 after which a timestamp is in the future.
    latest: i64,
    /// The kind of the first value, and that value.
    first: Option<(Class, String)>,
}

impl Order {
    /// `now` is in seconds since 1970.
    ///
    /// # Errors
    /// `config` for options that contradict each other.
    pub fn new(field: &str, kind: CursorType, format: Option<&str>, now: i64) -> Result<Self> {
        if format.is_some() && matches!(kind, CursorType::Number | CursorType::Text) {
            return Err(Error::config(
                "`cursor_format` spells dates and times; it does not go with this `cursor_type`",
            ));
        }
        let format = format.map(Format::parse).transpose()?;
        let (texts, latest) = (Texts::default(), now.saturating_add(AHEAD));
        Ok(Self { field: field.to_owned(), kind, format, texts, latest, first: None })
    }

    pub fn with_texts(self, texts: Texts) -> Self {
        Self { texts, ..self }
    }

    /// The rank of `value`; `place` identifies the record in messages.
    ///
    /// # Errors
    /// `data` for a value without a provable place, and for one of another kind than the values before.
    pub fn rank(&mut self, value: &Value, place: impl Fn() -> String) -> Result<Rank> {
        let text = match value {
            Value::Null => return Ok(Rank::Blank),
            Value::String(text) if text.trim().is_empty() => return Ok(Rank::Blank),
            Value::String(text) => text.trim(),
            Value::Number(number) => &number.to_string(),
            _ => {
                return Err(Error::data(format!(
                    "`{}` is neither text nor number in {}, so it cannot be a cursor",
                    self.field,
                    place()
                )));
            }
        };
        if self.kind == CursorType::Text {
            return Ok(Rank::At(Key::Text(spelt(value).unwrap_or_default())));
        }
        let Some((class, key)) = self.read(value, text) else {
            let known = ["nan", "inf", "infinity"];
            if known.contains(&text.trim_start_matches(['+', '-']).to_ascii_lowercase().as_str()) {
                return Ok(Rank::Beyond);
            }
            return Err(self.unknown(text, &place()));
        };
        let (first, example) = self.first.get_or_insert_with(|| (class, shortened(text)));
        if *first != class {
            return Err(Error::data(format!(
                "`{}` mixes {} (`{example}`) with {} (`{}` in {}), which have no order among each other; {}",
                self.field,
                first.name(),
                class.name(),
                shortened(text),
                place(),
                match (*first, class) {
                    (Class::Zoned | Class::Local, Class::Zoned | Class::Local) =>
                        "`cursor_type: timestamp` takes those without a zone for UTC",
                    _ => self.texts.remedy(),
                }
            )));
        }
        let is_beyond = match &key {
            Key::Number(number) => number.is_sentinel(),
            Key::Moment(moment) => moment.seconds > self.latest,
            Key::Text(_) => false,
        };
        Ok(if is_beyond { Rank::Beyond } else { Rank::At(key) })
    }

    fn read(&self, value: &Value, text: &str) -> Option<(Class, Key)> {
        let number = || Number::parse(text).map(|number| (Class::Number, Key::Number(number)));
        let moment = || {
            let moment = match &self.format {
                Some(format) => format.read(text),
                None if value.is_number() => None,
                None => Moment::parse(text),
            }?;
            let declared = self.kind != CursorType::Auto || self.format.is_some();
            let class = if moment.is_zoned() || declared { Class::Zoned } else { Class::Local };
            Some((class, Key::Moment(moment)))
        };
        match self.kind {
            CursorType::Number => number(),
            CursorType::Timestamp => moment(),
            CursorType::Date => moment().filter(|(_, key)| match key {
                Key::Moment(moment) => moment.is_date() || self.format.is_some(),
                _ => false,
            }),
            CursorType::Auto if self.format.is_some() => moment(),
            CursorType::Auto => number().or_else(moment),
            CursorType::Text => Some((Class::Text, Key::Text(text.to_owned()))),
        }
    }

    fn unknown(&self, text: &str, place: &str) -> Error {
        let text = shortened(text);
        let field = &self.field;
        if let Some(other) = &self.first
            && self.kind == CursorType::Auto
            && self.format.is_none()
        {
            return Error::data(format!(
                "`{field}` mixes {} (`{}`) with a text without a provable order (`{text}` in {place}); {}",
                other.0.name(),
                other.1,
                self.texts.remedy()
            ));
        }
        let wanted = match (&self.format, self.kind) {
            (Some(_), _) => "is not spelled as `cursor_format` says",
            (None, CursorType::Number) => "is not a number, as `cursor_type` says",
            (None, CursorType::Timestamp) => "is not a time as ISO 8601 or RFC 2822 spells it, as `cursor_type` says",
            (None, CursorType::Date) => "is not a date such as `2024-02-29`, as `cursor_type` says",
            _ => "is a text without a provable order: neither a number nor a time as ISO 8601 or RFC 2822 spells it",
        };
        if self.texts == Texts::Server {
            return Error::data(format!("`{field}` in {place} is `{text}`, which {wanted}; {}", self.texts.remedy()));
        }
        Error::data(format!(
            "`{field}` in {place} is `{text}`, which {wanted}. For dates in another form give `cursor_format`, such as \
             `%m/%d/%Y`; if the order of their letters is the order of time, write `cursor_type: text`; else take another \
             field as `cursor.field`"
        ))
    }
}

/// At most 60 characters of a value.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", text[..end].escape_debug()),
        None => text.escape_debug().to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    /// 2024-03-01.
    const NOW: i64 = 1_709_251_200;

    fn order(kind: CursorType, format: Option<&str>) -> Order {
        Order::new("at", kind, format, NOW).unwrap()
    }

    fn rank(order: &mut Order, value: Value) -> Result<Rank> {
        order.rank(&value, || "record 1 of page 1".to_owned())
    }

    #[test]
    fn numbers_and_timestamps_have_a_proven_order() {
        for (one, other, expected) in [
            (json!(2), json!(10), Ordering::Less),
            (json!("2"), json!("10"), Ordering::Less),
            (json!(2), json!("2"), Ordering::Equal),
            (json!(999), json!("1000.5"), Ordering::Less),
            (json!("998.5"), json!("1000.5"), Ordering::Less),
            (json!("-1.5"), json!("-0.5"), Ordering::Less),
            (json!("9e5"), json!("1e6"), Ordering::Less),
            (json!(1.5), json!(1), Ordering::Greater),
            (json!("2024-01-01T00:00:00Z"), json!("2024-01-01T01:00:00+01:00"), Ordering::Equal),
            (json!("2024-01-01"), json!("2024-01-01T00:00:01"), Ordering::Less),
            (json!("Wed, 07 Feb 2024 10:00:00 GMT"), json!("Fri, 09 Feb 2024 08:00:00 GMT"), Ordering::Less),
        ] {
            let mut order = order(CursorType::Auto, None);
            let (Rank::At(one), Rank::At(other)) = (rank(&mut order, one).unwrap(), rank(&mut order, other).unwrap())
            else {
                panic!()
            };
            assert_eq!(one.compare(&other), expected, "{one:?} {other:?}");
        }
    }

    #[test]
    fn texts_without_a_provable_order_are_refused_at_once() {
        for text in
            ["12/30/2023", "30.12.2023", "2024-9-30", "v9", "1.9.0", "0x1f", "/Date(1)/", "999,5", "a1b2", "zzz"]
        {
            let error = rank(&mut order(CursorType::Auto, None), json!(text)).unwrap_err();
            for word in ["`at` in record 1 of page 1", text, "`cursor_type: text`", "`cursor_format`"] {
                assert!(error.message.contains(word), "{error}");
            }
            assert!(matches!(rank(&mut order(CursorType::Text, None), json!(text)).unwrap(), Rank::At(Key::Text(_))));
        }
        assert!(rank(&mut order(CursorType::Auto, None), json!({"a": 1})).is_err());
        for (kind, value) in [
            (CursorType::Number, json!("2024-01-01")),
            (CursorType::Date, json!("2024-01-01T00:00:00Z")),
            (CursorType::Timestamp, json!(5)),
        ] {
            assert!(rank(&mut order(kind, None), value).unwrap_err().message.contains("`cursor_type` says"));
        }
        assert!(matches!(
            rank(&mut order(CursorType::Auto, Some("%d.%m.%Y")), json!("30.12.2023")).unwrap(),
            Rank::At(_)
        ));
        assert!(Order::new("at", CursorType::Text, Some("%Y-%m-%d"), NOW).is_err());
    }

    #[test]
    fn a_field_that_mixes_kinds_is_refused() {
        for (one, other, words) in [
            (json!(5), json!("2024-01-01"), "numbers (`5`)"),
            (json!("2024-01-01T00:00:00"), json!("2024-01-01T00:00:00Z"), "`cursor_type: timestamp`"),
            (json!("2024-01-01"), json!("x7"), "without a provable order (`x7`"),
        ] {
            let mut auto = order(CursorType::Auto, None);
            rank(&mut auto, one).unwrap();
            let error = rank(&mut auto, other).unwrap_err();
            assert!(error.message.contains("`at` mixes") && error.message.contains(words), "{error}");
        }
        let mut declared = order(CursorType::Timestamp, None);
        rank(&mut declared, json!("2024-01-01T00:00:00")).unwrap();
        rank(&mut declared, json!("2024-01-01T00:00:00Z")).unwrap();
    }

    #[test]
    fn a_value_for_no_end_has_no_place() {
        for value in [
            json!("Infinity"),
            json!("-infinity"),
            json!("NaN"),
            json!("9999-12-31"),
            json!("2999-01-01T00:00:00Z"),
            json!("Fri, 31 Dec 9999 23:59:59 GMT"),
            json!(i64::MAX),
            json!("999999999999"),
        ] {
            assert_eq!(rank(&mut order(CursorType::Auto, None), value.clone()).unwrap(), Rank::Beyond, "{value}");
        }
        assert!(matches!(
            rank(&mut order(CursorType::Auto, None), json!("2024-03-01T12:00:00Z")).unwrap(),
            Rank::At(_)
        ));
        assert_eq!(rank(&mut order(CursorType::Auto, None), json!(" ")).unwrap(), Rank::Blank);
    }
}
