//! Describes what a driver's configSchema finds wrong with a config, for people: without values of secrets. No I/O.

use std::collections::BTreeMap;

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind};
use serde_json::{Map, Value};

use super::config::{Wrong, points_to_a_secret};
use crate::driver::spec::Spec;
use crate::error::{listed, nearest};

/// How much of an option's description a hint shows, in characters.
const MAX_DESCRIPTION: usize = 300;

/// What is wrong by one error of a schema, each with its place.
pub(super) fn describe(error: &ValidationError<'_>, spec: &Spec, written_as: &BTreeMap<String, String>) -> Vec<Wrong> {
    let secret = points_to_a_secret(spec, error.instance_path().as_str());
    let place = written_place(error.instance_path().as_str(), written_as);
    let given = &**error.instance();
    let shown = |value| if secret { "something else".to_owned() } else { shown(value) };
    let path = || written_path(error.instance_path().as_str(), written_as);
    let only = |message: String| vec![Wrong { message, hint: None, path: path() }];
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            unexpected.iter().map(|key| unknown_key(error, spec, key, path())).collect()
        }
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            let inside = if place.is_empty() { String::new() } else { format!(" in `{place}`") };
            let pointer = error.instance_path().as_str();
            let what = description(spec, pointer, name).map_or_else(String::new, |what| format!(" ({what})"));
            let object = if pointer.starts_with("/connection") { "connection" } else { "step's config" };
            vec![Wrong {
                message: format!("`{name}` is missing{inside}"),
                hint: Some(format!("add `{name}:` to the {object}{what}")),
                path: path(),
            }]
        }
        ValidationErrorKind::Type { kind } => {
            let message = format!("`{place}` must be {}, but is {}", type_words(kind), shown(given));
            let alias = given.as_str().filter(|text| place == "connection" && is_alias(text));
            let hint = alias.map(|alias| format!("did you mean `connection: \"@{alias}\"`?"));
            vec![Wrong { message, hint, path: path() }]
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
            vec![Wrong {
                message: format!("`{place}` is {}; allowed: {known}", shown(given)),
                hint: near,
                path: path(),
            }]
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
) -> Vec<Wrong> {
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
    let message = format!("`{place}` must be {}, but is {given}", types.join(" or "));
    vec![Wrong { message, hint: None, path: written_path(here, written_as) }]
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

fn unknown_key(error: &ValidationError<'_>, spec: &Spec, key: &str, mut path: Vec<String>) -> Wrong {
    let schema = &spec.config_schema;
    let pointer = error.schema_path().as_str();
    let object = pointer.rsplit_once('/').and_then(|(parent, _)| schema.pointer(parent)).unwrap_or(schema);
    let properties = object.get("properties").and_then(Value::as_object);
    let known = || properties.into_iter().flat_map(Map::keys).map(String::as_str);
    let others = spec.aliases.keys().chain(spec.ignored.keys()).filter(|_| error.instance_path().as_str().is_empty());
    let near = nearest(key, known().chain(others.map(String::as_str)));
    let place = place(error.instance_path().as_str());
    let inside = if place.is_empty() { String::new() } else { format!(" in `{place}`") };
    path.push(key.to_owned());
    let message = format!("unknown key `{key}`{inside}; known: {}", listed(known()));
    Wrong { message, hint: near.map(|near| format!("did you mean `{near}`?")), path }
}

/// The keys and numbers of a place in the config, with the option's name as its author wrote it.
fn written_path(pointer: &str, written_as: &BTreeMap<String, String>) -> Vec<String> {
    let part = |part: &str| part.replace("~1", "/").replace("~0", "~");
    let mut path: Vec<String> = pointer.split('/').skip(1).map(part).collect();
    if let Some(written) = path.first().and_then(|option| written_as.get(option)) {
        path[0].clone_from(written);
    }
    path
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
