//! A file that a writer wrote has everything that it was given.

use std::path::Path;

use duckdb_text::{quote_name, quote_text};
use serde_json::{Map, Value};

use super::compare::breakage;
use super::{GoodRun, Subject, Verdict, hostile};
use crate::kit::harness::Trial;
use crate::kit::outcome::{Outcome, Table};
use crate::kit::source::{Source, TestInput};

const NO_FILE: &str = "no test of the driver that succeeds writes a CSV, JSON or Parquet file from one input";

/// Each file is read by the driver that reads its format, and compared with the input.
pub fn files(subject: &Subject<'_>) -> anyhow::Result<Verdict> {
    let mut runs = 0;
    for run in subject.some() {
        let [TestInput { alias, source }] = run.trial.inputs.as_slice() else { continue };
        // A file of a folder of partitions has only some of the rows.
        let is_whole = |name: &&String| run.trial.config.values().any(|value| value.as_str() == Some(name.as_str()));
        let (Some(select), Some(name)) = (source.select()?, run.outcome.files.keys().find(is_whole)) else { continue };
        let Some(reader) = reader(name) else { continue };
        let columns = subject.query(&select, Vec::new())?.columns;
        runs += 1;
        for select in [select, hostile::select(&columns)] {
            let input = TestInput { alias: alias.clone(), source: Source::Sql(select.clone()) };
            let trial = Trial { inputs: vec![input.clone()], ..run.trial.clone() };
            let outcome = subject.harness.run(&trial)?;
            if let Some(words) = breakage(&outcome) {
                return Ok(Verdict::Failed(format!("with values at the edges of their types, {words}")));
            }
            let Some(bytes) = outcome.files.get(name) else { continue };
            let read = Read { name, bytes, reader, columns: &columns };
            if let Some(words) = read.difference(subject, run, &input)? {
                return Ok(Verdict::Failed(format!("the file of test `{}` reads back differently: {words}", run.name)));
            }
        }
    }
    Ok(Verdict::of(runs, NO_FILE))
}

/// The driver that reads files of that name.
fn reader(name: &str) -> Option<&'static str> {
    Some(match Path::new(name).extension()?.to_str()? {
        "csv" => "filesystem.csv_extractor",
        "json" | "jsonl" | "ndjson" => "filesystem.json_extractor",
        "parquet" => "filesystem.parquet_extractor",
        _ => return None,
    })
}

/// A written file and how it is read.
struct Read<'a> {
    name: &'a str,
    bytes: &'a [u8],
    reader: &'static str,
    /// The columns of the input.
    columns: &'a [(String, String)],
}

impl Read<'_> {
    /// What the file has that the input lacks, and the other way round.
    fn difference(&self, subject: &Subject<'_>, run: &GoodRun, input: &TestInput) -> anyhow::Result<Option<String>> {
        let written = TestInput { alias: "written".to_owned(), source: self.source(subject, run)? };
        let files = [(self.name.to_owned(), self.bytes.to_vec())].into();
        let list = |table: &str, is_text: bool| {
            let columns = self.columns.iter().map(|(name, duckdb_type)| {
                let name = quote_name(name);
                let value = if is_text { format!("CAST({name} AS {duckdb_type})") } else { name.clone() };
                format!("CAST({value} AS VARCHAR) AS {name}")
            });
            format!("SELECT {} FROM {table}", columns.collect::<Vec<_>>().join(", "))
        };
        let (given, read) = (list(&quote_name(&input.alias), false), list("written", true));
        let lost = |words: &str, one: &str, other: &str| {
            format!("SELECT {} AS difference, * FROM (({one}) EXCEPT ALL ({other}))", quote_text(words))
        };
        let select = format!("{} UNION ALL {}", lost("missing", &given, &read), lost("new", &read, &given));
        let outcome = subject.harness.query_with_files(&select, vec![input.clone(), written], files)?;
        Ok(first_row(&outcome))
    }

    /// The file, read with those options of the writer that its reader has too.
    fn source(&self, subject: &Subject<'_>, run: &GoodRun) -> anyhow::Result<Source> {
        let spec = subject.harness.source(self.reader)?.spec;
        let known = |name: &String| spec.config_schema.pointer(&format!("/properties/{name}")).is_some();
        let own = run.trial.config.iter().filter(|(name, _)| known(name));
        let mut config: Map<String, Value> = own.map(|(name, value)| (name.clone(), value.clone())).collect();
        config.insert("path".to_owned(), self.name.into());
        // A text that stands for null elsewhere is a text here.
        if known(&"na_values".to_owned()) {
            let null = config.get("na_rep").cloned().unwrap_or_else(|| "".into());
            config.insert("na_values".to_owned(), Value::from(vec![null]));
            config.insert("quoted_na".to_owned(), false.into());
        }
        Ok(Source::Component { name: self.reader.to_owned(), config })
    }
}

/// The first row of a query, or why it failed.
fn first_row(outcome: &Outcome) -> Option<String> {
    if !outcome.is_success() {
        return Some(outcome.words());
    }
    let Table { rows, .. } = outcome.tables.values().next()?;
    rows.first().map(|row| row.chars().take(400).collect())
}
