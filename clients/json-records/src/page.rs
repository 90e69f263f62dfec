//! The records of one response, and how many of them the server sent before a filter in the path.

use std::hash::{DefaultHasher, Hash, Hasher};

use osiris_sdk::{Error, Result};
use serde_json::Value;
use serde_json_path::JsonPath;

/// A path to a response's records, such as `$.data.items`; `$.` may be omitted.
#[derive(Debug, Clone)]
pub struct RecordsPath {
    path: JsonPath,
    /// The path with `[*]` in place of filters and slices, if it has any.
    unfiltered: Option<JsonPath>,
    /// The points where the path enters a list or object: the path up to there, and the path to all items there.
    steps: Vec<(JsonPath, JsonPath)>,
    /// Whether it may match several places.
    is_plural: bool,
    /// Whether it contains `..`, which has no particular place.
    is_descendant: bool,
    text: String,
}

/// The content of one response. A null in a list of records is a record here.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    pub records: Vec<Value>,
    /// How many records the server sent; more than there are if the path has a filter.
    pub sent: usize,
}

impl Page {
    /// Distinguishes the records from those of another page, regardless of what surrounds them; `None` if a filter
    /// removed some.
    pub fn digest(&self) -> Option<[u8; 8]> {
        let mut hasher = DefaultHasher::new();
        self.records.hash(&mut hasher);
        (self.records.len() == self.sent).then(|| hasher.finish().to_le_bytes())
    }
}

impl RecordsPath {
    /// # Errors
    /// `config` for a text that is not a JSONPath.
    pub fn parse(text: &str) -> Result<Self> {
        let whole = crate::path::whole(text);
        let parse = |path: &str| {
            JsonPath::parse(path).map_err(|error| {
                Error::config(format!("`{text}` is not a JSONPath: {error}; write it as `$.data.items[*]`"))
            })
        };
        let path = parse(&whole)?;
        let Split { unfiltered, plural } = split(&whole);
        let steps = plural
            .iter()
            .map(|(start, end)| Ok((parse(&unfiltered[..*start])?, parse(&unfiltered[..*end])?)))
            .collect::<Result<Vec<_>>>();
        let is_descendant = unfiltered.contains("..");
        Ok(Self {
            unfiltered: if unfiltered == whole { None } else { Some(parse(&unfiltered)?) },
            // A path that cannot be divided is not checked step by step.
            steps: if is_descendant { Vec::new() } else { steps.unwrap_or_default() },
            is_plural: !plural.is_empty() || is_descendant,
            is_descendant,
            path,
            text: text.to_owned(),
        })
    }

    /// Whether the path means the whole response.
    pub fn is_whole(&self) -> bool {
        matches!(self.text.trim(), "" | "$")
    }

    /// The path as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The records: a list's items, or the values themselves. `None` if the path matches nothing.
    pub fn page(&self, json: &Value) -> Option<Page> {
        let records = self.values(&self.path, json);
        let Some(unfiltered) = &self.unfiltered else {
            if records.is_empty() && !self.leads_to_nothing(json) {
                return None;
            }
            return Some(Page { sent: records.len(), records });
        };
        let sent = self.values(unfiltered, json).len();
        if sent == 0 && !self.leads_to_nothing(json) {
            return None;
        }
        Some(Page { records, sent })
    }

    fn values(&self, path: &JsonPath, json: &Value) -> Vec<Value> {
        let found = path.query(json).all();
        // Among lists, null counts as an empty list.
        let null_is_list = !self.is_plural || found.iter().any(|value| value.is_array());
        let mut records = Vec::new();
        for value in found {
            match value {
                Value::Array(items) => records.extend(items.iter().cloned()),
                Value::Null if null_is_list => {}
                other => records.push(other.clone()),
            }
        }
        records
    }

    /// Whether the path is valid and only its target is empty: an empty list, or null.
    fn leads_to_nothing(&self, json: &Value) -> bool {
        if self.is_descendant {
            return true;
        }
        for (before, within) in &self.steps {
            if before.query(json).is_empty() {
                return false;
            }
            if within.query(json).is_empty() {
                return true;
            }
        }
        !self.unfiltered.as_ref().unwrap_or(&self.path).query(json).is_empty()
    }
}

struct Split {
    unfiltered: String,
    /// The start and end of each selector of several places in `unfiltered`.
    plural: Vec<(usize, usize)>,
}

/// Replaces filters and slices by `[*]`, and finds the selectors of several places.
fn split(path: &str) -> Split {
    let mut split = Split { unfiltered: String::new(), plural: Vec::new() };
    let mut rest = path;
    while let Some(next) = rest.chars().next() {
        let start = split.unfiltered.len();
        if next == '[' {
            let end = bracket(rest);
            let inner = rest[1..end].trim_end_matches(']').trim();
            let quoted = inner.starts_with(['\'', '"']);
            if inner.starts_with('?') || !quoted && inner.contains(':') {
                split.unfiltered.push_str("[*]");
            } else {
                split.unfiltered.push_str(&rest[..end]);
            }
            if inner.starts_with('?') || !quoted && inner.contains(['*', ':', ',']) {
                split.plural.push((start, split.unfiltered.len()));
            }
            rest = &rest[end..];
        } else if let Some(behind) = rest.strip_prefix(".*") {
            split.unfiltered.push_str(".*");
            split.plural.push((start, split.unfiltered.len()));
            rest = behind;
        } else {
            split.unfiltered.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    split
}

/// The position after the `]` that closes the bracket at the start of `text`.
fn bracket(text: &str) -> usize {
    let (mut depth, mut quote, mut escaped) = (0, None, false);
    for (place, letter) in text.char_indices() {
        match (quote, letter) {
            _ if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), letter) if open == letter => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(letter),
            (None, '[') => depth += 1,
            (None, ']') => {
                depth -= 1;
                if depth == 0 {
                    return place + 1;
                }
            }
            (None, _) => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn records_are_found_and_counted_as_they_were_sent() {
        let answer = json!({"data": {"items": [{"n": 1}, {"n": 2}], "one": {"n": 3}, "none": null, "empty": [],
            "edges": [{"node": {"n": 4}}, {"node": null}], "groups": [{"l": [1]}, {"l": null}, {"l": []}], "holes": [1, null]}});
        for (path, expected) in [
            ("$.data.items", Some((json!([{"n": 1}, {"n": 2}]), 2))),
            ("data.items[*]", Some((json!([{"n": 1}, {"n": 2}]), 2))),
            ("$.data.items[?@.n > 1]", Some((json!([{"n": 2}]), 2))),
            ("$.data.items[?@.n > 9]", Some((json!([]), 2))),
            ("$['data']['items'][?@['n'] > 9 && @.x != ']']", Some((json!([]), 2))),
            ("$.data.items[1:]", Some((json!([{"n": 2}]), 2))),
            ("$.data.items[?@.n > 9].n", Some((json!([]), 2))),
            ("$.data.one", Some((json!([{"n": 3}]), 1))),
            ("$.data.none", Some((json!([]), 0))),
            ("$.data.none[*]", Some((json!([]), 0))),
            ("$.data.empty[*]", Some((json!([]), 0))),
            ("$.data.empty[*].node", Some((json!([]), 0))),
            ("$.data.empty[?@.n > 1]", Some((json!([]), 0))),
            ("$.data.edges[*].node", Some((json!([{"n": 4}, null]), 2))),
            ("$.data.groups[*].l", Some((json!([1]), 1))),
            ("$.data.groups[*].l[*]", Some((json!([1]), 1))),
            ("$.data.holes", Some((json!([1, null]), 2))),
            ("$..n", Some((json!([1, 2, 3, 4]), 4))),
            ("$..nowhere", Some((json!([]), 0))),
            ("$.data.missing", None),
            ("$.data.missing[*]", None),
            ("$.data.missing[?@.n > 1]", None),
            ("$.data.items[*].missing", None),
            ("$.data.edges[*].nod", None),
            ("$.missing[*].node", None),
        ] {
            let found = RecordsPath::parse(path).unwrap().page(&answer);
            let expected = expected.map(|(records, sent)| Page { records: records.as_array().unwrap().clone(), sent });
            assert_eq!(found, expected, "{path}");
        }
        assert_eq!(RecordsPath::parse("").unwrap().page(&json!([1, 2])).unwrap().sent, 2);
        assert_eq!(RecordsPath::parse("$").unwrap().page(&json!(null)).unwrap().sent, 0);
        assert!(RecordsPath::parse("$.[").unwrap_err().message.contains("not a JSONPath"));
    }
}
