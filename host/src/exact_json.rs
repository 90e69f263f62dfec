//! JSON whose numbers keep every digit, for comparing and rewriting texts that came from elsewhere.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// How deep a text may be nested to be compared or rewritten member by member.
const MAX_DEPTH: usize = 100;

/// A JSON value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exact {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Exact>),
    /// Members in the order of the text.
    Object(Vec<(String, Exact)>),
    /// A text that is nested too deep, as it is.
    Deep(String),
}

/// A number by its value: `1.50`, `1.5` and `15e-1` are equal, `0.1` and `0.10000000000000001` are not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number {
    is_negative: bool,
    /// Without zeros at either end; empty for zero.
    digits: String,
    /// The power of ten of the last digit.
    exponent: i64,
}

impl Exact {
    /// # Errors
    /// If the text is not JSON.
    pub fn parse(text: &str) -> serde_json::Result<Self> {
        let raw: &RawValue = serde_json::from_str(text)?;
        Self::of(raw.get(), 0)
    }

    fn of(text: &str, depth: usize) -> serde_json::Result<Self> {
        Ok(match text.bytes().next() {
            Some(b'{' | b'[') if depth >= MAX_DEPTH => Self::Deep(text.to_owned()),
            Some(b'{') => {
                let Members(members) = serde_json::from_str(text)?;
                let member = |(name, value): (String, Box<RawValue>)| Ok((name, Self::of(value.get(), depth + 1)?));
                Self::Object(members.into_iter().map(member).collect::<serde_json::Result<_>>()?)
            }
            Some(b'[') => {
                let items: Vec<&RawValue> = serde_json::from_str(text)?;
                Self::List(items.iter().map(|item| Self::of(item.get(), depth + 1)).collect::<Result<_, _>>()?)
            }
            Some(b'"') => Self::Text(serde_json::from_str(text)?),
            Some(b't' | b'f') => Self::Bool(serde_json::from_str(text)?),
            Some(b'n') => Self::Null,
            _ => Self::Number(Number::parse(text)),
        })
    }

    /// Whether both stand for the same: the members of an object have no order.
    pub fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::List(one), Self::List(two)) => {
                one.len() == two.len() && one.iter().zip(two).all(|(one, two)| one.equals(two))
            }
            (Self::Object(one), Self::Object(two)) => {
                let member = |name: &String| two.iter().find(|(other, _)| other == name).map(|(_, value)| value);
                one.len() == two.len()
                    && one.iter().all(|(name, value)| member(name).is_some_and(|other| value.equals(other)))
            }
            _ => self == other,
        }
    }
}

/// The JSON text of a value, on one line.
impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(&quoted(text)),
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(ToString::to_string).collect();
                write!(f, "[{}]", items.join(", "))
            }
            Self::Object(members) => {
                let member = |(name, value): &(String, Self)| format!("{}: {value}", quoted(name));
                write!(f, "{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(", "))
            }
            Self::Deep(text) => f.write_str(text),
        }
    }
}

/// Without an exponent unless the number is very large or very small.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.is_negative { "-" } else { "" };
        let (digits, length) = (self.digits.as_str(), self.digits.len() as i64);
        match self.exponent {
            _ if digits.is_empty() => f.write_str("0"),
            0..=30 => write!(f, "{sign}{digits}{}", "0".repeat(usize::try_from(self.exponent).unwrap_or_default())),
            exponent if exponent < 0 && exponent.saturating_add(length) > 0 => {
                let (whole, fraction) = digits.split_at(usize::try_from(exponent + length).unwrap_or_default());
                write!(f, "{sign}{whole}.{fraction}")
            }
            exponent @ -30..0 => {
                let zeros = "0".repeat(usize::try_from(-exponent - length).unwrap_or_default());
                write!(f, "{sign}0.{zeros}{digits}")
            }
            exponent => write!(f, "{sign}{digits}e{exponent}"),
        }
    }
}

impl Number {
    /// The number in a text that is one by the grammar of JSON.
    fn parse(text: &str) -> Self {
        let (is_negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, power) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let digits = all.trim_start_matches('0').trim_end_matches('0').to_owned();
        if digits.is_empty() {
            return Self { is_negative: false, digits, exponent: 0 };
        }
        let dropped = all.len() - all.trim_end_matches('0').len();
        // A power that does not fit is beyond every number that a program could mean.
        let power: i64 = power.parse().unwrap_or(if power.starts_with('-') { i64::MIN / 2 } else { i64::MAX / 2 });
        let exponent = power.saturating_sub(fraction.len() as i64).saturating_add(dropped as i64);
        Self { is_negative, digits, exponent }
    }

    /// The number that a text is, if it is one.
    pub fn of_text(text: &str) -> Option<Self> {
        let raw: &RawValue = serde_json::from_str(text.trim_start_matches('+')).ok()?;
        raw.get().starts_with(|c: char| c == '-' || c.is_ascii_digit()).then(|| Self::parse(raw.get()))
    }
}

/// An object's members in order, each as its text.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

/// How a text is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// On one line, without blanks.
    Compact,
    /// With a line for each member and item.
    Lines,
}

/// The text in another layout. `replace` may replace a member that is a text, or a text in a member that is a list, given
/// the member's name and the text.
///
/// # Errors
/// If the text is not JSON.
pub fn rewrite(
    text: &str,
    layout: Layout,
    replace: &mut dyn FnMut(&str, &str) -> Option<String>,
) -> serde_json::Result<String> {
    let raw: &RawValue = serde_json::from_str(text)?;
    let mut writer = Writer { layout, replace, out: String::with_capacity(text.len()) };
    writer.value("", raw.get(), 0)?;
    Ok(writer.out)
}

struct Writer<'a> {
    layout: Layout,
    replace: &'a mut dyn FnMut(&str, &str) -> Option<String>,
    out: String,
}

impl Writer<'_> {
    /// Writes a value of the member `name`.
    fn value(&mut self, name: &str, text: &str, depth: usize) -> serde_json::Result<()> {
        let string = text.starts_with('"').then(|| serde_json::from_str::<String>(text)).transpose()?;
        if let Some(other) = string.and_then(|string| (self.replace)(name, &string)) {
            self.out.push_str(&serde_json::to_string(&other)?);
            return Ok(());
        }
        match text.bytes().next() {
            Some(b'{') if depth < MAX_DEPTH => self.object(text, depth),
            Some(b'[') if depth < MAX_DEPTH => self.list(name, text, depth),
            _ => {
                self.out.push_str(text);
                Ok(())
            }
        }
    }

    fn object(&mut self, text: &str, depth: usize) -> serde_json::Result<()> {
        let Members(members) = serde_json::from_str(text)?;
        self.out.push('{');
        for (place, (name, value)) in members.iter().enumerate() {
            self.begin(place, depth + 1);
            self.out.push_str(&serde_json::to_string(name)?);
            self.out.push_str(if self.layout == Layout::Lines { ": " } else { ":" });
            self.value(name, value.get(), depth + 1)?;
        }
        self.end(members.is_empty(), depth);
        self.out.push('}');
        Ok(())
    }

    fn list(&mut self, name: &str, text: &str, depth: usize) -> serde_json::Result<()> {
        let items: Vec<&RawValue> = serde_json::from_str(text)?;
        self.out.push('[');
        for (place, item) in items.iter().enumerate() {
            self.begin(place, depth + 1);
            self.value(name, item.get(), depth + 1)?;
        }
        self.end(items.is_empty(), depth);
        self.out.push(']');
        Ok(())
    }

    /// Begins a member or an item.
    fn begin(&mut self, place: usize, depth: usize) {
        if place > 0 {
            self.out.push(',');
        }
        self.line(depth);
    }

    fn end(&mut self, is_empty: bool, depth: usize) {
        if !is_empty {
            self.line(depth);
        }
    }

    fn line(&mut self, depth: usize) {
        if self.layout == Layout::Lines {
            self.out.extend(std::iter::once('\n').chain(std::iter::repeat_n(' ', 2 * depth)));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn numbers_are_equal_by_value_to_the_last_digit() {
        let equal = |one: &str, two: &str| Exact::parse(one).unwrap().equals(&Exact::parse(two).unwrap());
        for (one, two) in [
            ("1.50", "1.5"),
            ("15e-1", "1.5"),
            ("1500", "1.5E+3"),
            ("0", "-0.00e9"),
            ("12345678901234567890.10", "12345678901234567890.1"),
        ] {
            assert!(equal(one, two), "{one} {two}");
        }
        for (one, two) in [
            ("0.1", "0.10000000000000001"),
            ("12345678901234567890", "12345678901234567891"),
            ("1", "\"1\""),
            ("1e99999999999999999999", "1e-99999999999999999999"),
        ] {
            assert!(!equal(one, two), "{one} {two}");
        }
        assert!(equal(r#"{"a": [1, null], "b": "x"}"#, r#"{"b":"x","a":[1.0,null]}"#));
        assert!(!equal(r#"{"a": 1}"#, r#"{"a": 1, "b": null}"#));
        assert!(!equal("[1, 2]", "[2, 1]"));
        assert_eq!(Number::of_text("1.0"), Number::of_text("1"));
        assert!(Number::of_text("x").is_none() && Number::of_text("").is_none() && Number::of_text("null").is_none());
    }

    #[test]
    fn a_value_is_shown_as_json() {
        for text in [
            "0",
            "-1.5",
            "1500",
            "0.001",
            "12345678901234567890.5",
            "1e40",
            "1e-40",
            "null",
            "\"a\\\"b\"",
            "[1, {\"a\": true}]",
        ] {
            assert_eq!(Exact::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_rewritten_text_keeps_order_digits_and_escapes() {
        let text = r#"{"b":1.500,"a":{"token":"s\u0041","t":[]},"c":["\u00e9",{}],"token":[5,"sA"]}"#;
        let mut hide = |name: &str, value: &str| (name == "token" && value == "sA").then(|| "hidden".to_owned());
        let expected = "{\n  \"b\": 1.500,\n  \"a\": {\n    \"token\": \"hidden\",\n    \"t\": []\n  },\n  \
                        \"c\": [\n    \"\\u00e9\",\n    {}\n  ],\n  \"token\": [\n    5,\n    \"hidden\"\n  ]\n}";
        assert_eq!(rewrite(text, Layout::Lines, &mut hide).unwrap(), expected);
        assert_eq!(
            rewrite(expected, Layout::Compact, &mut |_, _| None).unwrap(),
            text.replace("s\\u0041", "hidden").replace("sA", "hidden")
        );
        assert!(rewrite("{", Layout::Lines, &mut |_, _| None).is_err());
    }

    #[test]
    fn deep_nesting_neither_overflows_nor_fails() {
        let deep = format!("{}1{}", "[".repeat(20_000), "]".repeat(20_000));
        let parsed = Exact::parse(&deep);
        assert!(parsed.is_ok_and(|parsed| parsed.equals(&parsed)));
        assert!(rewrite(&deep, Layout::Lines, &mut |_, _| None).is_ok());
    }

    /// Any JSON, with texts that look like other JSON.
    fn any_json() -> impl proptest::strategy::Strategy<Value = serde_json::Value> {
        use proptest::prelude::*;
        use serde_json::Value;
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[{}\\[\\]:,\"\\\\a\u{e9}\u{1f600}\n]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("[\"a{:]{0,3}", inner), 0..4).prop_map(|fields| fields.into_iter().collect()),
            ]
        })
    }

    proptest::proptest! {
        #[test]
        fn no_layout_changes_a_value(value in any_json()) {
            let text = value.to_string();
            let parsed = Exact::parse(&text).unwrap();
            for layout in [Layout::Lines, Layout::Compact] {
                let written = rewrite(&text, layout, &mut |_, _| None).unwrap();
                proptest::prop_assert_eq!(&Exact::parse(&written).unwrap(), &parsed);
                proptest::prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&written).unwrap(), value.clone());
            }
            proptest::prop_assert!(Exact::parse(&parsed.to_string()).unwrap().equals(&parsed));
        }
    }
}
