//! Nested objects as columns of their own: `{"a": {"b": 1}}` becomes `a_b`.

use std::collections::HashSet;

use serde_json::{Map, Value};

/// How objects become columns, and which names turned out to be objects.
#[derive(Debug)]
pub struct Flatten {
    separator: String,
    parents: HashSet<String>,
}

impl Flatten {
    pub fn new(separator: &str) -> Self {
        Self { separator: separator.to_owned(), parents: HashSet::new() }
    }

    /// The record with its nested objects dissolved; lists stay lists.
    pub fn apply(&mut self, record: Map<String, Value>) -> Map<String, Value> {
        let mut flat = Map::new();
        self.dissolve("", record, &mut flat);
        flat
    }

    fn dissolve(&mut self, prefix: &str, object: Map<String, Value>, flat: &mut Map<String, Value>) {
        for (name, value) in object {
            let name = if prefix.is_empty() { name } else { format!("{prefix}{}{name}", self.separator) };
            match value {
                Value::Object(members) if !members.is_empty() => {
                    self.parents.insert(name.clone());
                    self.dissolve(&name, members, flat);
                }
                Value::Object(_) => {
                    flat.insert(name, Value::Null);
                }
                other => {
                    flat.insert(name, other);
                }
            }
        }
    }

    /// Whether `name` was an object somewhere, so that it says nothing where it is null elsewhere.
    pub fn is_parent(&self, name: &str) -> bool {
        self.parents.contains(name)
    }
}
