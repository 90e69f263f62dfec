//! A driver's request in terms of the step's config, such as `{connection.host}:{connection.port}`: parsed once, when
//! its spec is read, and bounded when it is expanded. No I/O.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::Report;

/// The longest template, in bytes.
pub const MAX_LENGTH: usize = 1000;

/// The most values that one template may expand to. Templates multiply lists, and lists may be a driver's own defaults.
pub const MAX_VALUES: usize = 1000;

/// The most text that a template of several fields may expand to, in bytes.
pub const MAX_BYTES: usize = 64_000;

/// Text with placeholders `{config.key}` and `{connection.field}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

/// What replaces the value of a placeholder, by the placeholder's number and path.
pub(super) type Spelling<'a> = dyn FnMut(usize, &[String], String) -> Result<String, Report> + 'a;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    /// A field's path in the config: `{connection.host}` is `["connection", "host"]`, as is `{config.connection.host}`.
    Field(Vec<String>),
}

impl Template {
    /// # Errors
    /// A [`Report`] if a placeholder is malformed, or the template is longer than [`MAX_LENGTH`].
    pub fn parse(text: &str) -> Result<Self, Report> {
        if text.len() > MAX_LENGTH {
            return Err(Report::input(format!("a template of the driver is longer than {MAX_LENGTH} bytes"))
                .hint("write `{config.key}` or `{connection.field}`"));
        }
        let malformed = || {
            Report::input(format!("the driver's grant `{text}` is malformed"))
                .hint("write `{config.key}` or `{connection.field}`")
        };
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find('{') {
            if start > 0 {
                parts.push(Part::Literal(rest[..start].to_owned()));
            }
            let (name, after) = rest[start + 1..].split_once('}').ok_or_else(malformed)?;
            parts.push(Part::Field(place(name).ok_or_else(malformed)?));
            rest = after;
        }
        if !rest.is_empty() || parts.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    /// The template as the spec has it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text outside its placeholders.
    pub fn literals(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Literal(text) => Some(text.as_str()),
            Part::Field(_) => None,
        })
    }

    pub fn has_fields(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Field(_)))
    }

    /// Whether it begins with a placeholder.
    pub fn begins_with_field(&self) -> bool {
        matches!(self.parts.first(), Some(Part::Field(_)))
    }

    /// Whether it names the field at `place`, such as `["connection", "host"]`.
    pub fn names(&self, place: &[&str]) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Field(field) if field == place))
    }

    /// The option of the config, if the template consists of it alone.
    pub fn option(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [Part::Field(field)] if field.len() == 1 => Some(&field[0]),
            _ => None,
        }
    }

    /// The path of each placeholder: `["connection", "host"]` for `{connection.host}`.
    pub fn fields(&self) -> impl Iterator<Item = &[String]> {
        self.parts.iter().filter_map(|part| match part {
            Part::Field(field) => Some(field.as_slice()),
            Part::Literal(_) => None,
        })
    }

    /// The text in which each placeholder is `mark`.
    pub(super) fn marked(&self, mark: &str) -> String {
        let part = |part: &Part| match part {
            Part::Literal(text) => text.clone(),
            Part::Field(_) => mark.to_owned(),
        };
        self.parts.iter().map(part).collect()
    }

    /// The values that the template expands to in `config`: one for each item of a list, and none if the config does
    /// not have the field.
    ///
    /// # Errors
    /// A [`Report`] if there are more than [`MAX_VALUES`], or if several fields multiply to more text than
    /// [`MAX_BYTES`]. This is checked before any of it is built.
    pub fn expand(&self, config: &Map<String, Value>) -> Result<Vec<String>, Report> {
        self.expand_by(config, &mut |_, _, value| Ok(value))
    }

    /// Like [`Self::expand`], with each value of a placeholder replaced by what `spell` makes of it: it is given the
    /// placeholder's number, its path and one of its values.
    ///
    /// # Errors
    /// As for [`Self::expand`], and what `spell` refuses.
    pub(super) fn expand_by(
        &self,
        config: &Map<String, Value>,
        spell: &mut Spelling<'_>,
    ) -> Result<Vec<String>, Report> {
        let mut parts: Vec<Vec<String>> = self
            .parts
            .iter()
            .map(|part| match part {
                Part::Literal(text) => vec![text.clone()],
                Part::Field(field) => values(config, field),
            })
            .collect();
        let count = parts.iter().fold(1_usize, |count, values| count.saturating_mul(values.len()));
        let beyond = |what: String| {
            Report::input(format!("the driver's grant `{}` stands for more than {what}", self.text))
                .hint("shorten the lists that the step's config gives it, or ask the driver's author")
        };
        if count > MAX_VALUES {
            return Err(beyond("1,000 values".to_owned()));
        }
        let length = |values: &Vec<String>| values.iter().map(String::len).fold(0, usize::saturating_add);
        let each = |values: &Vec<String>| length(values).saturating_mul(count / values.len().max(1));
        let bytes = parts.iter().map(each).fold(0, usize::saturating_add);
        // A single field expands to what the config contains anyway.
        if parts.len() > 1 && bytes > MAX_BYTES {
            return Err(beyond("64 kB of text".to_owned()));
        }
        if count == 0 {
            return Ok(Vec::new());
        }
        let fields = self.parts.iter().zip(&mut parts).filter_map(|(part, values)| match part {
            Part::Field(field) => Some((field, values)),
            Part::Literal(_) => None,
        });
        for (number, (field, values)) in fields.enumerate() {
            for value in values.iter_mut() {
                *value = spell(number, field, std::mem::take(value))?;
            }
        }
        let mut expanded = vec![String::new()];
        for values in &parts {
            expanded =
                expanded.iter().flat_map(|head| values.iter().map(move |value| format!("{head}{value}"))).collect();
        }
        Ok(expanded)
    }
}

impl Template {
    /// The text with what `value` returns for each placeholder; `None` if it returns none for one of them.
    pub(super) fn filled(&self, value: &dyn Fn(&[String]) -> Option<String>) -> Option<String> {
        let part = |part: &Part| match part {
            Part::Literal(text) => Some(text.clone()),
            Part::Field(field) => value(field),
        };
        self.parts.iter().map(part).collect()
    }
}

/// The path that a placeholder's name refers to.
fn place(name: &str) -> Option<Vec<String>> {
    let key = name.strip_prefix("config.").or_else(|| Some(name).filter(|name| name.starts_with("connection.")))?;
    let word = |word: &str| {
        !word.is_empty() && word.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-'))
    };
    key.split('.').all(word).then(|| key.split('.').map(str::to_owned).collect())
}

/// What a field contains.
pub(super) fn value<'a>(config: &'a Map<String, Value>, field: &[String]) -> Option<&'a Value> {
    let (first, rest) = field.split_first()?;
    rest.iter().try_fold(config.get(first)?, |value, name| value.get(name))
}

/// The values of a field: one, or the items of a list.
pub(super) fn values(config: &Map<String, Value>, field: &[String]) -> Vec<String> {
    match value(config, field) {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(Value::Bool(flag)) => vec![flag.to_string()],
        Some(Value::Number(number)) => vec![number.to_string()],
        _ => Vec::new(),
    }
}

/// Makes a type that has `parse` and `template` readable from the text of a spec.
macro_rules! written_as_text {
    ($name:ty) => {
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.template().text())
            }
        }

        impl TryFrom<String> for $name {
            type Error = Report;

            fn try_from(text: String) -> Result<Self, Report> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(written: $name) -> Self {
                written.template().text().to_owned()
            }
        }

        impl std::str::FromStr for $name {
            type Err = Report;

            fn from_str(text: &str) -> Result<Self, Report> {
                Self::parse(text)
            }
        }
    };
}
pub(super) use written_as_text;

impl Template {
    fn template(&self) -> &Self {
        self
    }
}

written_as_text!(Template);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn template(text: &str) -> Template {
        Template::parse(text).unwrap()
    }

    fn expand(text: &str, config: &Value) -> Result<Vec<String>, Report> {
        template(text).expand(config.as_object().unwrap())
    }

    #[test]
    fn a_template_expands_to_one_value_per_item() {
        let config = json!({"a": ["x", "y", 1], "n": 5, "on": true, "connection": {"host": "h"}, "none": null});
        for (text, expected) in [
            ("{config.a}/{config.n}", vec!["x/5", "y/5"]),
            ("{connection.host}:{config.n}", vec!["h:5"]),
            ("{config.connection.host}", vec!["h"]),
            ("{config.on}", vec!["true"]),
            ("{config.none}", vec![]),
            ("{config.absent}{config.a}", vec![]),
            ("GET https://a/{config.n}", vec!["GET https://a/5"]),
            ("", vec![""]),
        ] {
            assert_eq!(expand(text, &config).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn malformed_templates_are_refused() {
        let long = "x".repeat(MAX_LENGTH + 1);
        for text in ["{config.path", "{env.HOME}", "{}", "{config.}", "{config.a..b}", "{config.a:b}", long.as_str()] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn more_values_or_text_than_the_bounds_are_refused_before_they_are_built() {
        let of = |items: usize, length: usize| json!({"l": vec!["x".repeat(length); items]});
        for (text, config, refused) in [
            ("{config.l}", of(1000, 1000), None),
            ("{config.l}", of(1001, 1), Some("1,000 values")),
            ("{config.l}{config.l}", of(31, 1), None),
            ("{config.l}{config.l}", of(32, 1), Some("1,000 values")),
            (
                "{config.l}{config.l}{config.l}{config.l}{config.l}{config.l}{config.l}",
                of(1000, 1),
                Some("1,000 values"),
            ),
            ("{config.l}{config.l}", of(1, 32_000), None),
            ("{config.l}{config.l}", of(1, 32_001), Some("64 kB")),
            ("{config.l}{config.l}{config.none}", of(1000, 1), None),
        ] {
            let report = expand(text, &config).err().map(|report| report.message);
            assert_eq!(report.is_some(), refused.is_some(), "{text}: {report:?}");
            assert!(report.unwrap_or_default().contains(refused.unwrap_or_default()), "{text}");
        }
    }

    #[test]
    fn parts_of_a_template_are_found() {
        assert_eq!(template("GET {config.url}/{config.id}").marked("_"), "GET _/_");
        assert_eq!(template("{connection.host}:1").fields().collect::<Vec<_>>(), [["connection", "host"]]);
        assert_eq!(template("{config.path}").option(), Some("path"));
        assert_eq!(template("{config.path}/x").option(), None);
        assert_eq!(template("{connection.path}").option(), None);
        assert!(template("GET {connection.url}").names(&["connection", "url"]));
    }

    #[test]
    fn a_template_is_text_in_a_spec() {
        let parsed: Template = serde_json::from_str(r#""{config.a}""#).unwrap();
        assert_eq!(serde_json::to_string(&parsed).unwrap(), r#""{config.a}""#);
        assert!(serde_json::from_str::<Template>(r#""{config.a""#).is_err());
    }
}
