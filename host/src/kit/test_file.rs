//! The tests that an author writes beside a driver: `tests/*.yaml`. Parsing does no I/O; [`super::cases`] finds the files.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::error::{Report, listed, nearest};
use crate::grants::limits::PolicyLimits;
use crate::pipeline::yaml;
use crate::recordings::Order;

/// A file: one test, or several under `tests`.
#[derive(Debug)]
pub struct TestFile {
    pub tests: Vec<TestCase>,
}

/// One test as its author wrote it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestCase {
    /// By default the file's name.
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    #[expect(dead_code, reason = "known, so that it is no unknown key")]
    description: Option<String>,
    /// As in a pipeline, with secrets.
    #[serde(default)]
    pub config: Map<String, Value>,
    /// Values of `${NAME}` in the config.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    #[serde(default)]
    pub inputs: Map<String, Value>,
    /// Files that the driver reads, by their path in the config.
    #[serde(default)]
    pub files: BTreeMap<String, FileContent>,
    #[serde(default, deserialize_with = "present")]
    pub http: Option<Value>,
    #[serde(default)]
    pub network: Network,
    #[serde(default, deserialize_with = "present")]
    pub state: Option<Value>,
    #[serde(default)]
    pub retries: u32,
    #[serde(default)]
    pub rejects: u32,
    #[serde(default)]
    pub limits: Option<PolicyLimits>,
    #[serde(default)]
    pub expect: Expectation,
}

/// A value that is there, even if it is null.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// What the driver may connect to while its requests are not replayed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Whether the test connects to what its config names.
    #[serde(default)]
    pub real: bool,
    /// The hosts that may be in a private network, or on this machine.
    #[serde(default)]
    pub private_hosts: Vec<String>,
}

/// The content of a file that a test makes.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum FileContent {
    Text(String),
    Made(MadeContent),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MadeContent {
    /// A file of the tests' folder to copy.
    pub copy: Option<String>,
    pub base64: Option<String>,
    /// A SELECT whose rows a bundled driver writes.
    pub sql: Option<String>,
    /// The driver's config, apart from the path.
    #[serde(default)]
    pub options: Map<String, Value>,
}

/// What the run must lead to. What is left out is not compared.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// All output tables.
    pub tables: Option<BTreeMap<String, ExpectedTable>>,
    /// Rows that a writer delivered.
    pub delivered: Option<u64>,
    #[serde(default, deserialize_with = "present")]
    pub state: Option<Value>,
    /// All requests, in order.
    pub requests: Option<Vec<ExpectedRequest>>,
    /// Texts that lines of the log contain.
    #[serde(default)]
    pub log: Vec<String>,
    /// Texts that the warnings contain, one for each warning.
    pub warnings: Option<Vec<String>>,
    #[serde(default)]
    pub metrics: BTreeMap<String, f64>,
    /// All written files, by their path in the config.
    pub files: Option<BTreeMap<String, ExpectedFile>>,
    /// How often the driver is called.
    pub attempts: Option<u32>,
    pub error: Option<ExpectedError>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedTable {
    /// All columns in order, with their types as DuckDB spells them.
    pub columns: Option<Map<String, Value>>,
    /// All rows: lists of values, or objects by column.
    pub rows: Option<Vec<Value>>,
    pub count: Option<u64>,
    /// Whether the rows have an order.
    #[serde(default = "yes")]
    pub ordered: bool,
}

const fn yes() -> bool {
    true
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedRequest {
    #[serde(default = "get")]
    pub method: String,
    /// Absolute; parameters have no order.
    pub url: String,
    /// JSON, of which the request may have more members, or text.
    #[serde(default, deserialize_with = "present")]
    pub body: Option<Value>,
}

fn get() -> String {
    "GET".to_owned()
}

/// A file that a writer wrote: its text, or the rows that a bundled driver reads from it.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum ExpectedFile {
    Text(String),
    Content(Box<ExpectedContent>),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedContent {
    /// Texts that the file contains.
    #[serde(default)]
    pub contains: Vec<String>,
    pub columns: Option<Map<String, Value>>,
    pub rows: Option<Vec<Value>>,
    pub count: Option<u64>,
    #[serde(default = "yes")]
    pub ordered: bool,
    /// The config of the driver that reads it, apart from the path.
    #[serde(default)]
    pub options: Map<String, Value>,
}

impl ExpectedContent {
    /// The table that the file must contain, if the test says so.
    pub fn table(&self) -> Option<ExpectedTable> {
        let Self { columns, rows, count, ordered, .. } = self.clone();
        let is_given = columns.is_some() || rows.is_some() || count.is_some();
        is_given.then_some(ExpectedTable { columns, rows, count, ordered })
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedError {
    /// The contract's kind, such as `auth`.
    pub kind: Option<String>,
    /// A text that the message contains, or several.
    #[serde(default)]
    pub text: Texts,
    /// How long the driver asks to wait before it is called again.
    pub retry_after_ms: Option<u64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(untagged)]
pub enum Texts {
    #[default]
    None,
    One(String),
    Several(Vec<String>),
}

impl Texts {
    pub fn list(&self) -> Vec<&str> {
        match self {
            Self::None => Vec::new(),
            Self::One(text) => vec![text],
            Self::Several(texts) => texts.iter().map(String::as_str).collect(),
        }
    }
}

/// How a test's requests are answered.
#[derive(Debug, Clone)]
pub enum Http {
    /// By the exchanges in a file of the tests' folder.
    File(RecordingUse),
    /// By these, each with `request` and `response`.
    Inline { exchanges: Vec<Value>, order: Order, ignore: Vec<String> },
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordingUse {
    pub recording: String,
    #[serde(default)]
    pub order: Order,
    /// Query parameters, and JSON pointers of members of bodies, whose values do not matter.
    #[serde(default)]
    pub ignore: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InlineExchanges {
    exchanges: Vec<Value>,
    #[serde(default)]
    order: Order,
    #[serde(default)]
    ignore: Vec<String>,
}

impl TestCase {
    /// How the test's requests are answered; `None` if it has none.
    ///
    /// # Errors
    /// If `http` is malformed.
    pub fn http(&self) -> Result<Option<Http>, Report> {
        let (order, ignore) = (Order::Strict, Vec::new());
        Ok(Some(match &self.http {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(recording)) => Http::File(RecordingUse { recording: recording.clone(), order, ignore }),
            Some(Value::Array(exchanges)) => Http::Inline { exchanges: exchanges.clone(), order, ignore },
            Some(Value::Object(fields)) if fields.contains_key("exchanges") => {
                let InlineExchanges { exchanges, order, ignore } = self.part("http", fields)?;
                Http::Inline { exchanges, order, ignore }
            }
            Some(Value::Object(fields)) => Http::File(self.part("http", fields)?),
            Some(_) => {
                return Err(self
                    .wrong("`http` is neither a recording nor a list of exchanges")
                    .hint("write `http: recordings/pages.json`, or a list of `{request: {url: …}, response: {…}}`"));
            }
        }))
    }

    fn part<T: serde::de::DeserializeOwned>(&self, name: &str, fields: &Map<String, Value>) -> Result<T, Report> {
        serde_json::from_value(Value::Object(fields.clone()))
            .map_err(|error| self.wrong(&format!("`{name}` is malformed: {error}")))
    }

    /// An error in this test.
    pub fn wrong(&self, what: &str) -> Report {
        self.named().wrong(what)
    }

    pub fn named(&self) -> Named<'_> {
        Named(&self.name)
    }
}

/// A test in errors about it.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a>(pub &'a str);

impl Named<'_> {
    /// An error in this test.
    pub fn wrong(self, what: &str) -> Report {
        Report::input(format!("test `{}`: {what}", self.0))
    }

    /// An error for the unknown one of some keys.
    pub fn check_keys(self, place: &str, fields: &Map<String, Value>, known: &[&str]) -> Result<(), Report> {
        let Some(unknown) = fields.keys().find(|key| !known.contains(&key.as_str())) else { return Ok(()) };
        let report =
            self.wrong(&format!("{place} has the unknown key `{unknown}`; known: {}", listed(known.iter().copied())));
        Err(match nearest(unknown, known.iter().copied()) {
            Some(near) => report.hint(format!("did you mean `{near}`?")),
            None => report,
        })
    }
}

/// Parses a file of tests; a test without a name is called `stem`.
///
/// # Errors
/// A [`Report`] with the line, and for an unknown key the alternatives.
pub fn parse(text: &str, file: &str, stem: &str) -> Result<TestFile, Report> {
    #[derive(Deserialize)]
    struct Probe {
        #[serde(default)]
        tests: Option<serde::de::IgnoredAny>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Several {
        tests: Vec<TestCase>,
    }

    let probe: Probe = yaml::parse(text, "test", file)?;
    let mut tests = match probe.tests {
        Some(_) => yaml::parse::<Several>(text, "tests", file)?.tests,
        None => vec![yaml::parse::<TestCase>(text, "test", file)?],
    };
    let count = tests.len();
    for (number, test) in tests.iter_mut().enumerate().filter(|(_, test)| test.name.is_empty()) {
        test.name = if count == 1 { stem.to_owned() } else { format!("{stem} {}", number + 1) };
    }
    Ok(TestFile { tests })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_file_has_one_test_or_several() {
        let one = parse("config: {a: 1}\nstate: null\n", "t/x.yaml", "x").unwrap().tests;
        assert_eq!((one.len(), one[0].name.as_str(), &one[0].state), (1, "x", &Some(Value::Null)));
        let two = parse("tests:\n  - name: a\n  - http: r.json\n", "t/x.yaml", "x").unwrap().tests;
        assert_eq!(two.iter().map(|test| test.name.as_str()).collect::<Vec<_>>(), ["a", "x 2"]);
        assert!(matches!(two[1].http().unwrap(), Some(Http::File(used)) if used.recording == "r.json"));
        assert!(two[0].http().unwrap().is_none() && two[0].expect.state.is_none());
    }

    #[test]
    fn unknown_keys_are_refused_with_their_alternatives() {
        for (text, message, hint) in [
            ("confg: {}", "unknown field `confg`", "did you mean `config`?"),
            ("tests: [{expect: {table: {}}}]", "unknown field `table`", "did you mean `tables`?"),
            ("expect: {tables: {main: {row: []}}}", "unknown field `row`", "did you mean `rows`?"),
            ("expect: {error: {kindd: auth}}", "unknown field `kindd`", "did you mean `kind`?"),
            ("tests: []\nname: a", "unknown field `name`", "remove `name`"),
            ("network: {reel: true}", "unknown field `reel`", "did you mean `real`?"),
            ("limits: {guest_memry: 1MB}", "`guest_memry`", "did you mean `guest_memory`?"),
        ] {
            let report = parse(text, "t/x.yaml", "x").unwrap_err();
            assert!(report.message.contains(message), "{}", report.message);
            assert!(report.hint.as_deref().unwrap_or_default().contains(hint), "{:?}", report.hint);
        }
        let test = &parse("http: {recordng: x}", "x.yaml", "x").unwrap().tests[0];
        assert!(test.http().unwrap_err().message.contains("unknown field `recordng`, expected one of `recording`"));
        let test = &parse("http: 5", "x.yaml", "x").unwrap().tests[0];
        assert!(test.http().is_err());
    }
}
