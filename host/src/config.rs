//! A step's config against its driver's configSchema: checked, filled with defaults, masked. No I/O.

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind};
use serde_json::{Map, Value};

use crate::error::{Report, listed, nearest};
use crate::spec::{MASK, Spec};

/// Checks `config` of `step` and fills in the schema's defaults.
///
/// # Errors
/// A [`Report`] naming each wrong key, what is expected there and, for an unknown key, the nearest.
pub fn check(spec: &Spec, step: &str, config: &Map<String, Value>) -> Result<Map<String, Value>, Report> {
    let mut value = Value::Object(config.clone());
    fill_defaults(&spec.config_schema, &mut value);
    let validator = jsonschema::validator_for(&spec.config_schema)
        .map_err(|error| Report::input(format!("the configSchema of `{}` is no JSON Schema: {error}", spec.name)))?;
    let wrong: Vec<Wrong> = validator.iter_errors(&value).map(|error| describe(&error, &spec.config_schema)).collect();
    if !wrong.is_empty() {
        let said: Vec<&str> = wrong.iter().map(|wrong| wrong.message.as_str()).collect();
        let report = Report::input(format!("config of step `{step}` (`{}`): {}", spec.name, said.join("; ")));
        let hint = wrong.iter().find_map(|wrong| wrong.hint.clone());
        let general = || format!("see its options with `osiris drivers inspect {}`", spec.name);
        return Err(report.hint(hint.unwrap_or_else(general)));
    }
    match value {
        Value::Object(filled) => Ok(filled),
        _ => Ok(config.clone()),
    }
}

struct Wrong {
    message: String,
    hint: Option<String>,
}

fn describe(error: &ValidationError<'_>, schema: &Value) -> Wrong {
    let place = place(error.instance_path().as_str());
    let given = &**error.instance();
    let only = |message: String| Wrong { message, hint: None };
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => unknown_keys(error, schema, unexpected),
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            let inside = if place.is_empty() { String::new() } else { format!(" in `{place}`") };
            Wrong {
                message: format!("`{name}` is missing{inside}"),
                hint: Some(format!("add `{name}:` to the step's config")),
            }
        }
        ValidationErrorKind::Type { kind } => {
            only(format!("`{place}` must be {}, but is {}", type_words(kind), shown(given)))
        }
        ValidationErrorKind::Enum { options } => {
            let options: Vec<&Value> = options.as_array().into_iter().flatten().collect();
            let words: Vec<String> = options.iter().map(|option| plain(option)).collect();
            let near =
                nearest(&plain(given), words.iter().map(String::as_str)).map(|near| format!("did you mean `{near}`?"));
            let known = listed(words.iter().map(String::as_str));
            Wrong { message: format!("`{place}` is {}; allowed: {known}", shown(given)), hint: near }
        }
        _ => only(format!(
            "{}{}",
            if place.is_empty() { String::new() } else { format!("`{place}`: ") },
            error.masked_with("the value")
        )),
    }
}

fn unknown_keys(error: &ValidationError<'_>, schema: &Value, unexpected: &[String]) -> Wrong {
    let path = error.schema_path().as_str();
    let object = path.rsplit_once('/').and_then(|(parent, _)| schema.pointer(parent)).unwrap_or(schema);
    let properties = object.get("properties").and_then(Value::as_object);
    let known = || properties.into_iter().flat_map(Map::keys).map(String::as_str);
    let names = listed(unexpected.iter().map(String::as_str));
    let hint = unexpected.iter().find_map(|name| nearest(name, known())).map(|near| format!("did you mean `{near}`?"));
    let place = place(error.instance_path().as_str());
    let inside = if place.is_empty() { String::new() } else { format!(" in `{place}`") };
    Wrong { message: format!("unknown key {names}{inside}; known: {}", listed(known())), hint }
}

/// `/columns/0` as a person writes it: `columns.0`.
fn place(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".")
}

fn type_words(kind: &TypeKind) -> String {
    let word = |name: String| match name.as_str() {
        "array" => "a list".to_owned(),
        "object" => "an object".to_owned(),
        "integer" => "an integer".to_owned(),
        "boolean" => "`true` or `false`".to_owned(),
        other => format!("a {other}"),
    };
    match kind {
        TypeKind::Single(one) => word(one.to_string()),
        TypeKind::Multiple(many) => many.iter().map(|one| word(one.to_string())).collect::<Vec<_>>().join(" or "),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A value's type and, where it is short and can hold no secret, the value.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "empty".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) if text.len() <= 40 => format!("the text {value}"),
        Value::String(_) => "a long text".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// Puts each property's `default` where the config lacks it, down through nested objects.
fn fill_defaults(schema: &Value, value: &mut Value) {
    let (Some(properties), Some(fields)) = (schema.get("properties").and_then(Value::as_object), value.as_object_mut())
    else {
        return;
    };
    for (name, property) in properties {
        if let (None, Some(default)) = (fields.get(name), property.get("default")) {
            fields.insert(name.clone(), default.clone());
        }
        if let Some(field) = fields.get_mut(name) {
            fill_defaults(property, field);
        }
    }
}

/// Keys whose values are taken for secrets wherever they stand.
const SECRET_WORDS: [&str; 10] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "api_key",
    "apikey",
    "private_key",
    "credential",
    "authorization",
];

/// `config` with its secrets masked, and the secret values that were in it.
pub fn mask(spec: &Spec, config: &Map<String, Value>) -> (Map<String, Value>, Vec<String>) {
    let mut masked = Value::Object(config.clone());
    let mut found = Vec::new();
    for pointer in &spec.secrets {
        if let Some(value) = masked.pointer_mut(pointer) {
            hide(value, &mut found);
        }
    }
    hide_by_name(&mut masked, &mut found);
    let masked = match masked {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    found.sort();
    found.dedup();
    (masked, found)
}

fn hide_by_name(value: &mut Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                let key = key.to_lowercase().replace('-', "_");
                if field.is_string() && SECRET_WORDS.iter().any(|word| key.contains(word)) {
                    hide(field, found);
                } else {
                    hide_by_name(field, found);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| hide_by_name(item, found)),
        _ => {}
    }
}

fn hide(value: &mut Value, found: &mut Vec<String>) {
    let text = match &*value {
        Value::Null => return,
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text != MASK && !text.is_empty() {
        found.push(text);
    }
    *value = Value::from(MASK);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn spec() -> Spec {
        crate::spec::parse(
            "name: a.b\nversion: 1.0.0\nkind: processor\ncontract: 0.1.0\ntitle: t\nsecrets: [/key]\n\
             configSchema:\n  type: object\n  required: [path]\n  additionalProperties: false\n  properties:\n    \
             path: {type: string}\n    header: {type: boolean, default: true}\n    key: {type: string}\n    \
             quoting: {enum: [minimal, all], default: minimal}\n    http: {type: object, properties: {api_token: {type: string}, retries: {type: integer, default: 3}}}\n",
            "spec.yaml",
        )
        .unwrap()
    }

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn defaults_are_filled_in_at_every_depth() {
        let filled = check(&spec(), "s", &object(json!({"path": "x", "http": {}}))).unwrap();
        assert_eq!(
            Value::Object(filled),
            json!({"path": "x", "http": {"retries": 3}, "header": true, "quoting": "minimal"})
        );
    }

    #[test]
    fn wrong_configs_name_key_and_cure() {
        let table = [
            (json!({"path": "x", "heder": true}), "unknown key `heder`", "did you mean `header`?"),
            (json!({}), "`path` is missing", "add `path:`"),
            (json!({"path": 5}), "`path` must be a string, but is 5", "osiris drivers inspect a.b"),
            (json!({"path": "x", "quoting": "al"}), "allowed: `minimal`, `all`", "did you mean `all`?"),
            (json!({"path": "x", "http": {"retries": "x"}}), "`http.retries` must be an integer", "inspect"),
        ];
        for (config, message, hint) in table {
            let report = check(&spec(), "s", &object(config)).unwrap_err();
            assert!(report.message.contains(message), "{}", report.message);
            assert!(report.hint.as_deref().unwrap_or_default().contains(hint), "{:?}", report.hint);
        }
    }

    #[test]
    fn secrets_are_masked_by_pointer_and_by_name() {
        let (masked, found) = mask(&spec(), &object(json!({"path": "x", "key": "k1", "http": {"api_token": "t1"}})));
        assert_eq!(Value::Object(masked), json!({"path": "x", "key": MASK, "http": {"api_token": MASK}}));
        assert_eq!(found, ["k1", "t1"]);
    }
}
