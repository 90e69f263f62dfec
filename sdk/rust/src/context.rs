//! The step that a driver works for: its config, and how the driver reports what it is doing.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::host::context as raw;
use crate::host::secrets;
use crate::{Error, Result};

pub use raw::{Level, Part, attempt, metric, partition, progress, step_id};

/// The step's config as the driver's own type.
///
/// # Errors
/// `config` if the type requires more than the spec's configSchema guarantees.
pub fn config<C: DeserializeOwned>() -> Result<C> {
    // Via a `Value`: if one struct is flattened into another, serde cannot read a number from the text and keep all of
    // its digits.
    serde_json::from_str(&raw::config())
        .and_then(serde_json::from_value::<C>)
        .map_err(|error| Error::config(format!("cannot read the step's config: {error}")))
}

/// The secret in a field of the config, named by its JSON pointer, such as `/connection/password`, or with dots between
/// nested fields; `None` if the step has none there. Secrets are not part of [`config`].
pub fn secret(name: &str) -> Option<String> {
    secrets::get(name).map(|secret| secret.reveal())
}

/// The secrets in the fields of the config field `place`, each by the field's name: for `headers`, whose fields the
/// user names, `Authorization`. Deeper secrets are not included; see [`restore_secrets`].
pub fn secrets_below(place: &str) -> Vec<(String, String)> {
    let flat = pointers_below(place).into_iter().filter_map(|(mut path, secret)| {
        let name = path.pop().filter(|_| path.is_empty())?;
        Some((name, secret))
    });
    flat.collect()
}

/// Inserts the secrets of the config field `place` at their original places in its value, whatever its shape.
pub fn restore_secrets(place: &str, value: &mut Value) {
    for (path, secret) in pointers_below(place) {
        put(value, &path, secret);
    }
}

/// Each secret below a field, with the names that lead to it from there.
fn pointers_below(place: &str) -> Vec<(Vec<String>, String)> {
    let place = if place.starts_with('/') { place.to_owned() } else { format!("/{}", place.replace('.', "/")) };
    let found = secrets::list(&place).into_iter().filter_map(|pointer| {
        let path = names(pointer.strip_prefix(&place).unwrap_or_default());
        Some((path, secret(&pointer)?))
    });
    found.collect()
}

/// The names in a JSON pointer (RFC 6901).
fn names(pointer: &str) -> Vec<String> {
    pointer.split('/').skip(1).map(|name| name.replace("~1", "/").replace("~0", "~")).collect()
}

fn put(value: &mut Value, path: &[String], secret: String) {
    let Some((name, rest)) = path.split_first() else {
        *value = Value::String(secret);
        return;
    };
    let place = match value {
        Value::Array(items) => name.parse::<usize>().ok().and_then(|at| items.get_mut(at)),
        Value::Object(members) => Some(members.entry(name).or_insert_with(|| Value::Object(Map::new()))),
        _ => None,
    };
    if let Some(place) = place {
        put(place, rest, secret);
    }
}

/// Rejects one row that cannot be understood or delivered: the host stores it with the reason in the step's table
/// `rejected`, which a writer's step has too. The row is an object of its columns, or a text if it cannot be parsed.
///
/// # Errors
/// `data` for more rows than the pipeline allows (`rejects`, by default none). The step fails then in any case, so
/// return the error.
pub fn reject<R: Serialize + ?Sized>(row: &R, reason: &str) -> Result<()> {
    reject_json(&serde_json::to_string(row)?, reason)
}

/// As for [`reject`], with a row that is JSON text already.
///
/// # Errors
/// As for [`reject`], and `internal` if it is not JSON.
pub fn reject_json(row: &str, reason: &str) -> Result<()> {
    Ok(raw::reject(row, reason)?)
}

/// Writes a structured line to the session's log.
pub fn log(level: Level, message: &str, fields: &[(&str, &dyn std::fmt::Display)]) {
    let fields: Vec<(String, String)> =
        fields.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect();
    raw::log(level, message, &fields);
}

/// Logs at level info.
pub fn info(message: &str, fields: &[(&str, &dyn std::fmt::Display)]) {
    log(Level::Info, message, fields);
}

/// Logs at level warn; people see the message while the pipeline runs.
pub fn warn(message: &str, fields: &[(&str, &dyn std::fmt::Display)]) {
    log(Level::Warn, message, fields);
}

/// Logs where a panic happened in the session's log, before it traps.
pub(crate) fn log_panics() {
    // A native test reports its panics itself.
    if cfg!(not(target_family = "wasm")) {
        return;
    }
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(String::new, ToString::to_string);
        let said = panic.payload_as_str().unwrap_or("no message");
        raw::log(Level::Error, &format!("the driver panicked: {said}"), &[("at".to_owned(), place)]);
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_are_restored_to_their_places() {
        let mut body = json!({"a": [{"n": 1}, null, {}], "b": {}});
        for pointer in ["/a/2/token", "/b/password", "/c/d/key", "/a/9/x", "/a/1", "/e.f/token", "/x~1y~0z"] {
            put(&mut body, &names(pointer), "s".to_owned());
        }
        assert_eq!(
            body,
            json!({"a": [{"n": 1}, "s", {"token": "s"}], "b": {"password": "s"}, "c": {"d": {"key": "s"}}, "e.f": {"token": "s"}, "x/y~z": "s"})
        );
    }
}
