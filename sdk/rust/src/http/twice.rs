//! Finds a name that occurs twice in one JSON object, of which a parser uses only the last value.

use std::cell::RefCell;
use std::collections::HashSet;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// The first such name in a JSON text, or in several one after another; `None` if the text is not JSON.
pub(super) fn name(json: &str) -> Option<String> {
    let found = RefCell::new(None);
    let mut text = serde_json::Deserializer::from_str(json);
    while text.end().is_err() && Names(&found).deserialize(&mut text).is_ok() {}
    found.into_inner()
}

#[derive(Clone, Copy)]
struct Names<'a>(&'a RefCell<Option<String>>);

impl<'de> DeserializeSeed<'de> for Names<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Names<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if names.contains(&name) {
                self.0.borrow_mut().get_or_insert(name);
            } else {
                names.insert(name);
            }
            map.next_value_seed(self)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn names_are_compared_within_one_object() {
        for (json, expected) in [
            (r#"{"a": 1, "b": {"a": 2.50}, "c": [{"a": null}, {"a": "a"}, 1e400, true]}"#, None),
            (r#"[{"b": 1}, {"x": {"a": 1, "b": 2, "\u0061": 3}}]"#, Some("a")),
            (r#"{"a": 1, "#, None),
            ("{\"a\": 1}\n{\"b\": 1, \"b\": 2}", Some("b")),
            ("12345678901234567890.5", None),
        ] {
            assert_eq!(name(json).as_deref(), expected, "{json}");
        }
    }
}
