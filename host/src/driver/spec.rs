//! What a driver declares: its name, its configuration and the grants it requests. No I/O.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::driver::{config, identity, options, placeholders};
use crate::error::Report;
use crate::grants::WantedGrants;
use crate::grants::template::Template;
use crate::pipeline::sql_literal::Dialect;
use crate::pipeline::{Mode, yaml};
use crate::untrusted::{self, Untrusted};

/// The version of `osiris:driver` that this host implements.
pub const CONTRACT: &str = "0.2.0";

/// The name under which a component imports or exports an interface of the contract, such as `tables`.
pub fn interface(name: &str) -> String {
    format!("osiris:driver/{name}@{CONTRACT}")
}

/// The custom section of a component that holds its spec, as YAML.
pub const SECTION: &str = "osiris:spec";

/// The longest spec, in bytes.
pub const MAX_BYTES: usize = 1 << 20;

/// The longest title, which is one line, and the longest description, in characters.
const MAX_TITLE: usize = 200;
const MAX_DESCRIPTION: usize = 20_000;

/// The longest name of a driver, in bytes.
const MAX_NAME: usize = 128;

/// The most templates of one kind of grant.
const MAX_TEMPLATES: usize = 100;

/// The deepest nesting of a configSchema.
const MAX_DEPTH: usize = 64;

/// A driver's spec: `spec.yaml`, packed into its component.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// `family.name`, the name that pipelines use for the driver.
    pub name: String,
    pub version: String,
    pub kind: Kind,
    /// The version of `osiris:driver` that the driver was built for. A component's imports and exports name it as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<String>,
    pub title: Untrusted,
    #[serde(default)]
    pub description: Untrusted,
    /// The pipeline modes that the driver supports; by default the one of its kind.
    #[serde(default)]
    pub modes: Vec<Mode>,
    /// The JSON Schema of the step's config.
    #[serde(rename = "configSchema")]
    pub config_schema: Value,
    /// Other names of options, each with the driver's own name: `{write_mode: mode}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub aliases: BTreeMap<String, String>,
    /// Options that are accepted without effect, each with the reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ignored: BTreeMap<String, String>,
    /// The options that hold SQL, or lists or objects of SQL, each with its dialect: `{query: postgres}`. In them, an author can
    /// write the value of a parameter as a literal.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sql: BTreeMap<String, Dialect>,
    /// JSON pointers into the config whose values are never shown.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// Fields of a connection that the driver reads.
    #[serde(default, rename = "connectionFields")]
    pub connection_fields: Vec<String>,
    #[serde(default)]
    pub grants: WantedGrants,
    /// The fields of the config that identify what a step reads, such as `connection.host` and `table`. A state is only
    /// used if their values are the same. If none are named, every field counts.
    #[serde(default, rename = "stateIdentity", skip_serializing_if = "Vec::is_empty")]
    pub state_identity: Vec<String>,
    /// A template over the config, such as `{config.cursor}`: the step keeps a state only if it has a value other than
    /// `false`.
    #[serde(default, rename = "stateWhen", skip_serializing_if = "Option::is_none")]
    pub state_when: Option<Template>,
    /// A template over the config, such as `{config.partitions}`: how many instances of the driver share a step's work.
    /// One, if it has no value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instances: Option<Template>,
    /// Whether a writer may be run again after it has connected and failed: rows that arrived are not doubled then. Other
    /// drivers can always be run again, because what they made is discarded.
    #[serde(default, rename = "retrySafe", skip_serializing_if = "std::ops::Not::not")]
    pub retry_safe: bool,
    /// Whether the driver makes the same from the same config and inputs. By default it counts as doing so unless it reads a
    /// clock or takes random numbers, which the runtimes of some languages do by themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deterministic: Option<bool>,
    #[serde(default)]
    pub examples: Vec<Example>,
}

/// A config that works, for the driver's documentation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    pub title: Untrusted,
    pub config: Map<String, Value>,
}

/// Parses and checks a spec; `file` names it in errors. An untrusted spec is parsed in a process without access to
/// anything (`driver/inspect.rs`).
///
/// # Errors
/// If a key is missing, unknown or malformed, or the configSchema is not a JSON Schema.
pub fn parse(text: &str, file: &str) -> Result<Spec, Report> {
    let mut spec: Spec = yaml::parse(text, "spec", file)?;
    if depth(&spec.config_schema) > MAX_DEPTH {
        return Err(Report::input(format!(
            "the configSchema of spec `{file}` is nested deeper than {MAX_DEPTH} levels"
        )));
    }
    if spec.config_schema.get("type").and_then(Value::as_str) != Some("object") {
        return Err(Report::input(format!("the configSchema of spec `{file}` does not describe an object"))
            .hint("start it with `type: object` and `properties:`"));
    }
    config::Schema::new(&spec)
        .map_err(|report| Report { message: format!("spec `{file}`: {}", report.message), ..report })?;
    if spec.modes.is_empty() {
        spec.modes = vec![spec.kind.mode()];
    }
    spec.check_bounds(file)?;
    Ok(spec)
}

impl Spec {
    /// The dialect of the SQL in an option, by whichever name its author uses for it.
    pub fn dialect(&self, option: &str) -> Option<Dialect> {
        self.sql.get(self.aliases.get(option).map_or(option, String::as_str)).copied()
    }

    /// Checks everything in a spec except its schema, without running any of it. The answer of a process that read a
    /// spec is trusted no more than the spec itself.
    ///
    /// # Errors
    /// A [`Report`] that names what is too long, too many or malformed.
    pub fn check_bounds(&self, file: &str) -> Result<(), Report> {
        let wrong = |message: String, hint: &str| Err(Report::input(format!("spec `{file}` {message}")).hint(hint));
        if !is_component_name(&self.name) || self.name.len() > MAX_NAME {
            return wrong(
                format!("has the name `{}`", shortened(&self.name)),
                "name it `family.name`, in at most 128 lower-case letters, digits, `_` and `-`",
            );
        }
        if !is_version(&self.version) {
            return wrong(
                format!("has the version `{}`", shortened(&self.version)),
                "write at most 64 letters, digits, `.`, `+`, `-` and `_`, such as `version: 1.0.0`",
            );
        }
        if let Some(contract) = self.contract.as_deref().filter(|contract| Version::parse(contract).is_none()) {
            return wrong(
                format!("has the contract `{}`", shortened(contract)),
                "omit `contract`, or write the version of osiris:driver that the driver was built for, such as 0.2.0",
            );
        }
        let titles = std::iter::once(&self.title).chain(self.examples.iter().map(|example| &example.title));
        for title in titles {
            if title.raw().chars().count() > MAX_TITLE || title.raw().contains(['\n', '\r']) {
                return wrong(
                    "has a title that is not a line of at most 200 characters".to_owned(),
                    "shorten its `title`",
                );
            }
        }
        if self.description.raw().chars().count() > MAX_DESCRIPTION {
            return wrong("has a description of more than 20,000 characters".to_owned(), "shorten its `description`");
        }
        for (name, templates) in self.grants.templates() {
            if templates.len() > MAX_TEMPLATES {
                return wrong(
                    format!("has more than {MAX_TEMPLATES} templates in `grants.{name}`"),
                    "name the fields once",
                );
            }
        }
        options::check(self, file)?;
        placeholders::check(self, file)?;
        identity::check(self, file)
    }
}

fn shortened(text: &str) -> String {
    let start: String = text.chars().take(80).collect();
    untrusted::line(&start).into_owned()
}

/// How deeply a value is nested.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Whether a driver's version is safe to show, because it cannot be mistaken for anything else.
fn is_version(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-' | '_');
    (1..=64).contains(&text.len()) && text.chars().all(plain)
}

/// Whether `name` is of the form `family.name`.
pub fn is_component_name(name: &str) -> bool {
    let word = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-'))
    };
    name.contains('.') && name.split('.').all(word)
}

/// The three kinds of driver, named after the worlds of `osiris:driver`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Extractor,
    Processor,
    Writer,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Extractor, Self::Processor, Self::Writer];

    /// The name that specs and commands use.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Extractor => "extractor",
            Kind::Processor => "processor",
            Kind::Writer => "writer",
        }
    }

    /// The pipeline mode that a driver of this kind supports.
    pub fn mode(self) -> Mode {
        match self {
            Kind::Extractor => Mode::Read,
            Kind::Processor => Mode::Transform,
            Kind::Writer => Mode::Write,
        }
    }

    /// Whether a step of this kind reads tables of other steps.
    pub fn has_inputs(self) -> bool {
        match self {
            Kind::Extractor => false,
            Kind::Processor | Kind::Writer => true,
        }
    }

    /// Whether a step of this kind has tables that others can read. One without tables delivers rows instead.
    pub fn makes_tables(self) -> bool {
        match self {
            Kind::Extractor | Kind::Processor => true,
            Kind::Writer => false,
        }
    }

    /// Whether a step of this kind may leave something outside the session behind when it fails.
    pub fn delivers(self) -> bool {
        !self.makes_tables()
    }

    /// The metric that counts the rows of a step of this kind.
    pub fn rows_metric(self) -> &'static str {
        match self {
            Kind::Extractor => "rows_read",
            Kind::Processor => "rows_processed",
            Kind::Writer => "rows_written",
        }
    }

    /// The name of the function that a driver of this kind exports.
    pub fn export(self) -> &'static str {
        match self {
            Kind::Extractor => "extract",
            Kind::Processor => "transform",
            Kind::Writer => "load",
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A config as YAML, for documentation.
pub fn to_yaml(config: &Map<String, Value>) -> String {
    serde_saphyr::to_string(config).unwrap_or_default()
}

/// A version of the contract: major, minor, patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u32, u32, u32);

impl Version {
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.').map(|part| part.parse().ok());
        let version = Self(parts.next()??, parts.next()??, parts.next()??);
        parts.next().is_none().then_some(version)
    }

    /// Whether a host with version `self` can run a driver built for `other`: the same major and minor version, and no
    /// newer patch (a component's imports are matched likewise).
    pub fn runs(self, other: Self) -> bool {
        (self.0, self.1) == (other.0, other.1) && other.2 <= self.2
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SPEC: &str = "name: a.b\nversion: 1.0.0\nkind: processor\ntitle: t\nconfigSchema: {type: object}\n";

    #[test]
    fn a_short_spec_is_complete() {
        let spec = parse(SPEC, "spec.yaml").unwrap();
        assert_eq!(spec.modes, [Mode::Transform]);
        assert_eq!(spec.grants, WantedGrants::default());
    }

    #[test]
    fn wrong_specs_are_refused() {
        let cases: [(&str, &str); 19] = [
            ("a.b", "ab"),
            ("a.b", "A.b"),
            ("a.b", "a..b"),
            ("a.b", "\"a.b/../c\""),
            ("title: t", "title: t\ncontract: new"),
            ("type: object", "type: string"),
            ("type: object", "type: object, required: 3"),
            ("type: object", &format!("type: object, default: {}1{}", "[".repeat(80), "]".repeat(80))),
            ("1.0.0", "'1.0 (x)'"),
            ("1.0.0", r#""1\n2""#),
            ("1.0.0", "''"),
            ("1.0.0", &"1".repeat(65)),
            ("a.b", &format!("a.{}", "b".repeat(127))),
            ("title: t", &format!("title: {}", "t".repeat(201))),
            ("title: t", r#"title: "a\nb""#),
            ("title: t", &format!("title: t\ndescription: {}", "d".repeat(20_001))),
            ("title: t", "title: t\ngrants: {read: ['{config.a']}"),
            ("title: t", &format!("title: t\ngrants: {{write: [{}]}}", "'{config.a}', ".repeat(101))),
            ("title: t", "title: t\nextra: 1"),
        ];
        for (from, to) in cases {
            assert!(parse(&SPEC.replacen(from, to, 1), "spec.yaml").is_err(), "{to}");
        }
    }

    #[test]
    fn a_host_runs_its_own_version_and_older_patches() {
        let host = Version::parse("0.1.2").unwrap();
        for (driver, runs) in [("0.1.0", true), ("0.1.2", true), ("0.1.3", false), ("0.2.0", false), ("1.1.0", false)] {
            assert_eq!(host.runs(Version::parse(driver).unwrap()), runs, "{driver}");
        }
    }
}
