//! Resolves a step's `connection`, and the options beside it that change it. No I/O.

use std::path::Path;

use serde_json::{Map, Value};

use crate::driver::spec::Spec;
use crate::driver::typed;
use crate::error::Report;
use crate::grants::address_template::AddressTemplate;
use crate::grants::endpoint::HttpScope;
use crate::grants::files::{FileTemplate, ReadTemplate};
use crate::pipeline::connections::{Connections, FILE};
use crate::pipeline::params::Environment;
use crate::warning::Warning;

/// The family whose connections are folders.
const FILES: &str = "filesystem";

/// The field of such a connection that names the folder.
const FOLDER: &str = "base_dir";

/// Replaces `connection: "@family.alias"` by the connection's fields.
///
/// # Errors
/// If the reference cannot be resolved, or an option beside it would lead to another place.
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
    typed::fields(properties(&spec.config_schema).and_then(|options| options.get("connection")), &mut fields);
    if !spec.connection_fields.is_empty() {
        fields.retain(|name, _| spec.connection_fields.contains(name));
    }
    take_place(&mut config, &mut fields, spec, &reference)?;
    config.insert("connection".to_owned(), Value::Object(fields));
    Ok((config, Vec::new()))
}

/// The options of a driver that its connection can also set.
fn shared(spec: &Spec) -> impl Iterator<Item = &String> {
    let options = properties(&spec.config_schema);
    let fields = options.and_then(|options| properties(options.get("connection")?));
    let listed = |name: &&String| spec.connection_fields.is_empty() || spec.connection_fields.contains(name);
    fields
        .into_iter()
        .flat_map(Map::keys)
        .filter(move |name| options.is_some_and(|options| options.contains_key(*name)))
        .filter(listed)
}

fn properties(schema: &Value) -> Option<&Map<String, Value>> {
    schema.get("properties")?.as_object()
}

/// Replaces the connection's fields by the options beside it. Only the connection decides where the step connects and
/// whom it trusts there, because its login is meant for that place alone.
///
/// An object, such as `headers`, does not replace the connection's: the driver sends both.
fn take_place(
    config: &mut Map<String, Value>,
    fields: &mut Map<String, Value>,
    spec: &Spec,
    reference: &str,
) -> Result<(), Report> {
    for name in shared(spec) {
        let Some(value) = config.get(name).filter(|value| !value.is_object()) else { continue };
        match fields.get(name) {
            Some(field) if field != value && leads(spec, name) => {
                if same_server(field, value) {
                    continue;
                }
                return Err(Report::input(format!(
                    "`{reference}` and the option `{name}` beside it both say where to connect, and differ"
                ))
                .hint(format!("leave `{name}` out, or write it into a connection of its own in `{FILE}`")));
            }
            _ => {
                let value = value.clone();
                config.shift_remove(name);
                fields.insert(name.clone(), value);
            }
        }
    }
    Ok(())
}

/// Whether a connection's field is part of what its driver requests to reach or to trust.
fn leads(spec: &Spec, name: &str) -> bool {
    let addresses = spec.grants.addresses().into_iter().map(AddressTemplate::template);
    addresses.chain(&spec.grants.roots).any(|wanted| wanted.names(&["connection", name]))
}

/// Whether both are addresses on one server: a different path there is not a different place.
fn same_server(field: &Value, value: &Value) -> bool {
    let scope = |value: &Value| HttpScope::parse(&format!("GET {}", value.as_str()?)).ok();
    scope(field).zip(scope(value)).is_some_and(|(one, other)| one.tls == other.tls && one.endpoint == other.endpoint)
}

/// Removes the defaults of options that the connection sets from the shown `config`.
pub fn hide_defaults(shown: &mut Map<String, Value>, spec: &Spec, written: &Map<String, Value>) {
    if written.get("connection").is_some_and(Value::is_object) {
        for name in shared(spec).filter(|name| !written.contains_key(*name)) {
            shown.shift_remove(name);
        }
    }
}

/// Whether the reference names a folder for a driver of files, which connects to nothing.
pub fn is_folder(reference: &str, spec: &Spec) -> bool {
    let family = reference.trim_start_matches('@').split('.').next();
    let own_fields = spec.connection_fields.iter().any(|field| field != FOLDER);
    family == Some(FILES) && !own_fields && spec.grants.connect.is_empty() && spec.grants.http.is_empty()
}

/// Places the paths of a file driver below the folder that the connection names, as Python Osiris documents it. If the
/// file does not define such a family, paths start at the base folder, as they do without a connection.
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
    for (option, value) in &mut config {
        place_below(&fields, spec, option, value);
    }
    Ok((config, Vec::new()))
}

/// Places the paths in an option below the folder of a connection with these `fields`, if the option names files.
pub fn place_below(fields: &Map<String, Value>, spec: &Spec, option: &str, value: &mut Value) {
    let Some(folder) = fields.get(FOLDER).and_then(Value::as_str) else { return };
    let grants = &spec.grants;
    let files = grants.read_matching.iter().chain(&grants.write).chain(grants.databases.files());
    let mut templates = grants.read.iter().map(ReadTemplate::template).chain(files.map(FileTemplate::template));
    if !templates.any(|template| template.option() == Some(option)) {
        return;
    }
    let paths = match value {
        Value::Array(paths) => paths.as_mut_slice(),
        path => std::slice::from_mut(path),
    };
    for path in paths {
        if let Value::String(path) = path {
            *path = joined(folder, path);
        }
    }
}

fn joined(folder: &str, path: &str) -> String {
    Path::new(folder).join(path).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::driver::spec;
    use crate::pipeline::connections;
    use serde_json::json;

    fn spec(rest: &str) -> Spec {
        let head = "name: a.b\nversion: 1.0.0\nkind: extractor\ntitle: t\n";
        spec::parse(&format!("{head}{rest}"), "spec.yaml").unwrap()
    }

    fn connected(spec: &Spec, file: &str, config: Value) -> Result<(Value, usize), Report> {
        let connections = connections::parse(file, "c.yaml").unwrap();
        let config = config.as_object().unwrap().clone();
        let (config, notices) = connect(config, spec, &connections, &Environment::new())?;
        Ok((Value::Object(config), notices.len()))
    }

    const DATABASE: &str = "secrets: [/connection/password, /password]\nconnectionFields: [host, port, user, sslmode, headers]\n\
        grants: {connect: [\"{connection.host}:{connection.port}\"]}\nconfigSchema:\n  type: object\n  properties: \
        {connection: {type: object, properties: {host: {}, port: {}, user: {}, sslmode: {}, headers: {}}}, \
        host: {}, port: {}, user: {}, sslmode: {}, headers: {}, table: {}}\n";
    const FILE_TEXT: &str =
        "connections: {pg: {shop: {host: a, user: u, other: x}, whole: {host: a, port: 1, user: u}}}";

    #[test]
    fn options_beside_a_connection_replace_its_fields() {
        let spec = spec(DATABASE);
        for (beside, expected) in [
            (json!({}), json!({"connection": {"host": "a", "user": "u"}})),
            (
                json!({"sslmode": "verify-full"}),
                json!({"connection": {"host": "a", "user": "u", "sslmode": "verify-full"}}),
            ),
            (json!({"user": "v", "table": "t"}), json!({"connection": {"host": "a", "user": "v"}, "table": "t"})),
            (json!({"host": "a"}), json!({"connection": {"host": "a", "user": "u"}})),
            (json!({"port": 5}), json!({"connection": {"host": "a", "user": "u", "port": 5}})),
            (json!({"headers": {"X": "1"}}), json!({"connection": {"host": "a", "user": "u"}, "headers": {"X": "1"}})),
        ] {
            let mut config = beside.clone();
            config["connection"] = json!("@pg.shop");
            let (config, _) = connected(&spec, FILE_TEXT, config).unwrap();
            assert_eq!(config, expected, "{beside}");
        }
    }

    #[test]
    fn no_option_beside_a_connection_sends_its_login_elsewhere() {
        let spec = spec(DATABASE);
        for beside in [json!({"host": "b"}), json!({"port": 2})] {
            let mut config = beside.clone();
            config["connection"] = json!("@pg.whole");
            let report = connected(&spec, FILE_TEXT, config).unwrap_err();
            let name = beside.as_object().unwrap().keys().next().unwrap();
            assert!(
                report.message.contains("`@pg.whole`") && report.message.contains(&format!("`{name}`")),
                "{report}"
            );
        }
    }

    #[test]
    fn another_address_on_the_connections_server_is_allowed() {
        let spec = spec(
            "connectionFields: [url]\ngrants: {http: [\"GET {config.url}\", \"GET {connection.url}\"]}\nconfigSchema: \
             {type: object, properties: {url: {}, connection: {type: object, properties: {url: {}}}}}\n",
        );
        let file = "connections: {api: {a: {url: 'https://a.example.com/v1'}}}";
        for (url, left) in [
            ("https://a.example.com/v2", true),
            ("https://b.example.com/v1", false),
            ("http://a.example.com/v1", false),
        ] {
            let outcome = connected(&spec, file, json!({"connection": "@api.a", "url": url}));
            assert_eq!(outcome.is_ok_and(|(config, _)| config["url"] == url), left, "{url}");
        }
    }

    #[test]
    fn defaults_of_options_that_the_connection_sets_are_not_shown() {
        let spec = spec(DATABASE);
        let written = json!({"connection": {"host": "a"}, "table": "t"});
        let mut shown =
            json!({"connection": {"host": "a"}, "table": "t", "sslmode": "prefer"}).as_object().unwrap().clone();
        hide_defaults(&mut shown, &spec, written.as_object().unwrap());
        assert_eq!(Value::Object(shown), written);
    }

    #[test]
    fn a_file_connection_is_the_folder_where_relative_paths_start() {
        let spec = spec(
            "configSchema: {type: object, properties: {path: {}, more: {}}}\ngrants: {read: [\"{config.path}\", \"{config.more}\"]}\n",
        );
        let file = "connections: {filesystem: {local: {base_dir: ./data, default: true}, none: {note: x}}}";
        let config =
            |reference: &str| json!({"connection": reference, "path": "a.csv", "more": ["b.csv", "/c.csv"], "x": "y"});
        let below = json!({"path": "./data/a.csv", "more": ["./data/b.csv", "/c.csv"], "x": "y"});
        let same = json!({"path": "a.csv", "more": ["b.csv", "/c.csv"], "x": "y"});
        assert_eq!(connected(&spec, file, config("@filesystem.local")).unwrap(), (below.clone(), 0));
        assert_eq!(connected(&spec, file, config("@filesystem")).unwrap(), (below, 0));
        assert_eq!(connected(&spec, file, config("@filesystem.none")).unwrap(), (same.clone(), 0));
        // Without the family, paths start where they would without a connection, and a notice says so.
        assert_eq!(connected(&spec, "connections: {}", config("@filesystem.local")).unwrap(), (same, 1));
        assert!(connected(&spec, file, config("@filesystem.locl")).unwrap_err().message.contains("`locl`"));
    }
}
