//! JSONPath (RFC 9535) into an answer: its records, its cursor, its next address.

use osiris_sdk::{Error, Result};
use serde_json::Value;
use serde_json_path::JsonPath;

/// A path such as `$.data.items[*]`; `$.` may be left out.
#[derive(Debug, Clone)]
pub struct Path {
    path: JsonPath,
    text: String,
}

impl Path {
    /// # Errors
    /// `config`, for what is no JSONPath.
    pub fn parse(text: &str) -> Result<Self> {
        let trimmed = text.trim();
        let whole = match trimmed.chars().next() {
            None => "$".to_owned(),
            Some('$') => trimmed.to_owned(),
            Some('[' | '.') => format!("${trimmed}"),
            Some(_) => format!("$.{trimmed}"),
        };
        let path = JsonPath::parse(&whole).map_err(|error| {
            Error::config(format!("`{text}` is no JSONPath: {error}; write it as `$.data.items[*]`"))
        })?;
        Ok(Self { path, text: text.to_owned() })
    }

    /// The first value that is there, unless it is null.
    pub fn first<'a>(&self, json: &'a Value) -> Option<&'a Value> {
        self.path.query(json).all().into_iter().find(|value| !value.is_null())
    }

    /// Whether the path leads anywhere, be it to null.
    pub fn leads(&self, json: &Value) -> bool {
        !self.path.query(json).is_empty()
    }

    /// The records: a list's items, or the values themselves. `None` where the path leads nowhere. A null among them is
    /// a record without a value; a null in place of the list means that there are none.
    pub fn records(&self, json: Value) -> Option<Vec<Value>> {
        if matches!(self.text.trim(), "" | "$") {
            return Some(items(json));
        }
        let found = self.path.query(&json).all();
        // A path that picks places by itself, such as `[*]`, finds nothing in an empty list.
        let picks = self.text.contains(['*', '?']) || self.text.contains("..");
        if found.is_empty() {
            return picks.then(Vec::new);
        }
        let records = |value: Value| if picks && value.is_null() { vec![value] } else { items(value) };
        Some(found.into_iter().cloned().flat_map(records).collect())
    }

    /// The path as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }
}

fn items(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items,
        Value::Null => Vec::new(),
        other => vec![other],
    }
}

/// The value that stands at names joined by dots, such as `user.updated_at`.
pub fn field<'a>(record: &'a serde_json::Map<String, Value>, name: &str) -> Option<&'a Value> {
    if let Some(value) = record.get(name) {
        return Some(value);
    }
    let (first, rest) = name.split_once('.')?;
    field(record.get(first)?.as_object()?, rest)
}

/// What an answer holds, for an error that says where to look.
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
    fn records_are_found() {
        let answer = json!({"data": {"items": [{"n": 1}, {"n": 2}], "one": {"n": 3}, "none": null, "empty": [],
            "edges": [{"node": {"n": 4}}, {"node": {"n": 5}}]}});
        for (path, expected) in [
            ("$.data.items", Some(json!([{"n": 1}, {"n": 2}]))),
            ("data.items", Some(json!([{"n": 1}, {"n": 2}]))),
            ("$.data.items[*]", Some(json!([{"n": 1}, {"n": 2}]))),
            ("$.data.items[?@.n > 1]", Some(json!([{"n": 2}]))),
            ("$.data.one", Some(json!([{"n": 3}]))),
            ("$.data.none", Some(json!([]))),
            ("$.data.empty[*]", Some(json!([]))),
            ("$.data.edges[*].node", Some(json!([{"n": 4}, {"n": 5}]))),
            ("$.data.missing", None),
        ] {
            let found = Path::parse(path).unwrap().records(answer.clone()).map(Value::Array);
            assert_eq!(found, expected, "{path}");
        }
        assert_eq!(Path::parse("").unwrap().records(json!([1, null, 2])).unwrap().len(), 3);
        let nulls = json!({"items": [{"n": 1}, null], "edges": [{"node": null}, {"node": {"n": 2}}]});
        for (path, expected) in [
            ("items", json!([{"n": 1}, null])),
            ("items[*]", json!([{"n": 1}, null])),
            ("edges[*].node", json!([null, {"n": 2}])),
        ] {
            let found = Path::parse(path).unwrap().records(nulls.clone()).map(Value::Array);
            assert_eq!(found, Some(expected), "{path}");
        }
        assert_eq!(Path::parse("[*].a").unwrap().records(json!([{"a": 1}])).unwrap(), [json!(1)]);
        assert!(Path::parse("$.[").unwrap_err().message.contains("no JSONPath"));
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
