//! Checks a step's config against its driver's configSchema, fills in defaults and masks secrets. No I/O.

use std::collections::BTreeMap;

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::driver::spec::Spec;
use crate::error::{Report, listed, nearest};
use crate::pipeline::connections::FILE;
use crate::secrets::{MASK, Secret, Secrets};

/// Judges configs by their driver's configSchema. A schema is an untrusted program, so the host runs it in a process
/// without access to anything.
pub trait Judge: std::fmt::Debug {
    /// The mistakes in a config.
    ///
    /// # Errors
    /// If the schema cannot be applied.
    fn wrong(&self, candidate: &Candidate<'_>) -> Result<Vec<Wrong>, Report>;
}

/// A config to judge, with its defaults filled in.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    pub spec: &'a Spec,
    pub config: &'a Map<String, Value>,
    /// The names of options that the author used, by the driver's own names.
    pub written_as: &'a BTreeMap<String, String>,
}

/// Judges in the current process: for tests and fuzzing.
#[derive(Debug)]
pub struct InPlace;

impl Judge for InPlace {
    fn wrong(&self, candidate: &Candidate<'_>) -> Result<Vec<Wrong>, Report> {
        Ok(Schema::new(candidate.spec)?.wrong(candidate))
    }
}

/// A driver's configSchema, ready to be applied.
#[derive(Debug)]
pub struct Schema(jsonschema::Validator);

impl Schema {
    /// # Errors
    /// A [`Report`] if it is not a JSON Schema.
    pub fn new(spec: &Spec) -> Result<Self, Report> {
        jsonschema::validator_for(&spec.config_schema).map(Self).map_err(|error| {
            Report::input(format!("the configSchema of `{}` is not a JSON Schema: {error}", spec.name))
        })
    }

    /// The mistakes in a config.
    pub fn wrong(&self, &Candidate { spec, config, written_as }: &Candidate<'_>) -> Vec<Wrong> {
        let value = Value::Object(config.clone());
        self.0.iter_errors(&value).take(MAX_WRONG).map(|error| describe(&error, spec, written_as)).collect()
    }
}

/// How much of an option's description a hint shows, in characters.
const MAX_DESCRIPTION: usize = 300;

/// The most mistakes in one config that are reported.
const MAX_WRONG: usize = 20;

/// Checks the config of `step` and fills in the schema's defaults. Errors use the name of an option that its author used.
///
/// # Errors
/// A [`Report`] naming each wrong key, what is expected there and, for an unknown key, the nearest one.
pub fn check(judge: &dyn Judge, step: &str, candidate: &Candidate<'_>) -> Result<Map<String, Value>, Report> {
    let spec = candidate.spec;
    let filled = fill(spec, candidate.config.clone());
    let wrong = judge.wrong(&Candidate { config: &filled, ..*candidate })?;
    if wrong.is_empty() {
        return Ok(filled);
    }
    let messages: Vec<&str> = wrong.iter().map(|wrong| wrong.message.as_str()).collect();
    let report = Report::input(format!("config of step `{step}` (`{}`): {}", spec.name, messages.join("; ")));
    let hint = wrong.iter().find_map(|wrong| wrong.hint.clone());
    let general = || format!("see its options with `osiris drivers inspect {}`", spec.name);
    Err(report.hint(hint.unwrap_or_else(general)))
}

/// Checks the fields of the connection that `reference` names, if a driver is asked about the connection only.
///
/// # Errors
/// A [`Report`] naming each wrong field and what is expected there.
pub fn check_connection(
    judge: &dyn Judge,
    spec: &Spec,
    reference: &str,
    config: &Map<String, Value>,
) -> Result<(), Report> {
    let Some(schema) = spec.config_schema.pointer("/properties/connection") else { return Ok(()) };
    let config_schema = json!({"type": "object", "properties": {"connection": schema}});
    let spec = &Spec { config_schema, ..spec.clone() };
    let wrong = judge.wrong(&Candidate { spec, config, written_as: &BTreeMap::new() })?;
    if wrong.is_empty() {
        return Ok(());
    }
    let messages: Vec<&str> = wrong.iter().map(|wrong| wrong.message.as_str()).collect();
    let general = || format!("see its fields with `osiris drivers inspect {}`, and write them in `{FILE}`", spec.name);
    let hint = wrong.iter().find_map(|wrong| wrong.hint.clone());
    Err(Report::input(format!("connection `{reference}` (`{}`): {}", spec.name, messages.join("; ")))
        .hint(hint.unwrap_or_else(general)))
}

/// The config with the schema's defaults, unchecked: for calls that only need the connection.
pub fn fill(spec: &Spec, config: Map<String, Value>) -> Map<String, Value> {
    let mut value = Value::Object(config);
    fill_defaults(&spec.config_schema, &mut value);
    match value {
        Value::Object(filled) => filled,
        _ => Map::new(),
    }
}

/// One mistake in a config, and its remedy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wrong {
    pub message: String,
    pub hint: Option<String>,
}

fn describe(error: &ValidationError<'_>, spec: &Spec, written_as: &BTreeMap<String, String>) -> Wrong {
    let secret = points_to_a_secret(spec, error.instance_path().as_str());
    let place = written_place(error.instance_path().as_str(), written_as);
    let given = &**error.instance();
    let shown = |value| if secret { "something else".to_owned() } else { shown(value) };
    let only = |message: String| Wrong { message, hint: None };
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => unknown_keys(error, spec, unexpected),
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            let inside = if place.is_empty() { String::new() } else { format!(" in `{place}`") };
            let pointer = error.instance_path().as_str();
            let what = description(spec, pointer, name).map_or_else(String::new, |what| format!(" ({what})"));
            let object = if pointer.starts_with("/connection") { "connection" } else { "step's config" };
            Wrong {
                message: format!("`{name}` is missing{inside}"),
                hint: Some(format!("add `{name}:` to the {object}{what}")),
            }
        }
        ValidationErrorKind::Type { kind } => {
            let message = format!("`{place}` must be {}, but is {}", type_words(kind), shown(given));
            let alias = given.as_str().filter(|text| place == "connection" && is_alias(text));
            Wrong { message, hint: alias.map(|alias| format!("did you mean `connection: \"@{alias}\"`?")) }
        }
        ValidationErrorKind::OneOfNotValid { context } | ValidationErrorKind::AnyOf { context } => {
            alternatives(error, context, spec, written_as)
        }
        ValidationErrorKind::Enum { options } => {
            let options: Vec<&Value> = options.as_array().into_iter().flatten().collect();
            let words: Vec<String> = options.iter().map(|option| plain(option)).collect();
            let near =
                nearest(&plain(given), words.iter().map(String::as_str)).map(|near| format!("did you mean `{near}`?"));
            let near = near.filter(|_| !secret);
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

/// A value that fits none of several schemas: what is wrong by the one that is meant, or the types of all.
fn alternatives(
    error: &ValidationError<'_>,
    branches: &[Vec<ValidationError<'static>>],
    spec: &Spec,
    written_as: &BTreeMap<String, String>,
) -> Wrong {
    let here = error.instance_path().as_str();
    let other_type = |error: &ValidationError<'_>| match error.kind() {
        ValidationErrorKind::Type { kind } if error.instance_path().as_str() == here => Some(type_words(kind)),
        _ => None,
    };
    let meant: Vec<&ValidationError<'_>> = branches
        .iter()
        .filter(|errors| errors.iter().all(|e| other_type(e).is_none()))
        .filter_map(|e| e.first())
        .collect();
    if let Some(first) = meant.first() {
        return describe(first, spec, written_as);
    }
    let mut types: Vec<String> = branches.iter().flatten().filter_map(other_type).collect();
    types.dedup();
    let given = if points_to_a_secret(spec, here) { "something else".to_owned() } else { shown(error.instance()) };
    let place = written_place(here, written_as);
    Wrong { message: format!("`{place}` must be {}, but is {given}", types.join(" or ")), hint: None }
}

/// Whether a text is the name of a connection without its `@`: `family.alias`.
fn is_alias(text: &str) -> bool {
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
    text.split_once('.').is_some_and(|(family, alias)| is_name(family) && is_name(alias))
}

/// The spec's description of the option `name` of the object at `pointer`, shortened.
fn description(spec: &Spec, pointer: &str, name: &str) -> Option<String> {
    let object = pointer.replace('/', "/properties/");
    let text = spec.config_schema.pointer(&format!("{object}/properties/{name}/description"))?.as_str()?;
    Some(match text.char_indices().nth(MAX_DESCRIPTION) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    })
}

fn unknown_keys(error: &ValidationError<'_>, spec: &Spec, unexpected: &[String]) -> Wrong {
    let schema = &spec.config_schema;
    let path = error.schema_path().as_str();
    let object = path.rsplit_once('/').and_then(|(parent, _)| schema.pointer(parent)).unwrap_or(schema);
    let properties = object.get("properties").and_then(Value::as_object);
    let known = || properties.into_iter().flat_map(Map::keys).map(String::as_str);
    let names = listed(unexpected.iter().map(String::as_str));
    let others = spec.aliases.keys().chain(spec.ignored.keys()).filter(|_| error.instance_path().as_str().is_empty());
    let near = |name| nearest(name, known().chain(others.clone().map(String::as_str)));
    let hint = unexpected.iter().find_map(|name| near(name)).map(|near| format!("did you mean `{near}`?"));
    let place = place(error.instance_path().as_str());
    let inside = if place.is_empty() { String::new() } else { format!(" in `{place}`") };
    Wrong { message: format!("unknown key {names}{inside}; known: {}", listed(known())), hint }
}

/// The place in the config, with the option's name as its author wrote it.
fn written_place(pointer: &str, written_as: &BTreeMap<String, String>) -> String {
    let place = place(pointer);
    let (option, rest) = place.split_once('.').map_or((place.as_str(), None), |(option, rest)| (option, Some(rest)));
    match (written_as.get(option), rest) {
        (Some(other), Some(rest)) => format!("{other}.{rest}"),
        (Some(other), None) => other.clone(),
        (None, _) => place,
    }
}

/// `/columns/0` in a form for people: `columns.0`.
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

/// A value's type and, if it is short and cannot contain a secret, the value.
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

/// Inserts each property's `default` if the config lacks the property, including in nested objects.
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

/// Words in the names of keys whose values are treated as secrets, wherever they appear.
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

/// Whether a key's name suggests that its value is a secret.
pub fn sounds_secret(key: &str) -> bool {
    let key = key.to_lowercase().replace('-', "_");
    // The address from which a token is obtained is not a secret.
    !key.ends_with("_url") && SECRET_WORDS.iter().any(|word| key.contains(word))
}

/// Whether the JSON pointer leads to a secret or into one.
fn points_to_a_secret(spec: &Spec, pointer: &str) -> bool {
    let below = |secret: &String| {
        pointer.strip_prefix(secret.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    spec.secrets.iter().any(below) || pointer.split('/').any(sounds_secret)
}

/// A config with its secrets separated.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ConfigParts {
    /// The config without its secrets, for the driver.
    pub open: Map<String, Value>,
    /// The config with a mask in place of each secret, for people and files.
    pub masked: Map<String, Value>,
    pub secrets: Secrets,
}

/// A place as a JSON pointer (RFC 6901).
fn pointer(path: &[String]) -> String {
    path.iter().map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1"))).collect()
}

/// Separates a config's secrets: those that the spec points to, and those whose names suggest it.
pub fn divide(spec: &Spec, config: &Map<String, Value>) -> ConfigParts {
    let mut divider = Divider { declared: &spec.secrets, secrets: Secrets::new() };
    let (open, masked) = divider.fields(config, &mut Vec::new());
    ConfigParts { open, masked, secrets: divider.secrets }
}

struct Divider<'a> {
    /// The fields that the spec points to.
    declared: &'a [String],
    secrets: Secrets,
}

impl Divider<'_> {
    fn fields(
        &mut self,
        fields: &Map<String, Value>,
        path: &mut Vec<String>,
    ) -> (Map<String, Value>, Map<String, Value>) {
        let (mut open, mut masked) = (Map::new(), Map::new());
        for (key, field) in fields {
            path.push(key.clone());
            let (shown, hidden) = self.value(field, path);
            path.pop();
            open.extend(shown.map(|shown| (key.clone(), shown)));
            masked.insert(key.clone(), hidden);
        }
        (open, masked)
    }

    /// The value for the driver, if it gets one, and the value for people.
    fn value(&mut self, value: &Value, path: &mut Vec<String>) -> (Option<Value>, Value) {
        if self.is_secret(value, path) {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            self.secrets.insert(pointer(path), Secret::new(text));
            return (None, Value::from(MASK));
        }
        match value {
            Value::Object(fields) => {
                let (open, masked) = self.fields(fields, path);
                (Some(Value::Object(open)), Value::Object(masked))
            }
            Value::Array(items) => {
                let (mut open, mut masked) = (Vec::new(), Vec::new());
                for (place, item) in items.iter().enumerate() {
                    path.push(place.to_string());
                    let (shown, hidden) = self.value(item, path);
                    path.pop();
                    // A list keeps its length, so that positions in it do not shift.
                    open.push(shown.unwrap_or(Value::Null));
                    masked.push(hidden);
                }
                (Some(Value::Array(open)), Value::Array(masked))
            }
            other => (Some(other.clone()), other.clone()),
        }
    }

    fn is_secret(&self, value: &Value, path: &[String]) -> bool {
        let named = || value.is_string() && path.last().is_some_and(|key| sounds_secret(key));
        !value.is_null() && value.as_str() != Some("") && (self.declared.contains(&pointer(path)) || named())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn spec() -> Spec {
        crate::driver::spec::parse(
            "name: a.b\nversion: 1.0.0\nkind: processor\ntitle: t\nsecrets: [/key]\n\
             configSchema:\n  type: object\n  required: [path]\n  additionalProperties: false\n  properties:\n    \
             path: {type: string, description: Which file}\n    header: {type: boolean, default: true}\n    key: {type: string}\n    \
             quoting: {enum: [minimal, all], default: minimal}\n    connection: {type: object}\n    \
             columns: {type: object, additionalProperties: {oneOf: [{type: string, enum: [hash, drop]}, {type: object, properties: {method: {enum: [hash, drop]}}}]}}\n    http: {type: object, properties: {api_token: {type: string}, retries: {type: integer, default: 3}}}\n",
            "spec.yaml",
        )
        .unwrap()
    }

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn checked(config: Value) -> Result<Map<String, Value>, Report> {
        check(&InPlace, "s", &Candidate { spec: &spec(), config: &object(config), written_as: &BTreeMap::new() })
    }

    #[test]
    fn defaults_are_filled_in_at_every_depth() {
        let filled = checked(json!({"path": "x", "http": {}})).unwrap();
        assert_eq!(
            Value::Object(filled),
            json!({"path": "x", "http": {"retries": 3}, "header": true, "quoting": "minimal"})
        );
    }

    #[test]
    fn errors_name_the_key_and_the_remedy() {
        let table = [
            (json!({"path": "x", "heder": true}), "unknown key `heder`", "did you mean `header`?"),
            (json!({}), "`path` is missing", "add `path:` to the step's config (Which file)"),
            (json!({"path": 5}), "`path` must be a string, but is 5", "osiris drivers inspect a.b"),
            (json!({"path": "x", "quoting": "al"}), "allowed: `minimal`, `all`", "did you mean `all`?"),
            (json!({"path": "x", "http": {"retries": "x"}}), "`http.retries` must be an integer", "inspect"),
            (
                json!({"path": "x", "columns": {"a": "hsh"}}),
                "`columns.a` is the text \"hsh\"; allowed: `hash`",
                "did you mean `hash`?",
            ),
            (
                json!({"path": "x", "columns": {"a": {"method": 5}}}),
                "`columns.a.method` is 5; allowed: `hash`",
                "inspect",
            ),
            (
                json!({"path": "x", "columns": {"a": 5}}),
                "`columns.a` must be a string or an object, but is 5",
                "inspect",
            ),
            (
                json!({"path": "x", "connection": "pg.wh"}),
                "`connection` must be an object",
                "did you mean `connection: \"@pg.wh\"`?",
            ),
            (json!({"path": "x", "connection": "p g"}), "`connection` must be an object", "inspect"),
        ];
        for (config, message, hint) in table {
            let report = checked(config).unwrap_err();
            assert!(report.message.contains(message), "{}", report.message);
            assert!(report.hint.as_deref().unwrap_or_default().contains(hint), "{:?}", report.hint);
        }
    }

    #[test]
    fn errors_use_the_name_of_an_option_that_its_author_used() {
        let written_as = BTreeMap::from([("quoting".to_owned(), "quote_style".to_owned())]);
        let config = object(json!({"path": "x", "quoting": 5}));
        let candidate = Candidate { spec: &spec(), config: &config, written_as: &written_as };
        let report = check(&InPlace, "s", &candidate).unwrap_err();
        assert!(report.message.contains("`quote_style` is 5; allowed"), "{}", report.message);
    }

    #[test]
    fn a_wrong_config_does_not_show_a_secret() {
        for config in [
            json!({"path": "x", "key": 4711}),
            json!({"path": "x", "key": ["4711"]}),
            json!({"path": "x", "http": {"api_token": 4711}}),
        ] {
            let report = checked(config).unwrap_err();
            assert!(report.message.contains("must be a string, but is something else"), "{}", report.message);
            assert!(!format!("{report:?}").contains("4711"));
        }
    }

    #[test]
    fn secrets_are_separated_by_pointer_and_by_name() {
        let config = json!({"path": "x", "key": "k1", "http": {"api_token": "t1", "retries": 1}, "headers": [{"Authorization": "h1"}, {}]});
        let divided = divide(&spec(), &object(config));
        assert_eq!(Value::Object(divided.open), json!({"path": "x", "http": {"retries": 1}, "headers": [{}, {}]}));
        assert_eq!(
            Value::Object(divided.masked),
            json!({"path": "x", "key": MASK, "http": {"api_token": MASK, "retries": 1}, "headers": [{"Authorization": MASK}, {}]})
        );
        let secrets: Vec<(&str, &str)> =
            divided.secrets.iter().map(|(name, secret)| (name.as_str(), secret.reveal())).collect();
        assert_eq!(secrets, [("/headers/0/Authorization", "h1"), ("/http/api_token", "t1"), ("/key", "k1")]);
        assert!(!format!("{:?}", divided.secrets).contains("k1"));
    }

    #[test]
    fn dots_slashes_and_tildes_in_names_are_unambiguous() {
        let body = json!({"a.token": "1", "a": {"token": "2"}, "x/y~z_token": "3"});
        let divided = divide(&spec(), &object(json!({"body": body})));
        let names: Vec<&String> = divided.secrets.keys().collect();
        assert_eq!(names, ["/body/a.token", "/body/a/token", "/body/x~1y~0z_token"]);
    }
}
