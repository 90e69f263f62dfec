//! JSONPath (RFC 9535) into a response: its records, its cursor, its next address.

use osiris_sdk::{Error, Result};
use serde_json::Value;
use serde_json_path::JsonPath;

/// A path such as `$.data.items[*]`; `$.` may be omitted.
#[derive(Debug, Clone)]
pub struct Path {
    path: JsonPath,
    text: String,
}

impl Path {
    /// # Errors
    /// `config` for a text that is not a JSONPath.
    pub fn parse(text: &str) -> Result<Self> {
        let whole = whole(text);
        let path = JsonPath::parse(&whole).map_err(|error| {
            Error::config(format!("`{text}` is not a JSONPath: {error}; write it as `$.data.items[*]`"))
        })?;
        Ok(Self { path, text: text.to_owned() })
    }

    /// The first matching value, unless it is null.
    pub fn first<'a>(&self, json: &'a Value) -> Option<&'a Value> {
        self.path.query(json).all().into_iter().find(|value| !value.is_null())
    }

    /// Whether the path matches anything, including null.
    pub fn leads(&self, json: &Value) -> bool {
        !self.path.query(json).is_empty()
    }

    /// The path as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// The path with the `$` that may have been omitted.
pub(crate) fn whole(text: &str) -> String {
    let trimmed = text.trim();
    match trimmed.chars().next() {
        None => "$".to_owned(),
        Some('$') => trimmed.to_owned(),
        Some('[' | '.') => format!("${trimmed}"),
        Some(_) => format!("$.{trimmed}"),
    }
}

/// The value under names joined by dots, such as `user.updated_at`.
pub fn field<'a>(record: &'a serde_json::Map<String, Value>, name: &str) -> Option<&'a Value> {
    if let Some(value) = record.get(name) {
        return Some(value);
    }
    let (first, rest) = name.split_once('.')?;
    field(record.get(first)?.as_object()?, rest)
}

/// The structure of a response, for an error about a path.
pub fn outline(json: &Value) -> String {
    match json {
        Value::Object(members) => {
            let names: Vec<String> = members.keys().take(20).map(|name| format!("`{name}`")).collect();
            if names.is_empty() { "an empty object".to_owned() } else { format!("an object of {}", names.join(", ")) }
        }
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Null => "null".to_owned(),
        _ => "a single value".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn a_path_finds_values_and_reports_whether_it_matches() {
        let answer = json!({"meta": {"next": "a", "none": null}});
        for (path, first, leads) in [
            ("$.meta.next", Some(json!("a")), true),
            ("meta.next", Some(json!("a")), true),
            ("['meta'].none", None, true),
            ("meta.nxt", None, false),
        ] {
            let path = Path::parse(path).unwrap();
            assert_eq!((path.first(&answer).cloned(), path.leads(&answer)), (first, leads), "{}", path.text());
        }
        assert!(Path::parse("$.[").unwrap_err().message.contains("not a JSONPath"));
    }

    #[test]
    fn fields_are_found_by_names_and_dots() {
        let record = json!({"a": {"b": {"c": 1}}, "x.y": 2});
        let record = record.as_object().unwrap();
        assert_eq!(field(record, "a.b.c"), Some(&json!(1)));
        assert_eq!(field(record, "x.y"), Some(&json!(2)));
        assert_eq!(field(record, "a.c"), None);
    }
}
