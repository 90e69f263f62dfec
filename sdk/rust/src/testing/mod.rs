//! Runs a driver natively, as `cargo test` does, with a host of the test's own: no WebAssembly, no network, no files.
//!
//! ```
//! use osiris_sdk::testing::{Rows, Step};
//! use osiris_sdk::{Inputs, Output, Processor, Result};
//!
//! struct Copy;
//! impl Processor for Copy {
//!     type Config = serde_json::Value;
//!     fn transform(_: Self::Config, inputs: Inputs, output: Output) -> Result<()> {
//!         inputs.only()?.read()?.try_for_each(|batch| output.append("main", &batch?))
//!     }
//! }
//!
//! let input = Rows::new([serde_json::json!({"id": 1, "price": "1.50"})]).typed("price", "DECIMAL(18,2)");
//! let run = Step::new().input("source", input).transform::<Copy>();
//! assert_eq!(run.rows("main")[0]["price"].to_string(), "1.50");
//! assert_eq!(run.types("main")["price"], "DECIMAL(18,2)");
//! ```
//!
//! What a test cannot show is what DuckDB and the sandbox do: the types of a table of JSON records, SQL, and grants.

pub mod host;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "schema")]
mod spec;
pub(crate) mod values;

/// A driver whose work is a function of the test.
#[cfg(test)]
macro_rules! driver {
    ($name:ident: $config:ty, $($kind:tt)+) => {
        struct $name;
        driver!(@ $name, $config, $($kind)+);
    };
    (@ $name:ident, $config:ty, extract $work:expr) => {
        impl Extractor for $name {
            type Config = $config;
            fn extract(config: $config, output: Output) -> Result<()> {
                let work: fn($config, Output) -> Result<()> = $work;
                work(config, output)
            }
        }
    };
    (@ $name:ident, $config:ty, transform $work:expr) => {
        impl Processor for $name {
            type Config = $config;
            fn transform(config: $config, inputs: Inputs, output: Output) -> Result<()> {
                let work: fn($config, Inputs, Output) -> Result<()> = $work;
                work(config, inputs, output)
            }
        }
    };
}

#[cfg(all(test, feature = "http"))]
mod http_tests;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use duckdb_text::DuckdbType;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::bindings::osiris::driver::arrow::{Batch, Schema};
use crate::bindings::osiris::driver::errors;
use crate::{CatalogTable, Check, Discovery, Error, ErrorKind, Extractor, Processor, Writer};
use host::{Content, Host, Table};
#[cfg(feature = "http")]
pub(crate) use http::Replay;
#[cfg(feature = "http")]
pub use http::{Exchange, Sent};
#[cfg(feature = "schema")]
pub use spec::check_schema;

/// A function from a SELECT to its rows.
type Querying = Rc<dyn Fn(&str) -> Rows>;

/// A server of the test: from the bytes that it receives to those that it sends.
type Answering = Rc<RefCell<dyn FnMut(&[u8]) -> Vec<u8>>>;

/// Rows for a driver to read.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    rows: Vec<Map<String, Value>>,
    types: Vec<(String, String)>,
    batch_rows: Option<usize>,
}

impl Rows {
    /// Rows, each of which serialises to an object. The type of a column is that of its values: BIGINT, DOUBLE, BOOLEAN,
    /// VARCHAR, a list or a STRUCT.
    ///
    /// # Panics
    /// For a row that is no object.
    pub fn new<R: Serialize>(rows: impl IntoIterator<Item = R>) -> Self {
        let object = |row: R| match serde_json::to_value(row) {
            Ok(Value::Object(row)) => row,
            other => panic!("a row of the test is not an object: {other:?}"),
        };
        Self { rows: rows.into_iter().map(object).collect(), ..Self::default() }
    }

    /// Gives a column a DuckDB type, such as `DECIMAL(18,2)` or `TIMESTAMPTZ[]`. Its values are written as JSON records
    /// have them: `"2024-01-31 10:00:00+00"`.
    #[must_use]
    pub fn typed(mut self, column: &str, duckdb_type: &str) -> Self {
        self.types.push((column.to_owned(), duckdb_type.to_owned()));
        self
    }

    /// Passes the rows in batches of that size; 2,048 by default.
    #[must_use]
    pub fn in_batches_of(mut self, rows: usize) -> Self {
        self.batch_rows = Some(rows.max(1));
        self
    }

    /// The names of the columns: those of the rows in the order of the first that has each, then those that are only typed.
    fn columns(&self, wanted: &[String]) -> Result<Vec<String>, errors::Error> {
        let mut known: Vec<String> = Vec::new();
        for name in self.rows.iter().flat_map(Map::keys).chain(self.types.iter().map(|(name, _)| name)) {
            if !known.contains(name) {
                known.push(name.clone());
            }
        }
        match wanted.iter().find(|name| !known.contains(name)) {
            Some(name) => {
                let message = format!("there is no column `{name}`; there are: {}", known.join(", "));
                Err(host::error(ErrorKind::NotFound, message))
            }
            None if wanted.is_empty() => Ok(known),
            None => Ok(wanted.to_vec()),
        }
    }

    /// The rows in columns.
    fn batches(&self, wanted: &[String]) -> Result<(Schema, Vec<Batch>), errors::Error> {
        let wrong = |what: String| host::error(ErrorKind::Config, format!("the rows of the test are wrong: {what}"));
        let mut types = Vec::new();
        for name in self.columns(wanted)? {
            let declared = self.types.iter().find(|(column, _)| *column == name).map(|(_, kind)| kind.clone());
            let values: Vec<&Value> = self.rows.iter().filter_map(|row| row.get(&name)).collect();
            let text = declared.unwrap_or_else(|| values::inferred(&values));
            types.push((name, DuckdbType::parse(&text).map_err(|error| wrong(error.0))?));
        }
        let build = |rows: &[Map<String, Value>]| {
            let (mut fields, mut nodes) = (Vec::new(), Vec::new());
            for (name, kind) in &types {
                let values: Vec<Option<&Value>> = rows.iter().map(|row| row.get(name)).collect();
                let (own_fields, own_nodes) = values::column(name, kind, &values).map_err(wrong)?;
                fields.extend(own_fields);
                nodes.extend(own_nodes);
            }
            let rows = u32::try_from(rows.len()).unwrap_or(u32::MAX);
            Ok::<_, errors::Error>((Schema { fields }, Batch { rows, nodes }))
        };
        let (schema, _) = build(&[])?;
        let batches = self.rows.chunks(self.batch_rows.unwrap_or(2048)).map(|rows| Ok(build(rows)?.1));
        Ok((schema, batches.collect::<Result<_, errors::Error>>()?))
    }

    /// The rows as texts of JSON records.
    fn texts(&self, wanted: &[String]) -> Result<Vec<String>, errors::Error> {
        let columns = self.columns(wanted)?;
        let record = |row: &Map<String, Value>| {
            let members: Vec<String> = columns
                .iter()
                .map(|name| format!("{}:{}", Value::from(name.as_str()), row.get(name).unwrap_or(&Value::Null)))
                .collect();
            format!("{{{}}}\n", members.join(","))
        };
        Ok(self.rows.chunks(self.batch_rows.unwrap_or(2048)).map(|rows| rows.iter().map(record).collect()).collect())
    }
}

/// A line that the driver logged.
#[derive(Debug, Clone)]
pub struct LogLine {
    pub level: crate::context::Level,
    pub message: String,
    pub fields: BTreeMap<String, String>,
}

/// A row that the driver rejected.
#[derive(Debug, Clone, PartialEq)]
pub struct Rejected {
    pub row: Value,
    pub reason: String,
}

/// A step to run: what its driver is given.
#[derive(Default)]
#[must_use]
pub struct Step {
    host: Host,
    inputs: Vec<host::tables::Input>,
}

impl Step {
    pub fn new() -> Self {
        let host = Host { config: "{}".to_owned(), attempt: 1, part: (0, 1), ..Host::default() };
        Self { host, inputs: Vec::new() }
    }

    /// The step's config. The host of a test adds no defaults.
    ///
    /// # Panics
    /// If it cannot be written as JSON.
    pub fn config(mut self, config: impl Serialize) -> Self {
        self.host.config =
            serde_json::to_string(&config).unwrap_or_else(|error| panic!("the config is wrong: {error}"));
        self
    }

    /// A secret by its JSON pointer: `/token`.
    pub fn secret(mut self, pointer: &str, value: &str) -> Self {
        self.host.secrets.insert(pointer.to_owned(), value.to_owned());
        self
    }

    /// An input; several are in the order of these calls.
    pub fn input(mut self, alias: &str, rows: Rows) -> Self {
        self.inputs.push(host::tables::Input { alias: alias.to_owned(), rows });
        self
    }

    /// The state that the last run stored.
    pub fn state(mut self, state: &Value) -> Self {
        self.host.state = Some(state.to_string());
        self
    }

    /// A file that the step may read.
    pub fn file(mut self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.host.files.insert(path.to_owned(), bytes.into());
        self
    }

    /// What SQL returns: a function from a SELECT to its rows.
    pub fn sql(mut self, rows: impl Fn(&str) -> Rows + 'static) -> Self {
        self.host.query = Some(Rc::new(rows));
        self
    }

    /// A server at `host:port`: a function from the bytes that it receives to those that it sends. It is called with no
    /// bytes when the driver connects.
    pub fn server(mut self, address: &str, answer: impl FnMut(&[u8]) -> Vec<u8> + 'static) -> Self {
        self.host.servers.insert(address.to_owned(), Rc::new(RefCell::new(answer)));
        self
    }

    /// A request that the driver is expected to send, and its response. Each is used once; a driver that leaves one unsent
    /// fails the test.
    #[cfg(feature = "http")]
    pub fn http(mut self, exchange: Exchange) -> Self {
        self.host.exchanges.push(exchange);
        self
    }

    /// How many rows the pipeline lets the step reject; any number by default.
    pub fn rejects(mut self, rows: usize) -> Self {
        self.host.rejects = Some(rows);
        self
    }

    /// The number of the attempt; 1 by default.
    pub fn attempt(mut self, number: u32) -> Self {
        self.host.attempt = number;
        self
    }

    /// The part of the work that this instance does; part 0 of 1 by default.
    pub fn part(mut self, index: u32, count: u32) -> Self {
        self.host.part = (index, count);
        self
    }

    /// Runs an extractor.
    pub fn extract<D: Extractor>(self) -> Run {
        self.run(|_| crate::extract::<D>(host::tables::Output(())))
    }

    /// Runs a processor.
    pub fn transform<D: Processor>(self) -> Run {
        self.run(|inputs| crate::transform::<D>(inputs, host::tables::Output(())))
    }

    /// Runs a writer.
    pub fn load<D: Writer>(self) -> Run {
        self.run(crate::load::<D>)
    }

    /// Tries a connection; the text is the name of the server.
    pub fn check<D: Check>(self) -> Run<String> {
        self.run(|_| crate::check::<D>())
    }

    /// Lists the tables of a connection.
    pub fn discover<D: Discovery>(self) -> Run<Vec<CatalogTable>> {
        self.run(|_| crate::discover::<D>())
    }

    fn run<T>(self, call: impl FnOnce(Vec<host::tables::Input>) -> Result<T, errors::Error>) -> Run<T> {
        let inputs = self.inputs;
        let (host, result) = host::during(self.host, || call(inputs));
        let mut result = result.map_err(Error::from);
        if result.is_ok()
            && let Some((name, _)) = host.tables.iter().find(|(_, table)| !table.finished)
        {
            result = Err(Error::internal(format!("the driver returned, but did not finish the table `{name}`")));
        }
        #[cfg(feature = "http")]
        if result.is_ok() {
            http::check_all_sent(&host.exchanges);
        }
        Run { result, host }
    }
}

/// What a run left behind.
pub struct Run<T = ()> {
    /// What the driver returned.
    pub result: Result<T, Error>,
    host: Host,
}

impl<T> Run<T> {
    /// The error that the driver returned.
    ///
    /// # Panics
    /// If it succeeded.
    #[track_caller]
    pub fn error(&self) -> &Error {
        match &self.result {
            Ok(_) => panic!("the driver succeeded, where an error was expected"),
            Err(error) => error,
        }
    }

    /// What the driver returned.
    ///
    /// # Panics
    /// If it failed, with its error.
    #[track_caller]
    pub fn success(&self) -> &T {
        match &self.result {
            Ok(value) => value,
            Err(error) => panic!("the driver failed ({:?}): {error}", error.kind),
        }
    }

    #[track_caller]
    fn table(&self, name: &str) -> &Table {
        self.success();
        let made: Vec<&String> = self.host.tables.keys().collect();
        self.host.tables.get(name).unwrap_or_else(|| panic!("the driver made no table `{name}`; it made {made:?}"))
    }

    /// The names of the tables.
    pub fn tables(&self) -> Vec<&str> {
        self.host.tables.keys().map(String::as_str).collect()
    }

    /// The rows of a table, as JSON objects. Those of a table of JSON records are as the driver wrote them.
    ///
    /// # Panics
    /// If the driver failed or made no such table.
    #[track_caller]
    pub fn rows(&self, table: &str) -> Vec<Value> {
        match &self.table(table).content {
            Content::Columns { fields, batches } => {
                let rows = batches.iter().flat_map(|batch| values::rows(fields, batch).unwrap_or_default());
                rows.map(Value::Object).collect()
            }
            Content::Records { declared, records } => {
                let names: Vec<&String> =
                    declared.iter().map(|(name, _)| name).chain(records.iter().flat_map(Map::keys)).collect();
                let whole = |record: &Map<String, Value>| {
                    names.iter().map(|&name| (name.clone(), record.get(name).cloned().unwrap_or_default())).collect()
                };
                records.iter().map(whole).map(Value::Object).collect()
            }
        }
    }

    /// The DuckDB types of a table's columns; of a table of JSON records, those that were declared.
    ///
    /// # Panics
    /// If the driver failed or made no such table.
    #[track_caller]
    pub fn types(&self, table: &str) -> BTreeMap<String, String> {
        match &self.table(table).content {
            Content::Columns { fields, .. } => values::types(fields),
            Content::Records { declared, .. } => declared.iter().cloned().collect(),
        }
    }

    /// The state for the next run: what the driver stored, or else what it was given.
    pub fn state(&self) -> Option<Value> {
        self.host.state.as_deref().and_then(|state| serde_json::from_str(state).ok())
    }

    pub fn log(&self) -> &[LogLine] {
        &self.host.log
    }

    pub fn metrics(&self) -> &BTreeMap<String, f64> {
        &self.host.metrics
    }

    /// The last progress: units done, of how many.
    pub fn progress(&self) -> Option<(u64, Option<u64>)> {
        self.host.progress
    }

    pub fn rejected(&self) -> &[Rejected] {
        &self.host.rejected
    }

    /// The waits before retries and between requests, which a test does not really wait.
    pub fn waits(&self) -> &[Duration] {
        &self.host.waits
    }

    /// The requests that the driver sent.
    #[cfg(feature = "http")]
    pub fn requests(&self) -> &[Sent] {
        &self.host.requests
    }

    /// What the driver wrote to a file. A file written by `copy` has the SELECT.
    pub fn file(&self, path: &str) -> Option<&[u8]> {
        self.host.written.get(path).map(Vec::as_slice)
    }
}
