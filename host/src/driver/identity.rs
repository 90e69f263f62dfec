//! The identity of the source that a step's state was read from, so that the state is never used for another source. No
//! I/O.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::driver::spec::Spec;
use crate::error::{Report, listed};
use crate::secrets::Secrets;
use crate::secrets::scrubber::Scrubber;

/// The fields of a config that identify what a step reads, as they were when it read; never a secret.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// The pipeline's profile.
    pub profile: Option<String>,
    /// Values by the place of the field, such as `connection.host`; null if the config does not have it.
    pub fields: BTreeMap<String, Value>,
}

/// The identity of the source of a step with `config` (without its secrets, with defaults).
///
/// A spec's `stateIdentity` names the fields. Without it every field counts, because the host cannot tell which options
/// of a third-party driver matter. A secret inside a longer text is masked.
pub fn of(spec: &Spec, config: &Map<String, Value>, secrets: &Secrets, profile: Option<&str>) -> Identity {
    let scrubber = Scrubber::new(secrets.values());
    let value = |found: Option<&Value>| scrubber.scrub(found.cloned().unwrap_or_default());
    let fields = if spec.state_identity.is_empty() {
        let options = properties(&spec.config_schema).into_iter().flat_map(Map::keys).chain(config.keys());
        options.map(|name| (name.clone(), value(config.get(name)))).collect()
    } else {
        spec.state_identity.iter().map(|place| (place.clone(), value(found(config, place)))).collect()
    };
    Identity { profile: profile.map(str::to_owned), fields }
}

/// The value at `place`. Fields of the connection may also be in the config itself.
fn found<'a>(config: &'a Map<String, Value>, place: &str) -> Option<&'a Value> {
    let mut names = place.split('.');
    let first = names.next().and_then(|first| config.get(first));
    let value = first.and_then(|first| names.try_fold(first, |value, name| value.get(name)));
    value.or_else(|| config.get(place.strip_prefix("connection.")?))
}

/// A field that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    pub field: String,
    pub was: Value,
    pub is: Value,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` was {}, is {}", self.field, shown(&self.was), shown(&self.is))
    }
}

/// The longest value that a difference shows, in characters.
const MAX_SHOWN: usize = 200;

fn shown(value: &Value) -> String {
    let text = match value {
        Value::Null => return "not set".to_owned(),
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    };
    match text.char_indices().nth(MAX_SHOWN) {
        None => text,
        Some((end, _)) => format!("{}…`", &text[..end]),
    }
}

impl Identity {
    /// The fields that differ in `now`. A field that only one side has comes from another version of the driver and is
    /// ignored, unless the driver lists no fields and its config is free-form.
    pub fn differences(&self, now: &Self, spec: &Spec) -> Vec<Difference> {
        let known = properties(&spec.config_schema);
        let free = |name: &str| spec.state_identity.is_empty() && known.is_none_or(|known| !known.contains_key(name));
        let mut different = Vec::new();
        if self.profile != now.profile {
            let value = |profile: &Option<String>| profile.clone().map_or(Value::Null, Value::from);
            let (was, is) = (value(&self.profile), value(&now.profile));
            different.push(Difference { field: "profile".to_owned(), was, is });
        }
        let names = self.fields.keys().chain(now.fields.keys().filter(|name| !self.fields.contains_key(*name)));
        for name in names {
            let (was, is) = match (self.fields.get(name), now.fields.get(name)) {
                (Some(was), Some(is)) => (was.clone(), is.clone()),
                (was, is) if free(name) => (was.cloned().unwrap_or_default(), is.cloned().unwrap_or_default()),
                _ => continue,
            };
            if was != is {
                leaves(name, &was, &is, &mut different);
            }
        }
        different
    }
}

/// The differences inside two objects, or the two values themselves.
fn leaves(name: &str, was: &Value, is: &Value, different: &mut Vec<Difference>) {
    let (Value::Object(before), Value::Object(after)) = (was, is) else {
        different.push(Difference { field: name.to_owned(), was: was.clone(), is: is.clone() });
        return;
    };
    for key in before.keys().chain(after.keys().filter(|key| !before.contains_key(*key))) {
        if before.get(key) != after.get(key) {
            leaves(&format!("{name}.{key}"), &member(before, key), &member(after, key), different);
        }
    }
}

/// A member of an object; an explicit null differs from a missing member.
fn member(object: &Map<String, Value>, key: &str) -> Value {
    match object.get(key) {
        Some(Value::Null) => Value::from("null"),
        value => value.cloned().unwrap_or_default(),
    }
}

fn properties(schema: &Value) -> Option<&Map<String, Value>> {
    schema.get("properties")?.as_object()
}

/// Checks a spec's `stateIdentity` against its configSchema.
///
/// # Errors
/// If it names a field that the configSchema does not have.
pub fn check(spec: &Spec, file: &str) -> Result<(), Report> {
    for place in &spec.state_identity {
        let mut schema = &spec.config_schema;
        for name in place.split('.') {
            let Some(known) = properties(schema) else { break };
            schema = known.get(name).ok_or_else(|| {
                Report::input(format!(
                    "spec `{file}`: `stateIdentity` names `{place}`, which its configSchema does not have; at `{name}` it has: {}",
                    listed(known.keys().map(String::as_str))
                ))
            })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::secrets::Secret;
    use serde_json::json;

    fn spec(more: &str) -> Result<Spec, Report> {
        let head = "name: a.b\nversion: 1.0.0\nkind: extractor\ntitle: t\n";
        crate::driver::spec::parse(&format!("{head}{more}"), "spec.yaml")
    }

    const LISTED: &str = "stateIdentity: [connection.host, table, filter]\nconfigSchema: {type: object, properties: \
        {connection: {type: object, properties: {host: {}}}, host: {}, table: {}, filter: {}, timeout: {}}}\n";
    const UNLISTED: &str = "configSchema: {type: object, properties: {table: {}, timeout: {}, connection: {}}}\n";

    fn identity(spec: &Spec, config: Value, profile: Option<&str>) -> Identity {
        of(spec, config.as_object().unwrap(), &Secrets::new(), profile)
    }

    fn differences(spec: &Spec, was: Value, is: Value) -> Vec<String> {
        let differences = identity(spec, was, None).differences(&identity(spec, is, None), spec);
        differences.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn only_listed_fields_distinguish_sources() {
        let spec = spec(LISTED).unwrap();
        let was = json!({"connection": {"host": "a", "port": 1}, "table": "t", "timeout": 1});
        for (is, told) in [
            (json!({"connection": {"host": "a", "port": 2}, "table": "t", "timeout": 2}), vec![]),
            (json!({"host": "a", "table": "t"}), vec![]),
            (json!({"connection": {"host": "b"}, "table": "t"}), vec!["`connection.host` was `a`, is `b`"]),
            (json!({"host": "a", "table": "u"}), vec!["`table` was `t`, is `u`"]),
            (json!({"host": "a", "table": "t", "filter": "x > 1"}), vec!["`filter` was not set, is `x > 1`"]),
            (json!({"host": "a"}), vec!["`table` was `t`, is not set"]),
        ] {
            assert_eq!(differences(&spec, was.clone(), is), told);
        }
    }

    #[test]
    fn without_a_list_every_field_distinguishes_sources_down_to_the_differing_value() {
        let spec = spec(UNLISTED).unwrap();
        let was = json!({"connection": {"host": "a", "port": 1}, "table": "t", "more": {"x": 1}});
        for (is, told) in [
            (was.clone(), vec![]),
            (
                json!({"connection": {"host": "b", "port": 1}, "table": "t", "more": {"x": 1}}),
                vec!["`connection.host` was `a`, is `b`"],
            ),
            (json!({"connection": {"host": "a", "port": 1}, "table": "t"}), vec!["`more` was `{\"x\":1}`, is not set"]),
            (
                json!({"connection": {"host": "a", "port": 1}, "table": "t", "more": {"x": 2}, "new": 3}),
                vec!["`more.x` was `1`, is `2`", "`new` was not set, is `3`"],
            ),
        ] {
            assert_eq!(differences(&spec, was.clone(), is), told);
        }
        // A condition on null differs from no condition.
        let told = differences(&spec, json!({"table": {"a": null, "b": 1}}), json!({"table": {"b": null}}));
        assert_eq!(told, ["`table.a` was `null`, is not set", "`table.b` was `1`, is `null`"]);
    }

    #[test]
    fn profiles_distinguish_sources_and_a_new_option_of_the_driver_does_not() {
        let (old, new) =
            (spec(UNLISTED).unwrap(), spec(&UNLISTED.replace("table: {}", "table: {}, fresh: {}")).unwrap());
        let was = identity(&old, json!({"table": "t"}), Some("dev"));
        let is = identity(&new, json!({"table": "t", "fresh": 1}), Some("dev"));
        assert_eq!(was.differences(&is, &new), []);
        let is = identity(&new, json!({"table": "t"}), None);
        assert_eq!(was.differences(&is, &new)[0].to_string(), "`profile` was `dev`, is not set");
    }

    #[test]
    fn a_secret_inside_a_field_is_masked() {
        let spec = spec(UNLISTED).unwrap();
        let secrets = Secrets::from([("key".to_owned(), Secret::new("hunter2".to_owned()))]);
        let config = json!({"table": "https://x/?key=hunter2"});
        let identity = of(&spec, config.as_object().unwrap(), &secrets, None);
        assert!(!serde_json::to_string(&identity).unwrap().contains("hunter2"));
    }

    #[test]
    fn a_long_value_is_shortened() {
        let difference = Difference { field: "query".to_owned(), was: json!("ü".repeat(900)), is: Value::Null };
        assert!(difference.to_string().chars().count() < 260, "{difference}");
    }

    #[test]
    fn a_list_that_names_no_existing_option_is_refused() {
        for list in ["tabel", "connection.hots", "timeout, x"] {
            let text = LISTED.replace("connection.host, table, filter", list);
            assert!(spec(&text).unwrap_err().message.contains("stateIdentity"), "{list}");
        }
    }
}
