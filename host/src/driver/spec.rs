//! What a driver says about itself: its name, its configuration and the grants it wants. No I/O.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::driver::{identity, options};
use crate::error::Report;
use crate::pipeline::{Mode, yaml};

/// The custom section of a component that holds its spec, as YAML.
pub const SECTION: &str = "osiris:spec";

/// A driver's spec: `spec.yaml`, packed into its component.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// `family.name`, by which pipelines call the driver.
    pub name: String,
    pub version: String,
    pub kind: Kind,
    /// The version of `osiris:driver` that the driver was built for.
    pub contract: String,
    pub title: String,
    #[serde(default)]
    pub description: String,
    /// The pipeline modes that the driver serves; by default the one of its kind.
    #[serde(default)]
    pub modes: Vec<Mode>,
    /// JSON Schema of the step's config.
    #[serde(rename = "configSchema")]
    pub config_schema: Value,
    /// Further names of options, each with the option's own: `{write_mode: mode}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub aliases: BTreeMap<String, String>,
    /// Options that are accepted without effect, each with the reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ignored: BTreeMap<String, String>,
    /// JSON pointers into the config whose values are never shown.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// Fields of a connection that the driver reads.
    #[serde(default, rename = "connectionFields")]
    pub connection_fields: Vec<String>,
    #[serde(default)]
    pub grants: WantedGrants,
    /// The fields of the config that say what a step reads, such as `connection.host` and `table`: a state is used for the
    /// same values alone. Where none are named, every field counts.
    #[serde(default, rename = "stateIdentity", skip_serializing_if = "Vec::is_empty")]
    pub state_identity: Vec<String>,
    /// A template over the config, such as `{config.cursor}`: the step keeps a state only where it stands for something.
    #[serde(default, rename = "stateWhen", skip_serializing_if = "Option::is_none")]
    pub state_when: Option<String>,
    /// A template over the config, such as `{config.partitions}`: how many instances of the driver
    /// share a step's work. One, where it stands for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instances: Option<String>,
    #[serde(default)]
    pub examples: Vec<Example>,
}

/// What a driver asks to touch, as templates over its config such as `{config.path}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WantedGrants {
    /// Files to read.
    #[serde(default)]
    pub read: Vec<String>,
    /// Files to write.
    #[serde(default)]
    pub write: Vec<String>,
    /// A template that says `true` where the folders of written files are to be created.
    #[serde(default, rename = "createFolders")]
    pub create_folders: Option<String>,
    /// Hosts to connect to, such as `{connection.host}:{connection.port}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connect: Vec<String>,
    /// Methods and addresses to call by HTTP, such as `GET,POST {config.url}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<String>,
    /// PEM texts whose roots HTTP trusts in place of the machine's, such as `{connection.ca}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roots: Vec<String>,
    /// Whether the driver keeps something from one run to the next.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub state: bool,
}

/// A config that works, for the driver's documentation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    pub title: String,
    pub config: Map<String, Value>,
}

/// Parses and checks a spec; `file` names it in errors.
///
/// # Errors
/// When a key is missing, unknown or malformed, or the configSchema is no JSON Schema.
pub fn parse(text: &str, file: &str) -> Result<Spec, Report> {
    let mut spec: Spec = yaml::parse(text, "spec", file)?;
    if !is_component_name(&spec.name) {
        return Err(Report::input(format!("spec `{file}` has the name `{}`", spec.name))
            .hint("name it `family.name`, in lower-case letters, digits, `_` and `-`"));
    }
    if Version::parse(&spec.contract).is_none() {
        return Err(Report::input(format!("spec `{file}` has the contract `{}`", spec.contract))
            .hint("write the version of osiris:driver that the driver was built for, such as `contract: 0.1.0`"));
    }
    if spec.config_schema.get("type").and_then(Value::as_str) != Some("object") {
        return Err(Report::input(format!("the configSchema of spec `{file}` does not describe an object"))
            .hint("start it with `type: object` and `properties:`"));
    }
    jsonschema::validator_for(&spec.config_schema)
        .map_err(|error| Report::input(format!("the configSchema of spec `{file}` is no JSON Schema: {error}")))?;
    options::check(&spec, file)?;
    identity::check(&spec, file)?;
    if spec.modes.is_empty() {
        spec.modes = vec![spec.kind.mode()];
    }
    Ok(spec)
}

/// Whether `name` is of the form `family.name`.
pub fn is_component_name(name: &str) -> bool {
    let word = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-'))
    };
    name.contains('.') && name.split('.').all(word)
}

/// The three kinds of driver, after the worlds of `osiris:driver`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Extractor,
    Processor,
    Writer,
}

impl Kind {
    /// The pipeline mode that a driver of this kind serves.
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

    /// Whether a step of this kind has tables that others can read. One that has none delivers rows instead.
    pub fn makes_tables(self) -> bool {
        match self {
            Kind::Extractor | Kind::Processor => true,
            Kind::Writer => false,
        }
    }

    /// The metric that counts the rows of a step of this kind.
    pub fn rows_metric(self) -> &'static str {
        match self {
            Kind::Extractor => "rows_read",
            Kind::Processor => "rows_processed",
            Kind::Writer => "rows_written",
        }
    }

    /// The function that a driver of this kind exports.
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
        f.write_str(match self {
            Kind::Extractor => "extractor",
            Kind::Processor => "processor",
            Kind::Writer => "writer",
        })
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

    /// Whether a host that speaks `self` can run a driver built for `other`: the same major and
    /// minor version, and no newer patch (a component's imports are matched likewise).
    pub fn runs(self, other: Self) -> bool {
        (self.0, self.1) == (other.0, other.1) && other.2 <= self.2
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SPEC: &str =
        "name: a.b\nversion: 1.0.0\nkind: processor\ncontract: 0.1.0\ntitle: t\nconfigSchema: {type: object}\n";

    #[test]
    fn a_short_spec_is_complete() {
        let spec = parse(SPEC, "spec.yaml").unwrap();
        assert_eq!(spec.modes, [Mode::Transform]);
        assert_eq!(spec.grants, WantedGrants::default());
    }

    #[test]
    fn wrong_specs_are_refused() {
        for (from, to) in [
            ("a.b", "ab"),
            ("a.b", "A.b"),
            ("a.b", "a..b"),
            ("a.b", "\"a.b/../c\""),
            ("0.1.0", "new"),
            ("type: object", "type: string"),
            ("type: object", "type: object, required: 3"),
            ("title: t", "title: t\nextra: 1"),
        ] {
            assert!(parse(&SPEC.replacen(from, to, 1), "spec.yaml").is_err(), "{to}");
        }
    }

    #[test]
    fn a_host_runs_its_own_and_older_patches() {
        let host = Version::parse("0.1.2").unwrap();
        for (driver, runs) in [("0.1.0", true), ("0.1.2", true), ("0.1.3", false), ("0.2.0", false), ("1.1.0", false)] {
            assert_eq!(host.runs(Version::parse(driver).unwrap()), runs, "{driver}");
        }
    }
}
