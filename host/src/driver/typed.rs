//! Converts texts from the environment to the types that a driver's configSchema expects. No I/O.

use serde_json::{Map, Value};

use crate::driver::spec::Spec;
use crate::pipeline::params::{STAND_IN, STAND_IN_ADDRESS};

/// Converts each option of `resolved` that the author wrote as a reference to the type that the configSchema expects: a
/// port from an environment variable is a number.
pub fn texts(spec: &Spec, wrote: &Map<String, Value>, mut resolved: Map<String, Value>) -> Map<String, Value> {
    for (name, value) in &mut resolved {
        let refers = wrote.get(name).and_then(Value::as_str).is_some_and(|text| text.contains("${"));
        let own = spec.aliases.get(name).unwrap_or(name);
        if let Some(schema) =
            spec.config_schema.pointer("/properties").and_then(|properties| properties.get(own)).filter(|_| refers)
        {
            convert(schema, value);
        }
    }
    resolved
}

/// Converts the fields of a connection to the types that its schema expects.
pub fn fields(schema: Option<&Value>, fields: &mut Map<String, Value>) {
    let properties = schema.and_then(|schema| schema.get("properties"));
    for (name, value) in fields {
        if let Some(schema) = properties.and_then(|properties| properties.get(name)) {
            convert(schema, value);
        }
    }
}

/// Converts a text to a number or boolean if the schema expects one and does not accept a text.
fn convert(schema: &Value, value: &mut Value) {
    let Some(text) = value.as_str().map(str::trim) else { return };
    let kinds: Vec<&str> = match schema.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => return,
    };
    let is_stand_in = [STAND_IN, STAND_IN_ADDRESS].contains(&text);
    if let Some(first) = schema.get("enum").and_then(|allowed| allowed.get(0)).filter(|_| is_stand_in) {
        *value = first.clone();
        return;
    }
    if kinds.contains(&"string") {
        return;
    }
    let converted = kinds.iter().find_map(|kind| match *kind {
        "integer" | "number" if is_stand_in => Some(schema.get("minimum").cloned().unwrap_or(1.into())),
        "boolean" if is_stand_in => Some(false.into()),
        "integer" => text.parse::<i64>().ok().map(Value::from),
        "number" => text
            .parse::<i64>()
            .ok()
            .map(Value::from)
            .or_else(|| text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from)),
        "boolean" => text.parse::<bool>().ok().map(Value::from),
        _ => None,
    });
    if let Some(converted) = converted {
        *value = converted;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn a_text_becomes_what_the_schema_expects_if_possible() {
        for (schema, text, expected) in [
            (json!({"type": "integer"}), "5432", json!(5432)),
            (json!({"type": "integer"}), "5432x", json!("5432x")),
            (json!({"type": ["integer", "null"]}), " 7 ", json!(7)),
            (json!({"type": "number"}), "1.5", json!(1.5)),
            (json!({"type": "boolean"}), "true", json!(true)),
            (json!({"type": "boolean"}), "yes", json!("yes")),
            (json!({"type": ["string", "integer"]}), "5", json!("5")),
            (json!({"type": "string"}), "5", json!("5")),
            (json!({}), "5", json!("5")),
        ] {
            let mut value = Value::from(text);
            convert(&schema, &mut value);
            assert_eq!(value, expected, "{schema} {text}");
        }
    }

    #[test]
    fn a_literal_text_stays_a_text() {
        let text = "name: a.b\nversion: 1.0.0\nkind: extractor\ntitle: t\naliases: {p: port}\n\
                    configSchema: {type: object, properties: {port: {type: integer}}}\n";
        let spec = crate::driver::spec::parse(text, "spec.yaml").unwrap();
        for (name, wrote, expected) in
            [("port", "${PORT}", json!(5)), ("p", "${PORT}", json!(5)), ("port", "5", json!("5"))]
        {
            let map = |value: &str| Map::from_iter([(name.to_owned(), Value::from(value))]);
            assert_eq!(texts(&spec, &map(wrote), map("5"))[name], expected);
        }
    }
}
