//! Compares the configSchema of a spec with the driver's `Config`, so that neither is changed without the other.

use std::collections::BTreeSet;
use std::fmt::Write;

use schemars::JsonSchema;
use serde_json::{Map, Value};

/// The environment variable that makes [`check_schema`] rewrite the spec.
const UPDATE: &str = "OSIRIS_UPDATE_SPEC";

/// The key of the schema in a spec.
const KEY: &str = "configSchema";

/// Checks that the configSchema of the spec at `path` is that of the type `C`, apart from the options that the spec lists as
/// secrets: a config never contains those. `path` is relative to the folder of the crate. With the environment variable
/// `OSIRIS_UPDATE_SPEC=1`, the configSchema in the file is replaced by that of the type instead.
///
/// # Panics
/// If they differ, with the differences; if the spec cannot be read.
pub fn check_schema<C: JsonSchema>(path: &str) {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("cannot read `{path}`: {error}"));
    let update = std::env::var_os(UPDATE).is_some_and(|value| !value.is_empty() && value != "0");
    let (differences, updated) = compared(&text, crate::schema::config_schema::<C>(), path);
    if differences.is_empty() {
        return;
    }
    if update {
        std::fs::write(path, updated).unwrap_or_else(|error| panic!("cannot write `{path}`: {error}"));
        return;
    }
    panic!(
        "{KEY} in `{path}` differs from the type `{}`:\n{differences}\nrun the tests with {UPDATE}=1 to rewrite it",
        std::any::type_name::<C>()
    );
}

/// The differences between the spec's schema and `wanted`, a line each, and the spec with `wanted`.
fn compared(text: &str, mut wanted: Value, path: &str) -> (String, String) {
    let spec: Value = serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("`{path}` is malformed: {error}"));
    let found = spec.get(KEY).cloned().unwrap_or_default();
    let secrets = spec.get("secrets").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    for secret in secrets {
        let names: Vec<&str> = secret.split('/').skip(1).collect();
        copy(&found, &mut wanted, &names);
    }
    let mut differences = String::new();
    differ(KEY, Some(&found), Some(&wanted), &mut differences);
    (differences, replaced(text, &wanted))
}

/// Copies the schema of a secret option, at any depth.
fn copy(from: &Value, to: &mut Value, names: &[&str]) {
    let Some((name, rest)) = names.split_first() else { return };
    let Some(option) = from.get("properties").and_then(|properties| properties.get(*name)) else { return };
    let Value::Object(members) = to else { return };
    let properties = members.entry("properties").or_insert_with(|| Value::Object(Map::new()));
    let Value::Object(properties) = properties else { return };
    match properties.get_mut(*name) {
        Some(there) if !rest.is_empty() => copy(option, there, rest),
        _ => {
            properties.insert((*name).to_owned(), option.clone());
        }
    }
    let is_required = |schema: &Value| {
        schema.get("required").and_then(Value::as_array).is_some_and(|required| required.iter().any(|one| one == name))
    };
    if rest.is_empty() && is_required(from) {
        let required = members.entry("required").or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(required) = required
            && !required.iter().any(|one| one == name)
        {
            required.push((*name).into());
        }
    }
}

fn differ(place: &str, found: Option<&Value>, wanted: Option<&Value>, into: &mut String) {
    match (found, wanted) {
        (Some(Value::Object(found)), Some(Value::Object(wanted))) => {
            let names: BTreeSet<&String> = found.keys().chain(wanted.keys()).collect();
            for name in names {
                differ(&format!("{place}.{name}"), found.get(name), wanted.get(name), into);
            }
        }
        (Some(found), Some(wanted)) if same(place, found, wanted) => {}
        (found, wanted) => {
            let shown = |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), Value::to_string);
            let _ = writeln!(into, "  {place}: the spec has {}, the type {}", shown(found), shown(wanted));
        }
    }
}

/// Whether both mean the same: required options have no order, and numbers are compared by value.
fn same(place: &str, found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Array(found), Value::Array(wanted)) if place.ends_with(".required") => {
            let set = |values: &[Value]| values.iter().map(Value::to_string).collect::<BTreeSet<_>>();
            set(found) == set(wanted)
        }
        (Value::Array(found), Value::Array(wanted)) => {
            found.len() == wanted.len() && found.iter().zip(wanted).all(|(one, other)| same("", one, other))
        }
        (Value::Number(found), Value::Number(wanted)) => found.as_f64() == wanted.as_f64(),
        _ => found == wanted,
    }
}

/// The text with another schema; everything else is unchanged.
fn replaced(text: &str, schema: &Value) -> String {
    let mut lines = text.lines().peekable();
    let (mut before, mut after) = (String::new(), String::new());
    while let Some(line) = lines.next_if(|line| !line.starts_with(&format!("{KEY}:"))) {
        before.push_str(line);
        before.push('\n');
    }
    lines.next();
    // Its lines are indented, or empty.
    while lines.next_if(|line| line.is_empty() || line.starts_with([' ', '-', '#'])).is_some() {}
    for line in lines {
        after.push_str(line);
        after.push('\n');
    }
    let mut yaml = format!("{KEY}:\n");
    write_yaml(schema, 1, &mut yaml);
    before + &yaml + &after
}

/// A schema as YAML: what fits into a line is in one, as JSON.
fn write_yaml(value: &Value, depth: usize, into: &mut String) {
    const ORDER: [&str; 6] = ["type", "required", "additionalProperties", "description", "default", "enum"];
    let Value::Object(members) = value else { return };
    let rank = |name: &str| ORDER.iter().position(|known| *known == name).unwrap_or(ORDER.len());
    let mut names: Vec<&String> = members.keys().collect();
    if members.contains_key("type") || members.contains_key("properties") {
        names.sort_by_key(|name| rank(name));
    }
    for name in names {
        let member = &members[name];
        let is_plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let key = if is_plain { name.clone() } else { Value::from(name.as_str()).to_string() };
        let line = member.to_string();
        let indent = "  ".repeat(depth);
        let nests = member.as_object().is_some_and(|inner| !inner.is_empty() && inner.values().any(Value::is_object));
        if nests || member.is_object() && line.len() > 100 {
            let _ = writeln!(into, "{indent}{key}:");
            write_yaml(member, depth + 1, into);
        } else {
            let _ = writeln!(into, "{indent}{key}: {line}");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde::Deserialize;

    /// How to sort.
    #[derive(Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    enum Order {
        /// The smallest first.
        Up,
        /// The largest first.
        Down,
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its schema is used")]
    struct Login {
        /// Who logs in
        user: String,
    }

    fn hundred() -> u32 {
        100
    }

    /// Ignored: a spec has its own description.
    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its schema is used")]
    struct Config {
        /// The API's address
        #[schemars(length(min = 1))]
        url: String,
        /// Items per page
        #[serde(default = "hundred")]
        #[schemars(range(min = 1, max = 1000))]
        page_size: u32,
        order: Option<Order>,
        ratio: Option<f64>,
        login: Option<Login>,
        #[serde(default)]
        tags: Vec<String>,
    }

    const SPEC: &str = r#"name: a.b
secrets: [/token, /login/password]
configSchema:
  type: object
  required: [token, url]
  additionalProperties: false
  properties:
    url: {type: string, minLength: 1, description: The API's address}
    page_size: {type: integer, minimum: 1, maximum: 1000, default: 100, description: Items per page}
    order: {type: string, enum: [up, down], description: How to sort.}
    ratio: {type: number}
    token: {type: string, description: The token}
    tags: {type: array, items: {type: string}, default: []}
    login:
      type: object
      required: [user]
      additionalProperties: false
      properties:
        user: {type: string, description: Who logs in}
        password: {type: string}

# A comment.
grants: {}
"#;

    #[test]
    fn a_spec_that_says_what_the_type_says_has_no_differences() {
        let (differences, _) = compared(SPEC, crate::schema::config_schema::<Config>(), "spec.yaml");
        assert_eq!(differences, "");
    }

    #[test]
    fn differences_are_named_and_removed_by_rewriting() {
        let old = SPEC
            .replace("maximum: 1000, ", "")
            .replace("enum: [up, down]", "enum: [up]")
            .replace("    ratio: {type: number}\n", "");
        let schema = crate::schema::config_schema::<Config>();
        let (differences, updated) = compared(&old, schema.clone(), "spec.yaml");
        for line in [
            r#"  configSchema.properties.order.enum: the spec has ["up"], the type ["up","down"]"#,
            "  configSchema.properties.page_size.maximum: the spec has nothing, the type 1000",
            r#"  configSchema.properties.ratio: the spec has nothing, the type {"type":"number"}"#,
        ] {
            assert!(differences.lines().any(|found| found == line), "{differences}");
        }
        assert_eq!(differences.lines().count(), 3, "{differences}");
        assert_eq!(compared(&updated, schema, "spec.yaml").0, "", "{updated}");
        assert!(updated.starts_with("name: a.b\nsecrets: [/token, /login/password]\nconfigSchema:\n"), "{updated}");
        assert!(updated.ends_with("grants: {}\n"), "{updated}");
    }
}
