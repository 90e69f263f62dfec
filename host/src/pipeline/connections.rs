//! Connections: resolves `@family.alias` with `osiris_connections.yaml`. No I/O.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::{Report, listed, nearest};
use crate::pipeline::params::{self, Environment, Params, References};
use crate::pipeline::secret_source::is_secret;
use crate::pipeline::{database_url, yaml};

/// The file's name in the pipeline's base folder.
pub const FILE: &str = "osiris_connections.yaml";

/// The field of a connection that allows its hosts to be in a private network.
const PRIVATE: &str = "private_network";

static NO_PARAMS: Params = Params::new();

/// Families of connections, each with its aliases.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connections {
    #[serde(default)]
    version: Option<Value>,
    #[serde(default)]
    connections: BTreeMap<String, BTreeMap<String, Map<String, Value>>>,
}

/// Parses the file; `file` names it in errors.
///
/// # Errors
/// A [`Report`] with file and line.
pub fn parse(text: &str, file: &str) -> Result<Connections, Report> {
    let connections: Connections = yaml::parse(text, "connections file", file)?;
    let known = |version: &Value| matches!(version.to_string().trim_matches('"'), "1" | "1.0");
    match connections.version.as_ref().filter(|version| !known(version)) {
        Some(other) => Err(Report::input(format!("connections file `{file}` has the version {other}; known: 1"))
            .hint("write `version: 1`, or use a newer Osiris")),
        None => Ok(connections),
    }
}

impl Connections {
    /// The fields of the connection `reference` (`@family.alias`, or `@family` for its default), with environment
    /// variables resolved.
    ///
    /// # Errors
    /// If the family or alias is unknown, the family has no clear default, or a variable is not set.
    pub fn resolve(&self, reference: &str, environment: &Environment) -> Result<Map<String, Value>, Report> {
        let Some(name) = reference.strip_prefix('@') else {
            return Err(Report::input(format!("`{reference}` is not a reference to a connection"))
                .hint(format!("did you mean `@{reference}`?")));
        };
        let (family, alias) = match name.split_once('.') {
            Some((family, alias)) => (family, Some(alias)),
            None => (name, None),
        };
        let aliases = self
            .connections
            .get(family)
            .ok_or_else(|| unknown(reference, "family", family, self.connections.keys().map(String::as_str)))?;
        let alias = match alias {
            Some(alias) => alias.to_owned(),
            None => default_alias(family, aliases)?,
        };
        let fields = aliases
            .get(&alias)
            .ok_or_else(|| unknown(reference, "alias", &alias, aliases.keys().map(String::as_str)))?;
        self.fields(family, &alias, fields, environment)
    }

    /// The fields of a connection as its author wrote them.
    pub fn written(&self, reference: &str) -> Option<&Map<String, Value>> {
        let name = reference.trim_start_matches('@');
        let (family, alias) = name.split_once('.').map_or((name, None), |(family, alias)| (family, Some(alias)));
        let aliases = self.connections.get(family)?;
        let alias = alias.map_or_else(|| default_alias(family, aliases).ok(), |alias| Some(alias.to_owned()))?;
        aliases.get(&alias)
    }

    /// The aliases of a family.
    pub fn aliases(&self, family: &str) -> impl Iterator<Item = &str> {
        self.connections.get(family).into_iter().flat_map(|aliases| aliases.keys().map(String::as_str))
    }

    pub fn has_family(&self, family: &str) -> bool {
        self.connections.contains_key(family)
    }

    /// The names of all references in fields.
    pub fn references(&self) -> impl Iterator<Item = &str> {
        self.connections.values().flat_map(BTreeMap::values).flat_map(params::names_in)
    }

    /// The fields of every connection, and whether its hosts may be in a private network. A connection whose
    /// environment variables are not set is omitted, and so is a field whose secrets were not obtained, because no step needs
    /// them.
    pub fn resolved(&self, environment: &Environment) -> impl Iterator<Item = (bool, Map<String, Value>)> {
        let all = self.connections.iter().flat_map(|(family, aliases)| aliases.iter().map(move |one| (family, one)));
        all.filter_map(|(family, (alias, fields))| {
            let private = fields.get(PRIVATE) == Some(&Value::Bool(true));
            let is_unknown = |name: &str| is_secret(name) && !environment.contains_key(name);
            let mut known = fields.clone();
            known.retain(|_, field| !field.as_str().is_some_and(|text| params::names(text).any(is_unknown)));
            Some((private, self.fields(family, alias, &known, environment).ok()?))
        })
    }

    /// Every connection as `family.alias`, and whether it is its family's default.
    pub fn list(&self) -> Vec<(String, bool)> {
        let all = self.connections.iter().flat_map(|(family, aliases)| {
            let default = default_alias(family, aliases).unwrap_or_default();
            aliases.keys().map(move |alias| (format!("{family}.{alias}"), *alias == default))
        });
        all.collect()
    }

    fn fields(
        &self,
        family: &str,
        alias: &str,
        fields: &Map<String, Value>,
        environment: &Environment,
    ) -> Result<Map<String, Value>, Report> {
        let references = References { is_operators: true, ..References::of_pipeline(&NO_PARAMS, environment, None) };
        let mut resolved = Map::new();
        for (key, value) in fields.iter().filter(|(key, _)| *key != "default" && *key != PRIVATE) {
            let value = match value {
                Value::String(text) => {
                    let place = format!("connection `@{family}.{alias}`, field `{key}`,");
                    references.substitute(text, &place)?
                }
                other => other.clone(),
            };
            resolved.insert(key.clone(), value);
        }
        of_database_url(&format!("@{family}.{alias}"), resolved)
    }
}

/// Replaces a database URL by the fields that it contains.
fn of_database_url(reference: &str, mut fields: Map<String, Value>) -> Result<Map<String, Value>, Report> {
    let Some(parsed) = fields.get(database_url::FIELD).and_then(Value::as_str).and_then(database_url::fields) else {
        return Ok(fields);
    };
    let parsed = parsed.map_err(|why| {
        Report::input(format!("connection `{reference}`, field `url`: {why}"))
            .hint("write `postgres://user:password@host:port/database`, what is special in it as `%` and its code")
    })?;
    fields.shift_remove(database_url::FIELD);
    for (name, value) in parsed {
        if fields.get(&name).is_some_and(|other| *other != value) {
            return Err(Report::input(format!("connection `{reference}`: `url` and `{name}` both say it, and differ"))
                .hint(format!("keep one of them in `{FILE}`")));
        }
        fields.insert(name, value);
    }
    Ok(fields)
}

fn default_alias(family: &str, aliases: &BTreeMap<String, Map<String, Value>>) -> Result<String, Report> {
    let marked = aliases.iter().find(|(_, fields)| fields.get("default") == Some(&Value::Bool(true)));
    let only = || aliases.keys().next().filter(|_| aliases.len() == 1).cloned();
    let named = || aliases.contains_key("default").then(|| "default".to_owned());
    marked.map(|(alias, _)| alias.clone()).or_else(named).or_else(only).ok_or_else(|| {
        Report::input(format!(
            "connection family `{family}` has no default; its aliases: {}",
            listed(aliases.keys().map(String::as_str))
        ))
        .hint(format!("write `@{family}.ALIAS`, or mark one with `default: true`"))
    })
}

fn unknown<'a>(reference: &str, what: &str, name: &str, known: impl Iterator<Item = &'a str> + Clone) -> Report {
    let report = Report::input(format!(
        "connection `{reference}` names the unknown {what} `{name}`; known in `{FILE}`: {}",
        listed(known.clone())
    ));
    match nearest(name, known) {
        Some(near) => report.hint(format!("did you mean `{near}`?")),
        None => report.hint(format!("add it to `{FILE}` in the base folder")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const FILE_TEXT: &str = "version: 1\nconnections:\n  mysql:\n    db: {host: h, password: \"${PW}\", default: true}\n    other: {host: o}\n  pg:\n    a: {host: x}\n    b: {host: y}\n";

    #[test]
    fn a_database_url_is_replaced_by_its_fields() {
        let text = "connections: {pg: {a: {url: '${URL}', sslmode: require}, b: {url: 'postgres://h:1/d', host: g}, c: {url: 'postgres://'}}, api: {a: {url: 'https://x'}}}";
        let connections = parse(text, "c.yaml").unwrap();
        let environment = Environment::from([("URL".to_owned(), "postgres://u:s3cret@h:5433/d".to_owned())]);
        let resolved = connections.resolve("@pg.a", &environment).unwrap();
        let expected = serde_json::json!({"sslmode": "require", "host": "h", "port": 5433, "user": "u", "password": "s3cret", "database": "d"});
        assert_eq!(Value::Object(resolved), expected);
        assert!(connections.resolve("@pg.b", &environment).unwrap_err().message.contains("`url` and `host`"));
        assert!(connections.resolve("@pg.c", &environment).unwrap_err().message.contains("one host"));
        assert_eq!(connections.resolve("@api.a", &environment).unwrap()["url"], "https://x");
    }

    #[test]
    fn a_reference_finds_its_alias_or_the_familys_default() {
        let connections = parse(FILE_TEXT, "c.yaml").unwrap();
        let environment = Environment::from([("PW".to_owned(), "s3cret".to_owned())]);
        assert_eq!(connections.resolve("@mysql.other", &environment).unwrap()["host"], "o");
        let fields = connections.resolve("@mysql", &environment).unwrap();
        assert_eq!(fields["password"], "s3cret");
        assert!(!fields.contains_key("default"));
    }

    #[test]
    fn private_network_is_for_the_operator_and_not_a_field() {
        let text =
            "connections: {pg: {a: {host: inside, private_network: true}, b: {host: outside, private_network: false}}}";
        let connections = parse(text, "c.yaml").unwrap();
        let private: Vec<bool> = connections.resolved(&Environment::new()).map(|(private, _)| private).collect();
        assert_eq!(private, [true, false]);
        assert!(!connections.resolve("@pg.a", &Environment::new()).unwrap().contains_key(PRIVATE));
    }

    #[test]
    fn a_wrong_reference_is_refused_with_the_alternatives() {
        let connections = parse(FILE_TEXT, "c.yaml").unwrap();
        for reference in ["@mysq.db", "@mysql.bd", "@pg", "@mysql.db"] {
            assert!(connections.resolve(reference, &Environment::new()).unwrap_err().hint.is_some(), "{reference}");
        }
    }
}
