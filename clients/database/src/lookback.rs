//! `lookback`: the span before the last run's cursor that each run reads again, for rows that appear late.

use std::fmt;

use osiris_sdk::{Error, Result};
use serde::{Deserialize, Deserializer, de};

/// A span of time, or of numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookback {
    Seconds(u64),
    /// A number as it was written, for cursors that are numbers.
    Number(String),
}

const FORMS: &str =
    "a duration such as `90s`, `30m`, `2h`, `1d`, `1w` or `1d 12h`, or a number for a cursor of numbers";

impl Lookback {
    /// Parses `2h`, `1d 12h`, or a non-negative number.
    ///
    /// # Errors
    /// `config`, with the accepted forms.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || Error::config(format!("`lookback` is `{text}`; write {FORMS}"));
        let is_number = |text: &str| {
            !text.is_empty()
                && text.starts_with(|c: char| c.is_ascii_digit())
                && text.parse::<f64>().is_ok()
                && !text.contains(['e', 'E'])
        };
        if is_number(text) {
            return Ok(Self::Number(text.to_owned()));
        }
        let mut seconds = 0_u64;
        for part in text.split_whitespace() {
            let end = part.char_indices().last().map_or(0, |(end, _)| end);
            let (count, unit) = part.split_at(end);
            let unit = match unit {
                "s" => 1,
                "m" => 60,
                "h" => 3600,
                "d" => 86_400,
                "w" => 604_800,
                _ => return Err(wrong()),
            };
            let count: u64 = count.parse().map_err(|_| wrong())?;
            seconds = count.checked_mul(unit).and_then(|span| seconds.checked_add(span)).ok_or_else(wrong)?;
        }
        // More than 1,000 years before a cursor is earlier than every date.
        (!text.trim().is_empty() && seconds <= 31_557_600_000).then_some(Self::Seconds(seconds)).ok_or_else(wrong)
    }
}

impl fmt::Display for Lookback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seconds(seconds) => write!(f, "{seconds}s"),
            Self::Number(number) => number.fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for Lookback {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Integer(u64),
            Number(f64),
            Text(String),
        }
        let text = match Written::deserialize(deserializer)? {
            Written::Integer(number) => number.to_string(),
            Written::Number(number) => number.to_string(),
            Written::Text(text) => text,
        };
        Self::parse(&text).map_err(|error| de::Error::custom(error.message))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_lookback_is_a_duration_or_a_number() {
        for (text, expected) in [
            ("90s", Lookback::Seconds(90)),
            ("1d 12h", Lookback::Seconds(129_600)),
            ("2w", Lookback::Seconds(1_209_600)),
            ("10", Lookback::Number("10".to_owned())),
            ("0.5", Lookback::Number("0.5".to_owned())),
        ] {
            assert_eq!(Lookback::parse(text).unwrap(), expected, "{text}");
        }
        for wrong in ["", " ", "d", "1x", "-1", "1e5", "nan", "1d2h", "99999999999999999999s", "1 or 1=1", "1ü"] {
            assert!(Lookback::parse(wrong).unwrap_err().message.contains("`1d 12h`"), "{wrong}");
        }
        assert_eq!(serde_json::from_str::<Lookback>("100").unwrap(), Lookback::Number("100".to_owned()));
    }
}
