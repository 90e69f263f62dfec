//! What a step's `connection` stands for, and what the options beside it change. No I/O.

use std::path::Path;

use serde_json::{Map, Value};

use crate::connections::{Connections, FILE};
use crate::error::Report;
use crate::params::Environment;
use crate::spec::Spec;
use crate::warning::Warning;

/// The family whose connections are folders.
const FILES: &str = "filesystem";

/// The field of such a connection that names the folder.
const FOLDER: &str = "base_dir";

/// Replaces `connection: "@family.alias"` by the connection's fields.
///
/// # Errors
/// When the reference leads nowhere.
pub fn connect(
    mut config: Map<String, Value>,
    spec: &Spec,
    connections: &Connections,
    environment: &Environment,
) -> Result<(Map<String, Value>, Vec<Warning>), Report> {
    let Some(reference) =
        config.get("connection").and_then(Value::as_str).filter(|text| text.starts_with('@')).map(str::to_owned)
    else {
        return Ok((config, Vec::new()));
    };
    if is_folder(&reference, spec) {
        return below_folder(config, spec, &reference, connections, environment);
    }
    let mut fields = connections.resolve(&reference, environment)?;
    if !spec.connection_fields.is_empty() {
        fields.retain(|name, _| spec.connection_fields.contains(name));
    }
    config.insert("connection".to_owned(), Value::Object(fields));
    Ok((config, Vec::new()))
}

/// Whether the reference names a folder for a driver of files, which connects to nothing.
fn is_folder(reference: &str, spec: &Spec) -> bool {
    let family = reference.trim_start_matches('@').split('.').next();
    let own_fields = spec.connection_fields.iter().any(|field| field != FOLDER);
    family == Some(FILES) && !own_fields && spec.grants.connect.is_empty() && spec.grants.http.is_empty()
}

/// Puts the paths of a driver of files below the folder that the connection names, as Python Osiris describes it. Where
/// the file names no such family, paths begin at the base folder, as they do without a connection.
fn below_folder(
    mut config: Map<String, Value>,
    spec: &Spec,
    reference: &str,
    connections: &Connections,
    environment: &Environment,
) -> Result<(Map<String, Value>, Vec<Warning>), Report> {
    config.shift_remove("connection");
    if !connections.has_family(FILES) {
        let notice = format!("`{FILE}` has no family `{FILES}`: the paths of `{reference}` begin at the base folder");
        return Ok((config, vec![Warning::new(notice)]));
    }
    let fields = connections.resolve(reference, environment)?;
    if let Some(folder) = fields.get(FOLDER).and_then(Value::as_str) {
        let templates = spec.grants.read.iter().chain(&spec.grants.write);
        for option in templates.filter_map(|template| template.strip_prefix("{config.")?.strip_suffix('}')) {
            match config.get_mut(option) {
                Some(Value::String(path)) => *path = joined(folder, path),
                Some(Value::Array(paths)) => {
                    paths.iter_mut().for_each(|path| {
                        if let Value::String(path) = path {
                            *path = joined(folder, path);
                        }
                    });
                }
                _ => {}
            }
        }
    }
    Ok((config, Vec::new()))
}

fn joined(folder: &str, path: &str) -> String {
    Path::new(folder).join(path).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{connections, spec};
    use serde_json::json;

    fn spec(rest: &str) -> Spec {
        let head = "name: a.b\nversion: 1.0.0\nkind: extractor\ncontract: 0.1.0\ntitle: t\n";
        spec::parse(&format!("{head}{rest}"), "spec.yaml").unwrap()
    }

    fn connected(spec: &Spec, file: &str, config: Value) -> Result<(Value, usize), Report> {
        let connections = connections::parse(file, "c.yaml").unwrap();
        let config = config.as_object().unwrap().clone();
        let (config, notices) = connect(config, spec, &connections, &Environment::new())?;
        Ok((Value::Object(config), notices.len()))
    }

    #[test]
    fn a_connection_of_files_is_the_folder_that_relative_paths_begin_at() {
        let spec = spec("configSchema: {type: object}\ngrants: {read: [\"{config.path}\", \"{config.more}\"]}\n");
        let file = "connections: {filesystem: {local: {base_dir: ./data, default: true}, none: {note: x}}}";
        let config =
            |reference: &str| json!({"connection": reference, "path": "a.csv", "more": ["b.csv", "/c.csv"], "x": "y"});
        let below = json!({"path": "./data/a.csv", "more": ["./data/b.csv", "/c.csv"], "x": "y"});
        let same = json!({"path": "a.csv", "more": ["b.csv", "/c.csv"], "x": "y"});
        assert_eq!(connected(&spec, file, config("@filesystem.local")).unwrap(), (below.clone(), 0));
        assert_eq!(connected(&spec, file, config("@filesystem")).unwrap(), (below, 0));
        assert_eq!(connected(&spec, file, config("@filesystem.none")).unwrap(), (same.clone(), 0));
        // Without the family paths begin where they would without a connection, and a notice says so.
        assert_eq!(connected(&spec, "connections: {}", config("@filesystem.local")).unwrap(), (same, 1));
        assert!(connected(&spec, file, config("@filesystem.locl")).unwrap_err().message.contains("`locl`"));
    }
}
