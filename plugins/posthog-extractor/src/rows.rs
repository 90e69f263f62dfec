//! A response's rows as records: named by the response's columns, with a separate column for each property.

use osiris_sdk::{Error, Result};
use serde_json::{Map, Value};

use crate::config::DataType;
use crate::query::Place;

/// The records of one response.
///
/// # Errors
/// `data` for a response that is not that of a query.
pub fn records(mut answer: Value) -> Result<Vec<Map<String, Value>>> {
    let told = answer.get("error").filter(|error| !error.is_null());
    if let Some(told) = told {
        return Err(Error::data(format!("PostHog could not answer the query: {told}")));
    }
    let outline = json_records::path::outline(&answer);
    let missing = |name: &str| Error::data(format!("the response to a query has no list `{name}`: it is {outline}"));
    let columns: Vec<String> = match take(&mut answer, "columns") {
        Value::Array(names) => names
            .iter()
            .map(|name| name.as_str().map(str::to_owned))
            .collect::<Option<_>>()
            .ok_or_else(|| missing("columns"))?,
        _ => return Err(missing("columns")),
    };
    let Value::Array(rows) = take(&mut answer, "results") else { return Err(missing("results")) };
    let named = |(place, row): (usize, Value)| match row {
        Value::Array(values) if values.len() == columns.len() => Ok(columns.iter().cloned().zip(values).collect()),
        Value::Array(values) => Err(Error::data(format!(
            "row {} of a response has {} values, where its columns are {}",
            place + 1,
            values.len(),
            columns.len()
        ))),
        _ => Err(Error::data(format!("row {} of a response is not a list of values", place + 1))),
    };
    rows.into_iter().enumerate().map(named).collect()
}

fn take(answer: &mut Value, name: &str) -> Value {
    answer.get_mut(name).map(Value::take).unwrap_or_default()
}

/// A row's place in the order; `None` for kinds without an order.
///
/// # Errors
/// `data` for a row without its time or id, after which no page could start.
pub fn place(kind: DataType, record: &Map<String, Value>) -> Result<Option<Place>> {
    let Some((time, id)) = kind.order() else { return Ok(None) };
    let text = |name: &str| match record.get(name) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
        other => Err(Error::data(format!(
            "a row has {} in `{name}`, by which rows are ordered, where a text was expected",
            other.map_or("nothing".to_owned(), ToString::to_string)
        ))),
    };
    Ok(Some(Place { time: text(time)?, id: text(id)? }))
}

/// Makes a column of each property. A list or object stays JSON text.
pub fn flatten(kind: DataType, mut record: Map<String, Value>) -> Map<String, Value> {
    let properties = match record.get("properties") {
        Some(Value::Object(_)) => record.remove("properties"),
        // PostHog returns properties as JSON text.
        Some(Value::String(text)) => match serde_json::from_str::<Value>(text) {
            Ok(parsed @ Value::Object(_)) => {
                record.remove("properties");
                Some(parsed)
            }
            _ => None,
        },
        Some(Value::Null) if kind != DataType::Sessions => {
            record.remove("properties");
            None
        }
        _ => None,
    };
    if let Some(Value::Object(properties)) = properties {
        for (name, value) in properties {
            record.insert(format!("{}{name}", kind.prefix()), value);
        }
    }
    as_text(record)
}

/// Converts lists and objects to JSON text.
pub fn as_text(mut record: Map<String, Value>) -> Map<String, Value> {
    for value in record.values_mut().filter(|value| value.is_object() || value.is_array()) {
        *value = Value::String(value.to_string());
    }
    record
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn rows_are_named_and_flattened() {
        let answer = json!({"columns": ["uuid", "timestamp", "properties"], "results": [
            ["u", "t", {"$os": "x", "n": {"a": [1]}}], ["v", "t", "{\"$os\": null, \"price\": 1.50}"], ["w", "t", null], ["x", "t", "none"]]});
        let records = records(answer).unwrap();
        assert_eq!(place(DataType::Events, &records[0]).unwrap().unwrap().id, "u");
        let flat: Vec<Value> = records.into_iter().map(|record| flatten(DataType::Events, record).into()).collect();
        assert_eq!(
            flat[0],
            json!({"uuid": "u", "timestamp": "t", "properties_$os": "x", "properties_n": "{\"a\":[1]}"})
        );
        assert_eq!(flat[1]["properties_price"].to_string(), "1.50");
        assert_eq!(flat[2], json!({"uuid": "w", "timestamp": "t"}));
        assert_eq!(flat[3]["properties"], "none");
    }

    #[test]
    fn an_invalid_response_is_refused() {
        for (answer, words) in [
            (json!({"results": []}), "no list `columns`: it is an object of `results`"),
            (json!({"columns": ["a"], "query_status": {}}), "no list `results`"),
            (json!({"columns": ["a"], "results": [[1, 2]]}), "has 2 values, where its columns are 1"),
            (json!({"columns": ["a"], "results": [null]}), "row 1"),
            (json!({"error": "no such table"}), "no such table"),
            (json!([]), "no list `columns`"),
        ] {
            let error = records(answer).unwrap_err();
            assert!(error.message.contains(words), "{error}");
        }
        let record = json!({"timestamp": null, "uuid": "u"});
        assert!(
            place(DataType::Events, record.as_object().unwrap()).unwrap_err().message.contains("null in `timestamp`")
        );
    }
}
