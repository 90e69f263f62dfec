//! Checks a step's config against its driver's configSchema, fills in defaults and masks secrets. No I/O.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::driver::mistakes::describe;
use crate::driver::spec::Spec;
use crate::error::{Report, Reports};
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
        self.0.iter_errors(&value).flat_map(|error| describe(&error, spec, written_as)).take(MAX_WRONG).collect()
    }
}

/// The most mistakes in one config that are reported.
const MAX_WRONG: usize = 20;

/// Checks the config of `step` and fills in the schema's defaults. Errors use the name of an option that its author used.
///
/// # Errors
/// [`Reports`] with each wrong key, what is expected there and, for an unknown key, the nearest one.
pub fn check(judge: &dyn Judge, step: &str, candidate: &Candidate<'_>) -> Result<Map<String, Value>, Reports> {
    let spec = candidate.spec;
    let filled = fill(spec, candidate.config.clone());
    let wrong = judge.wrong(&Candidate { config: &filled, ..*candidate })?;
    if wrong.is_empty() {
        return Ok(filled);
    }
    let mut reports = Reports::default();
    for Wrong { message, hint, path } in wrong {
        let report = Report::input(format!("config of step `{step}` (`{}`): {message}", spec.name));
        let general = || format!("see its options with `osiris drivers inspect {}`", spec.name);
        // What the connections file has is at the reference to it.
        let own = if path.first().is_some_and(|first| first == "connection") { &path[..1] } else { &path };
        let path = std::iter::once("config").chain(own.iter().map(String::as_str));
        reports.push(report.hint(hint.unwrap_or_else(general)).at(path));
    }
    Err(reports)
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
    /// Where it is in the config: keys as the author wrote them, and numbers of items.
    #[serde(default)]
    pub path: Vec<String>,
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
pub(super) fn points_to_a_secret(spec: &Spec, pointer: &str) -> bool {
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
    use crate::error::Place;
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
        let candidate = Candidate { spec: &spec(), config: &object(config), written_as: &BTreeMap::new() };
        check(&InPlace, "s", &candidate).map_err(|reports| reports.iter().next().unwrap().clone())
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
        let reports = check(&InPlace, "s", &candidate).unwrap_err();
        let report = reports.iter().next().unwrap();
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
    fn each_mistake_is_an_error_with_its_place() {
        let config = object(json!({"path": "x", "quotin": 1, "heder": 2, "http": {"retries": "x"}}));
        let candidate = Candidate { spec: &spec(), config: &config, written_as: &BTreeMap::new() };
        let reports = check(&InPlace, "s", &candidate).unwrap_err();
        let place = |path: &[&str]| Some(Place::Key(path.iter().map(ToString::to_string).collect(), None));
        for path in [["config", "quotin"].as_slice(), &["config", "heder"], &["config", "http", "retries"]] {
            assert!(reports.iter().any(|report| report.place == place(path)), "{path:?} {reports:?}");
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
