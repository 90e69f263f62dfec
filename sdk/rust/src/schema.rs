//! What Rust's types say about data: the configSchema of a `Config`, and the columns of rows.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// The configSchema of a `Config`, as a spec has it: doc comments are descriptions, `Option`s may be left out, fields with a
/// `#[serde(default)]` have its value, and `#[schemars(…)]` adds the rest, such as `range(min = 1)`.
pub fn config_schema<C: JsonSchema>() -> Value {
    let mut schema = generated::<C>(SchemaSettings::draft2020_12().for_deserialize());
    tidy(&mut schema);
    if let Value::Object(members) = &mut schema {
        members.remove("description");
    }
    schema
}

/// The columns of a table of such rows, with their DuckDB types. Members whose type JSON does not tell, such as
/// `serde_json::Value`, are left out: the host decides their type over all rows.
pub fn columns<R: JsonSchema>() -> Vec<(String, String)> {
    let schema = generated::<R>(SchemaSettings::draft2020_12().for_serialize());
    schema.as_object().map(members).unwrap_or_default()
}

fn generated<T: JsonSchema>(settings: SchemaSettings) -> Value {
    let settings = settings.with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// Makes a generated schema what a person would write.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Object(members) => {
            optional_if_defaulted(members);
            // The name of the Rust type.
            members.remove("title");
            without_null(members);
            constants_to_enum(members);
            // The names of Rust's numbers; their bounds are `minimum` and `maximum`.
            if matches!(members.get("type").and_then(Value::as_str), Some("integer" | "number")) {
                members.remove("format");
            }
            for (name, member) in members.iter_mut() {
                match (name.as_str(), member) {
                    // Their members are names and not keywords.
                    ("properties", Value::Object(named)) => named.values_mut().for_each(tidy),
                    ("default" | "enum" | "const" | "examples", _) => {}
                    (_, member) => tidy(member),
                }
            }
        }
        _ => {}
    }
}

/// The host fills in defaults, so an option that has one is not required.
fn optional_if_defaulted(members: &mut Map<String, Value>) {
    let has_default = |name: &Value| {
        let property = name.as_str().and_then(|name| members.get("properties")?.get(name));
        property.is_some_and(|property| property.get("default").is_some())
    };
    let Some(Value::Array(required)) = members.get("required") else { return };
    let left: Vec<Value> = required.iter().filter(|name| !has_default(name)).cloned().collect();
    if left.is_empty() {
        members.remove("required");
    } else {
        members.insert("required".to_owned(), left.into());
    }
}

/// An optional field is left out instead of being null.
fn without_null(members: &mut Map<String, Value>) {
    let is_null = |value: &Value| value == "null" || *value == json!({"type": "null"}) || value.is_null();
    for key in ["type", "enum", "anyOf"] {
        let Some(Value::Array(options)) = members.get_mut(key) else { continue };
        let before = options.len();
        options.retain(|option| !is_null(option));
        if options.len() == before || options.len() > 1 || key == "enum" {
            continue;
        }
        match options.pop() {
            Some(Value::Object(only)) if key == "anyOf" => {
                members.remove(key);
                for (name, value) in only {
                    members.entry(name).or_insert(value);
                }
            }
            Some(only) => drop(members.insert(key.to_owned(), only)),
            None => {}
        }
    }
    if members.get("default").is_some_and(Value::is_null) {
        members.remove("default");
    }
}

/// Variants with doc comments are a choice of constants; a spec has an `enum`.
fn constants_to_enum(members: &mut Map<String, Value>) {
    let Some(Value::Array(options)) = members.get("oneOf") else { return };
    let values: Option<Vec<Vec<Value>>> = options
        .iter()
        .map(|option| match (option.get("const"), option.get("enum")) {
            (Some(value), _) => Some(vec![value.clone()]),
            (_, Some(Value::Array(values))) => Some(values.clone()),
            _ => None,
        })
        .collect();
    if let Some(values) = values {
        members.remove("oneOf");
        members.insert("type".to_owned(), "string".into());
        members.insert("enum".to_owned(), values.concat().into());
    }
}

/// The members of an object's schema with their DuckDB types, in the order of the Rust type.
fn members(schema: &Map<String, Value>) -> Vec<(String, String)> {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return Vec::new() };
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let mut names: Vec<&str> = required.collect();
    names.extend(properties.keys().map(String::as_str).filter(|name| !names.contains(name)).collect::<Vec<_>>());
    names.into_iter().filter_map(|name| Some((name.to_owned(), duckdb_type(properties.get(name)?)?))).collect()
}

fn duckdb_type(schema: &Value) -> Option<String> {
    let mut schema = schema.as_object()?.clone();
    without_null(&mut schema);
    constants_to_enum(&mut schema);
    let format = schema.get("format").and_then(Value::as_str).unwrap_or_default();
    let simple = match (schema.get("type")?.as_str()?, format) {
        ("boolean", _) => "BOOLEAN",
        ("integer", "int8") => "TINYINT",
        ("integer", "int16") => "SMALLINT",
        ("integer", "int32") => "INTEGER",
        ("integer", "uint8") => "UTINYINT",
        ("integer", "uint16") => "USMALLINT",
        ("integer", "uint32") => "UINTEGER",
        ("integer", "uint64" | "uint") => "UBIGINT",
        ("integer", "int128" | "uint128") => "HUGEINT",
        ("integer", _) => "BIGINT",
        ("number", "float") => "FLOAT",
        ("number", format) if format.starts_with("decimal(") => return Some(format.to_uppercase()),
        ("number", _) => "DOUBLE",
        ("string", "date") => "DATE",
        ("string", "time" | "partial-time") => "TIME",
        ("string", "timestamp" | "partial-date-time") => "TIMESTAMP",
        ("string", "date-time") => "TIMESTAMPTZ",
        ("string", "uuid") => "UUID",
        ("string", "blob") => "BLOB",
        ("string", _) => "VARCHAR",
        ("array", _) => return Some(format!("{}[]", duckdb_type(schema.get("items")?)?)),
        ("object", _) => {
            let parts = members(&schema);
            return if parts.is_empty() {
                Some(format!("MAP(VARCHAR, {})", duckdb_type(schema.get("additionalProperties")?)?))
            } else {
                let part = |(name, kind): &(String, String)| format!("{} {kind}", duckdb_text::quote_name(name));
                Some(format!("STRUCT({})", parts.iter().map(part).collect::<Vec<_>>().join(", ")))
            };
        }
        _ => return None,
    };
    Some(simple.to_owned())
}
