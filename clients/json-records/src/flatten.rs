//! Nested objects as separate columns: `{"a": {"b": 1}}` becomes `a_b`.
//!
//! Each nested field has a key that encodes its place, so that `a_b` and `a: {b}` side by side are two fields. Which of
//! several fields gets the plain name depends only on their places, not on their order: it is the least nested one.

#[cfg(feature = "driver")]
use std::collections::HashSet;

#[cfg(feature = "driver")]
use serde_json::{Map, Value};

/// The separator of names in a key. It is doubled inside a name, so that keys are never ambiguous.
const BETWEEN: char = '\u{e000}';

/// How objects become columns, and which keys have turned out to be objects.
#[cfg(feature = "driver")]
#[derive(Debug)]
pub struct Flatten {
    pub separator: String,
    parents: HashSet<String>,
}

#[cfg(feature = "driver")]
impl Flatten {
    pub fn new(separator: &str) -> Self {
        Self { separator: separator.to_owned(), parents: HashSet::new() }
    }

    /// The record with its nested objects flattened, by keys; lists stay lists.
    pub fn apply(&mut self, record: Map<String, Value>) -> Map<String, Value> {
        let mut flat = Map::new();
        self.dissolve("", record, &mut flat);
        flat
    }

    fn dissolve(&mut self, prefix: &str, object: Map<String, Value>, flat: &mut Map<String, Value>) {
        for (name, value) in object {
            let name = escaped(name);
            let key = if prefix.is_empty() { name } else { format!("{prefix}{name}") };
            match value {
                Value::Object(members) if !members.is_empty() => {
                    let prefix = format!("{key}{BETWEEN}.");
                    self.parents.insert(key);
                    self.dissolve(&prefix, members, flat);
                }
                Value::Object(_) => {
                    flat.insert(key, Value::Null);
                }
                other => {
                    flat.insert(key, other);
                }
            }
        }
    }

    /// Whether `key` was an object somewhere, so that a null for it elsewhere does not make a column.
    pub fn is_parent(&self, key: &str) -> bool {
        self.parents.contains(key)
    }
}

#[cfg(feature = "driver")]
fn escaped(name: String) -> String {
    if name.contains(BETWEEN) { name.replace(BETWEEN, &format!("{BETWEEN}{BETWEEN}")) } else { name }
}

/// The names that make up a key.
fn parts(key: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut characters = key.chars();
    while let Some(character) = characters.next() {
        let next = if character == BETWEEN { characters.next() } else { Some(character) };
        match (next, parts.last_mut()) {
            (Some('.'), _) if character == BETWEEN => parts.push(String::new()),
            (Some(next), Some(last)) => last.push(next),
            _ => {}
        }
    }
    parts
}

/// The name of a key's column, unless another field has taken it.
pub fn shown(key: &str, separator: &str) -> String {
    if key.contains(BETWEEN) { parts(key).join(separator) } else { key.to_owned() }
}

/// The place of a key's field, for messages: `user.id`.
#[cfg(feature = "driver")]
pub fn path(key: &str) -> String {
    parts(key).join(".")
}

/// The order of keys with the same name: the depth of the field first, then the names leading to it.
pub fn rank(key: &str) -> (usize, Vec<String>) {
    let parts = parts(key);
    (parts.len(), parts)
}

#[cfg(all(test, feature = "driver"))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn a_key_encodes_the_place_of_its_field() {
        let mut flatten = Flatten::new("_");
        let record = json!({"a_b": 1, "a": {"b": {"": 2}, "\u{e000}": {".": 3}, "e": {}}, "\u{e000}.": 4});
        let flat = flatten.apply(record.as_object().unwrap().clone());
        let keys: Vec<&String> = flat.keys().collect();
        let shown: Vec<String> = keys.iter().map(|key| shown(key, "_")).collect();
        assert_eq!(shown, ["a_b", "a_b_", "a_\u{e000}_.", "a_e", "\u{e000}."]);
        assert_eq!(rank(keys[2]), (3, vec!["a".into(), "\u{e000}".into(), ".".into()]));
        assert_eq!(rank(keys[4]), (1, vec!["\u{e000}.".into()]));
        assert!(flatten.is_parent("a") && !flatten.is_parent("a_b"));
    }
}
