//! Parameters as a pipeline declares them, and values of their types. No I/O.

use jiff::civil::{Date, DateTime, Time};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde::Deserialize;
use serde_json::Value;

use crate::error::{Report, listed, nearest};

/// A declared parameter.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ParamDef {
    pub kind: ParamKind,
    pub default: Option<Value>,
    pub required: bool,
    /// The values that it may have; for a list, those of its items.
    pub allowed: Option<Vec<Value>>,
}

/// The type of a parameter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ParamKind {
    /// None was declared: the value stays as it is written.
    #[default]
    Any,
    One(Scalar),
    List(Scalar),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scalar {
    #[serde(alias = "str")]
    String,
    #[serde(alias = "int")]
    Integer,
    #[serde(alias = "float")]
    Number,
    #[serde(alias = "bool")]
    Boolean,
    /// A day, as `YYYY-MM-DD`.
    Date,
    /// A time in UTC, to the microsecond, as `YYYY-MM-DDTHH:MM:SS.ffffff` without trailing zeros.
    Timestamp,
}

/// The permitted keys of a parameter's declaration.
const KEYS: [&str; 6] = ["type", "items", "default", "required", "enum", "description"];

/// The types of parameters, and their aliases.
const TYPES: [&str; 11] =
    ["string", "integer", "number", "boolean", "date", "timestamp", "list", "str", "int", "float", "bool"];

/// How many of [`TYPES`] are not aliases.
const OWN_NAMES: usize = 7;

/// The name of the type of lists.
const LIST: &str = "list";

#[derive(Deserialize)]
struct RawParam {
    #[serde(rename = "type")]
    kind: Option<String>,
    items: Option<Scalar>,
    default: Option<Value>,
    #[serde(default)]
    required: bool,
    #[serde(rename = "enum")]
    allowed: Option<Vec<Value>>,
    #[expect(dead_code, reason = "checked for its type, without effect")]
    description: Option<String>,
}

/// A parameter is declared by a mapping or just by its default.
///
/// # Errors
/// A [`Report`] that names the parameter and what is wrong with its declaration.
pub fn declared(name: &str, raw: Value, file: &str) -> Result<ParamDef, Report> {
    let fields = match raw {
        Value::Null => return Ok(ParamDef { required: true, ..ParamDef::default() }),
        Value::Object(fields) => fields,
        value => return Ok(ParamDef { default: Some(value), ..ParamDef::default() }),
    };
    let wrong = |what: String| Report::input(format!("parameter `{name}` of pipeline `{file}` has {what}"));
    let meant = |near: Option<&str>, otherwise: &str| {
        near.map_or_else(|| otherwise.to_owned(), |near| format!("did you mean `{near}`?"))
    };
    let mapping = "a default that is a mapping is written as `{default: {…}}`";
    if let Some(unknown) = fields.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(wrong(format!("the unknown key `{unknown}`; known: {}", listed(KEYS)))
            .hint(meant(nearest(unknown, KEYS), mapping)));
    }
    for key in ["type", "items"] {
        let known = || TYPES.iter().take(OWN_NAMES).copied().filter(|known| key == "type" || *known != LIST);
        let is_known = |kind: &String| TYPES.contains(&kind.as_str()) && (key == "type" || kind != LIST);
        if let Some(Value::String(kind)) = fields.get(key)
            && !is_known(kind)
        {
            let what = if key == "type" { "the unknown type" } else { "items of the unknown type" };
            return Err(wrong(format!("{what} `{kind}`; known: {}", listed(known()))).hint(meant(
                nearest(&kind.to_lowercase(), known()),
                "a list is declared as `{type: list, items: date}`",
            )));
        }
    }
    let raw: RawParam = serde_json::from_value(Value::Object(fields))
        .map_err(|error| wrong(format!("a malformed declaration: {error}")).hint(mapping))?;
    let kind = match (raw.kind.as_deref(), raw.items) {
        (Some(LIST), items) => ParamKind::List(items.unwrap_or(Scalar::String)),
        (kind, Some(_)) => {
            let kind = kind.map_or_else(|| "no type".to_owned(), |kind| format!("the type `{kind}`"));
            return Err(wrong(format!("`items`, but {kind}")).hint("write `type: list` for a list"));
        }
        (None, None) => ParamKind::Any,
        (Some(kind), None) => ParamKind::One(
            serde_json::from_value(Value::from(kind)).map_err(|error| wrong(format!("a malformed type: {error}")))?,
        ),
    };
    Ok(ParamDef { kind, default: raw.default, required: raw.required, allowed: raw.allowed })
}

impl ParamDef {
    /// A value in the type of the parameter `name`; a text from the command line or the environment is parsed. `now` is what
    /// `today` and the like are relative to.
    ///
    /// # Errors
    /// A [`Report`] if it is not of that type, or not one of the allowed values.
    pub fn typed(&self, name: &str, value: Value, now: Timestamp) -> Result<Value, Report> {
        let typed = match self.kind {
            ParamKind::Any => value,
            ParamKind::One(scalar) => scalar.of(&value, now).ok_or_else(|| scalar.refuse(name, "", &value))?,
            ParamKind::List(scalar) => {
                let items = items(&value).ok_or_else(|| {
                    Report::input(format!("parameter `{name}` must be a list, but is {value}"))
                        .hint(format!("write `--param {name}=a,b`, or as JSON: `--param '{name}=[\"a\",\"b,c\"]'`"))
                })?;
                let typed =
                    |item: Value| scalar.of(&item, now).ok_or_else(|| scalar.refuse(name, "each item of ", &item));
                Value::Array(items.into_iter().map(typed).collect::<Result<_, _>>()?)
            }
        };
        self.check_allowed(name, &typed, now)?;
        Ok(typed)
    }

    fn check_allowed(&self, name: &str, value: &Value, now: Timestamp) -> Result<(), Report> {
        let Some(allowed) = &self.allowed else { return Ok(()) };
        let as_typed = |one: &Value| match self.kind {
            ParamKind::Any => Some(one.clone()),
            ParamKind::One(scalar) | ParamKind::List(scalar) => scalar.of(one, now),
        };
        let is_allowed = |value: &Value| allowed.iter().any(|one| as_typed(one).as_ref() == Some(value));
        let given = match (self.kind, value) {
            (ParamKind::List(_), Value::Array(items)) => items.iter().collect(),
            _ => vec![value],
        };
        match given.into_iter().find(|value| !is_allowed(value)) {
            None => Ok(()),
            Some(value) => {
                let choices = allowed.iter().map(Value::to_string).collect::<Vec<_>>().join(", ");
                let has = if matches!(self.kind, ParamKind::List(_)) { "contains" } else { "is" };
                Err(Report::input(format!("parameter `{name}` {has} {value}; allowed: {choices}")))
            }
        }
    }
}

/// The items of a list: a text is JSON, or items between commas.
fn items(value: &Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(items) => Some(items.clone()),
        Value::String(text) if text.trim().is_empty() => Some(Vec::new()),
        Value::String(text) if text.trim_start().starts_with('[') => serde_json::from_str(text).ok(),
        Value::String(text) => Some(text.split(',').map(|item| Value::from(item.trim())).collect()),
        Value::Object(_) | Value::Null => None,
        one => Some(vec![one.clone()]),
    }
}

impl Scalar {
    fn of(self, value: &Value, now: Timestamp) -> Option<Value> {
        let now = || TimeZone::UTC.to_datetime(now);
        match (self, value) {
            (Self::String, Value::String(_)) => Some(value.clone()),
            (Self::String, Value::Number(number)) => Some(Value::from(number.to_string())),
            (Self::Integer, Value::Number(number)) => (number.is_i64() || number.is_u64()).then(|| value.clone()),
            (Self::Integer, Value::String(text)) => text.trim().parse::<i64>().ok().map(Value::from),
            (Self::Number, Value::Number(_)) => Some(value.clone()),
            (Self::Number, Value::String(text)) => number(text.trim()),
            (Self::Boolean, Value::Bool(_)) => Some(value.clone()),
            (Self::Boolean, Value::String(text)) => text.trim().parse::<bool>().ok().map(Value::from),
            (Self::Date, Value::String(text)) => day(text.trim(), now()).map(|day| Value::from(day.to_string())),
            (Self::Timestamp, Value::String(text)) => {
                time(text.trim(), now()).map(|time| Value::from(time.to_string()))
            }
            _ => None,
        }
    }

    fn refuse(self, name: &str, part: &str, value: &Value) -> Report {
        let (words, hint) = match self {
            Self::String => ("a string", None),
            Self::Integer => ("an integer", None),
            Self::Number => ("a number of at most 15 digits or so", Some("use `type: string` for one of more digits")),
            Self::Boolean => ("`true` or `false`", None),
            Self::Date => (
                "a date such as 2024-01-31",
                Some("or `today`, `yesterday`, `today-7d`, `today+2w`, by the clock of UTC"),
            ),
            Self::Timestamp => (
                "a time such as 2024-01-31T12:30:00 in UTC, or 2024-01-31T12:30:00+02:00, to the microsecond",
                Some("or a date, which is its beginning, or `now`, `now-2h`, `today`, `yesterday`, `today-7d`"),
            ),
        };
        let report = Report::input(format!("{part}parameter `{name}` must be {words}, but is {value}"));
        match hint {
            Some(hint) => report.hint(hint),
            None => report,
        }
    }
}

/// A number that keeps all of its digits.
fn number(text: &str) -> Option<Value> {
    if let Ok(integer) = text.parse::<i64>() {
        return Some(Value::from(integer));
    }
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite())?;
    let digits = |text: &str| {
        let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
        let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
        digits.trim_matches('0').to_owned()
    };
    (digits(text) == digits(&format!("{number:e}"))).then(|| Value::from(number))
}

/// A day: `YYYY-MM-DD`, or relative to now.
fn day(text: &str, now: DateTime) -> Option<Date> {
    match relative(text, now) {
        Some(time) => (!text.starts_with("now") && time.time() == Time::midnight()).then(|| time.date()),
        None => calendar_day(text),
    }
}

fn calendar_day(text: &str) -> Option<Date> {
    let is_plain = text.len() == 10
        && text.char_indices().all(|(place, c)| if place == 4 || place == 7 { c == '-' } else { c.is_ascii_digit() });
    // No database has a year 0.
    text.parse::<Date>().ok().filter(|day| is_plain && day.year() > 0)
}

/// A time in UTC: a day, also with a time and an offset, or relative to now.
fn time(text: &str, now: DateTime) -> Option<DateTime> {
    if let Some(time) = relative(text, now) {
        return Some(time);
    }
    let (day, rest) = (calendar_day(text.get(..10)?)?, &text[10..]);
    if rest.is_empty() {
        return Some(day.to_datetime(Time::midnight()));
    }
    let rest = rest.strip_prefix(['T', ' '])?;
    let (clock, offset) = rest.split_at(rest.find(['Z', '+', '-']).unwrap_or(rest.len()));
    let time = day.to_datetime(time_of_day(clock)?);
    match offset {
        "" | "Z" => Some(time),
        _ => {
            let (sign, clock) = offset.split_at(1);
            let (hours, minutes) = (two_digits(clock.get(..2)?)?, two_digits(clock.get(2..)?.strip_prefix(':')?)?);
            let east = if sign == "-" { -1 } else { 1 };
            let minutes = (minutes < 60 && hours < 24).then_some(i64::from(hours) * 60 + i64::from(minutes))?;
            time.checked_sub(SignedDuration::from_mins(east * minutes)).ok()
        }
    }
}

/// `HH:MM`, `HH:MM:SS` or with up to six digits of a second.
fn time_of_day(text: &str) -> Option<Time> {
    let (clock, fraction) = text.split_once('.').map_or((text, None), |(clock, fraction)| (clock, Some(fraction)));
    let parts: Vec<u8> = clock.split(':').map(two_digits).collect::<Option<_>>()?;
    let (hour, minute, second) = match (parts.as_slice(), fraction) {
        ([hour, minute], None) => (*hour, *minute, 0),
        ([hour, minute, second], _) => (*hour, *minute, *second),
        _ => return None,
    };
    let nanoseconds = match fraction {
        None => 0,
        Some(digits) => {
            let fits = (1..=6).contains(&digits.len()) && digits.chars().all(|c| c.is_ascii_digit());
            fits.then(|| format!("{digits:0<9}").parse::<i32>().ok()).flatten()?
        }
    };
    let signed = |part: u8| i8::try_from(part).ok();
    Time::new(signed(hour)?, signed(minute)?, signed(second)?, nanoseconds).ok()
}

fn two_digits(text: &str) -> Option<u8> {
    (text.len() == 2 && text.chars().all(|c| c.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

/// `now`, `today` or `yesterday`, also with a distance in hours, days or weeks: `today-7d`.
fn relative(text: &str, now: DateTime) -> Option<DateTime> {
    let (word, distance) = text.split_at(text.find(['+', '-']).unwrap_or(text.len()));
    let second = now.time().with().subsec_nanosecond(0).build().ok()?;
    let today = now.date().to_datetime(Time::midnight());
    let from = match word {
        "now" => now.date().to_datetime(second),
        "today" => today,
        "yesterday" => today.checked_sub(SignedDuration::from_hours(24)).ok()?,
        _ => return None,
    };
    if distance.is_empty() {
        return Some(from);
    }
    let (amount, unit) =
        distance.split_at(distance.len().checked_sub(1).filter(|place| distance.is_char_boundary(*place))?);
    let hours = match unit {
        "h" => 1,
        "d" => 24,
        "w" => 24 * 7,
        _ => return None,
    };
    let amount = amount.parse::<i64>().ok().filter(|amount| amount.unsigned_abs() < 1_000_000)?;
    from.checked_add(SignedDuration::from_hours(amount * hours)).ok().filter(|time| time.year() > 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn typed(declaration: Value, value: Value) -> Result<Value, Report> {
        let now = "2024-03-01T10:20:30.5Z".parse().unwrap();
        declared("x", declaration, "p.yaml").unwrap().typed("x", value, now)
    }

    #[test]
    fn a_text_becomes_a_value_of_the_declared_type() {
        for (declaration, text, expected) in [
            (json!({"type": "integer"}), "7", json!(7)),
            (json!({"type": "number"}), "7", json!(7)),
            (json!({"type": "number"}), "0.1", json!(0.1)),
            (json!({"type": "number"}), "-1.50e3", json!(-1500.0)),
            (json!({"type": "date"}), "2024-02-29", json!("2024-02-29")),
            (json!({"type": "date"}), "today", json!("2024-03-01")),
            (json!({"type": "date"}), "yesterday", json!("2024-02-29")),
            (json!({"type": "date"}), "today-2w", json!("2024-02-16")),
            (json!({"type": "date"}), "yesterday+1d", json!("2024-03-01")),
            (json!({"type": "timestamp"}), "2024-02-29", json!("2024-02-29T00:00:00")),
            (json!({"type": "timestamp"}), "2024-02-29 23:59:59.120", json!("2024-02-29T23:59:59.12")),
            (json!({"type": "timestamp"}), "2024-02-29T23:30Z", json!("2024-02-29T23:30:00")),
            (json!({"type": "timestamp"}), "2024-02-29T23:30:00-01:00", json!("2024-03-01T00:30:00")),
            (json!({"type": "timestamp"}), "now-2h", json!("2024-03-01T08:20:30")),
            (json!({"type": "list"}), "a, b", json!(["a", "b"])),
            (json!({"type": "list"}), r#"["a,b", "c"]"#, json!(["a,b", "c"])),
            (json!({"type": "list", "items": "integer"}), "1,2", json!([1, 2])),
            (json!({"type": "list", "items": "date"}), "yesterday", json!(["2024-02-29"])),
            (json!({"type": "list"}), "", json!([])),
        ] {
            assert_eq!(typed(declaration.clone(), text.into()).unwrap(), expected, "{declaration} {text}");
        }
    }

    #[test]
    fn a_value_of_another_type_is_refused_with_an_example() {
        for (declaration, value, message) in [
            (json!({"type": "date"}), json!("2024-02-30"), "must be a date such as"),
            (json!({"type": "date"}), json!("20240229"), "must be a date such as"),
            (json!({"type": "date"}), json!("2024-02-29T00:00:00"), "must be a date such as"),
            (json!({"type": "date"}), json!("0000-01-01"), "must be a date such as"),
            (json!({"type": "date"}), json!("now"), "must be a date such as"),
            (json!({"type": "date"}), json!("today-1h"), "must be a date such as"),
            (json!({"type": "date"}), json!("today-é"), "must be a date such as"),
            (json!({"type": "date"}), json!("today+99999999999999d"), "must be a date such as"),
            (json!({"type": "date"}), json!(20240229), "must be a date such as"),
            (json!({"type": "timestamp"}), json!("2024-02-29T23:59:60"), "must be a time such as"),
            (json!({"type": "timestamp"}), json!("2024-02-29T24:00:00"), "must be a time such as"),
            (json!({"type": "timestamp"}), json!("2024-02-29T10:00:00.1234567"), "must be a time such as"),
            (json!({"type": "timestamp"}), json!("2024-02-29T10:00[Europe/Prague]"), "must be a time such as"),
            (json!({"type": "number"}), json!("0.12345678901234567890"), "must be a number of at most"),
            (json!({"type": "number"}), json!("inf"), "must be a number"),
            (
                json!({"type": "list", "items": "integer"}),
                json!("1,x"),
                "each item of parameter `x` must be an integer",
            ),
            (json!({"type": "list"}), json!("[1"), "must be a list"),
            (json!({"type": "list", "enum": ["a", "b"]}), json!("a,c"), "contains \"c\"; allowed: \"a\", \"b\""),
            (json!({"type": "integer", "enum": [1]}), json!("2"), "is 2; allowed: 1"),
        ] {
            let report = typed(declaration.clone(), value.clone()).unwrap_err();
            assert!(report.message.contains(message), "{declaration} {value}: {}", report.message);
        }
        assert_eq!(typed(json!({"type": "date", "enum": ["2024-01-01"]}), json!("2024-01-01")).unwrap(), "2024-01-01");
    }

    #[test]
    fn a_misspelt_declaration_is_refused_and_never_taken_for_a_default() {
        for (param, message, hint) in [
            (json!({"type": "string", "requried": true}), "unknown key `requried`", "did you mean `required`?"),
            (json!({"type": "integer", "defualt": 5}), "unknown key `defualt`", "did you mean `default`?"),
            (json!({"type": "integer", "min": 1}), "unknown key `min`; known: `type`", "{default: {…}}"),
            (json!({"type": "datetime"}), "unknown type `datetime`; known: `string`, `integer`", "list"),
            (json!({"type": "String"}), "unknown type `String`", "did you mean `string`?"),
            (json!({"type": "list", "items": "list"}), "items of the unknown type `list`", "declared as"),
            (json!({"type": "date", "items": "date"}), "`items`, but the type `date`", "`type: list`"),
            (json!({"required": 5}), "malformed declaration", "default"),
        ] {
            let report = declared("n", param, "p.yaml").unwrap_err();
            assert!(report.message.contains(message) && report.message.contains("`n`"), "{}", report.message);
            assert!(report.hint.as_deref().unwrap_or_default().contains(hint), "{:?}", report.hint);
        }
    }
}
