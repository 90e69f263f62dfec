//! The tests in a driver's folder: finds their files and turns each test into a run of the driver.
//!
//! A tests folder belongs to the driver's author, so nothing in it reaches a file outside it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use serde_json::{Map, Number, Value};

use super::expect::is_too_long;
use super::harness::Trial;
use super::source::{MadeFile, Rows, Source, TestInput};
use super::test_file::{
    self, Expectation, ExpectedFile, FileContent, Http, MadeContent, Named, RecordingUse, TestCase,
};
use crate::driver::spec::Kind;
use crate::error::{Report, nearest};
use crate::grants::limits::Limits;
use crate::pipeline::params::Environment;
use crate::recordings::recording::{self, MAX_FILE};
use crate::recordings::{Exchange, Exchanges, Replay};
use crate::session::plain;

/// The most files of tests in a folder.
const MAX_FILES: usize = 1000;

/// The largest file that a test copies, in bytes.
const MAX_COPIED: u64 = 64 << 20;

/// The bundled drivers of each format: the name of the format, the reader, the writer.
const FORMATS: [(&str, &str, &str); 4] = [
    ("csv", "filesystem.csv_extractor", "filesystem.csv_writer"),
    ("json", "filesystem.json_extractor", "filesystem.json_writer"),
    ("parquet", "filesystem.parquet_extractor", "filesystem.parquet_writer"),
    ("duckdb", "duckdb.extractor", "duckdb.writer"),
];

/// A driver's tests.
#[derive(Debug)]
pub struct Folder {
    dir: Dir,
    path: PathBuf,
}

/// A test that can be run.
#[derive(Debug)]
pub struct Case {
    pub name: String,
    /// The file that contains it, in the tests' folder.
    pub file: String,
    pub trial: Trial,
    pub expect: Expectation,
    /// The file of its recording, if it has one.
    pub recording: Option<String>,
    /// Whether that file is missing.
    pub is_unrecorded: bool,
}

impl Folder {
    /// # Errors
    /// If the folder cannot be opened.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let dir = Dir::open_ambient_dir(path, ambient_authority()).map_err(|error| {
            Report::input(format!("cannot open the folder of tests `{}`: {error}", path.display()))
                .hint("name the folder with `--tests FOLDER`")
        })?;
        Ok(Self { dir, path: path.to_owned() })
    }

    /// The tests, by file and in the order of each file.
    ///
    /// # Errors
    /// A [`Report`] if a test is malformed, or two have the same name.
    pub fn cases(&self, kind: Kind) -> anyhow::Result<Vec<Case>> {
        let mut cases: Vec<Case> = Vec::new();
        for file in self.files()? {
            let shown = self.path.join(&file).display().to_string();
            let text = self.read(&file)?;
            let stem = Path::new(&file).file_stem().unwrap_or_default().to_string_lossy().into_owned();
            for test in test_file::parse(&text, &shown, &stem)?.tests {
                if let Some(other) = cases.iter().find(|case| case.name == test.name) {
                    let message = format!("two tests are called `{}`, in `{}` and `{file}`", test.name, other.file);
                    return Err(Report::input(message).hint("give each its own `name`").into());
                }
                let case = self.case(test, &file, kind).map_err(|error| {
                    let report = Report::from_error(error);
                    Report { message: format!("{} (in `{shown}`)", report.message), ..report }
                })?;
                cases.push(case);
            }
        }
        Ok(cases)
    }

    fn files(&self) -> anyhow::Result<Vec<String>> {
        let doing = || format!("cannot list `{}`", self.path.display());
        let mut names = Vec::new();
        for entry in self.dir.entries().with_context(doing)? {
            let name = entry.with_context(doing)?.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') && (name.ends_with(".yaml") || name.ends_with(".yml")) {
                names.push(name);
            }
        }
        if names.len() > MAX_FILES {
            return Err(
                Report::input(format!("`{}` has more than {MAX_FILES} files of tests", self.path.display())).into()
            );
        }
        names.sort();
        Ok(names)
    }

    fn case(&self, test: TestCase, file: &str, kind: Kind) -> anyhow::Result<Case> {
        let (exchanges, recording, is_unrecorded) = self.exchanges(&test)?;
        let mut files = BTreeMap::new();
        let mut made_files = Vec::new();
        for (name, content) in &test.files {
            match self.file(&test, name, content)? {
                Made::Bytes(bytes) => drop(files.insert(name.clone(), bytes)),
                Made::File(made) => made_files.push(made),
            }
        }
        if !kind.has_inputs() && !test.inputs.is_empty() {
            return Err(test.wrong("it has inputs, but the driver is an extractor").into());
        }
        let mut inputs = Vec::new();
        for (alias, source) in &test.inputs {
            let place = format!("input `{alias}`");
            let source = self.source(test.named(), &place, alias, source, &mut files)?;
            inputs.push(TestInput { alias: alias.clone(), source });
        }
        let limits = test.limits.map(|limits| limits.0.within(&Limits::DEFAULT));
        let is_replayed = matches!(exchanges, Exchanges::Replay(_));
        let trial = Trial {
            config: test.config.clone(),
            inputs,
            files,
            made_files,
            read_back: read_back(&test)?,
            environment: Environment::from_iter(test.env.clone()),
            state: test.state.as_ref().filter(|state| !state.is_null()).map(ToString::to_string),
            retries: test.retries,
            rejects: test.rejects,
            limits,
            exchanges,
            has_network: test.network.real && !is_replayed,
            private_hosts: test.network.private_hosts.iter().cloned().collect(),
            ..Trial::default()
        };
        Ok(Case { name: test.name, file: file.to_owned(), trial, expect: test.expect, recording, is_unrecorded })
    }

    /// What becomes of a test's requests, the file of its recording, and whether that is missing. A test without exchanges
    /// makes no request, unless it connects to a real service.
    fn exchanges(&self, test: &TestCase) -> anyhow::Result<(Exchanges, Option<String>, bool)> {
        let replay =
            |exchanges, order, ignored| Exchanges::Replay(Replay { exchanges, order, ignored, ..Replay::default() });
        match test.http()? {
            None if test.network.real => Ok((Exchanges::Live, None, false)),
            None => Ok((replay(Vec::new(), Default::default(), Vec::new()), None, false)),
            Some(Http::Inline { exchanges, order, ignore }) => {
                let parse = |(place, value): (usize, &Value)| {
                    if let Some(number) = rounded(value) {
                        let message =
                            format!("exchange {} has the number {number}, which YAML may have rounded", place + 1);
                        return Err(test
                            .wrong(&message)
                            .hint("write the body as `text`, or put the exchanges into a recording"));
                    }
                    serde_json::from_str::<Exchange>(&value.to_string())
                        .map_err(|error| test.wrong(&format!("exchange {} is malformed: {error}", place + 1)))
                };
                let exchanges = exchanges.iter().enumerate().map(parse).collect::<Result<Vec<_>, _>>()?;
                recording::check(&exchanges).map_err(|why| test.wrong(&why))?;
                // An author who writes an exchange leaves out what does not matter.
                let replay = Replay { exchanges, order, ignored: ignore, any_body: true, ..Replay::default() };
                Ok((Exchanges::Replay(replay), None, false))
            }
            Some(Http::File(RecordingUse { recording: file, order, ignore })) => match plain::read(&self.dir, &file) {
                Ok(text) if text.len() as u64 > MAX_FILE => Err(test
                    .wrong(&format!("recording `{file}` is longer than {}", crate::size::spell(MAX_FILE)))
                    .into()),
                Ok(text) => Ok((replay(recording::parse(&text, &file)?, order, ignore), Some(file), false)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    Ok((replay(Vec::new(), order, ignore), Some(file), true))
                }
                Err(error) => Err(test.wrong(&format!("cannot read recording `{file}`: {error}")).into()),
            },
        }
    }

    fn file(&self, test: &TestCase, name: &str, content: &FileContent) -> anyhow::Result<Made> {
        let one = || test.wrong(&format!("file `{name}` is not one of: a text, `copy`, `base64`, `sql`"));
        let made = match content {
            FileContent::Text(text) => return Ok(Made::Bytes(text.clone().into_bytes())),
            FileContent::Made(made) => made,
        };
        match made {
            MadeContent { copy: Some(from), base64: None, sql: None, .. } => {
                Ok(Made::Bytes(self.copied(test.named(), from)?))
            }
            MadeContent { copy: None, base64: Some(text), sql: None, .. } => {
                let text: String = text.split_whitespace().collect();
                let bytes = STANDARD.decode(text);
                let malformed = |error| test.wrong(&format!("the base64 of file `{name}` is malformed: {error}"));
                Ok(Made::Bytes(bytes.map_err(malformed)?))
            }
            MadeContent { copy: None, base64: None, sql: Some(query), options } => {
                let (_, _, writer) = format_of(test, name)?;
                let mut config = options.clone();
                config.insert("path".to_owned(), name.into());
                Ok(Made::File(MadeFile { source: Source::Sql(query.clone()), writer: writer.to_owned(), config }))
            }
            _ => Err(one().into()),
        }
    }

    /// Where a table comes from, which errors call `place`. A file that it is read from is added to `files`, under `stem`.
    pub(super) fn source(
        &self,
        test: Named<'_>,
        place: &str,
        stem: &str,
        written: &Value,
        files: &mut BTreeMap<String, Vec<u8>>,
    ) -> anyhow::Result<Source> {
        let fields = match written {
            Value::String(sql) => return Ok(Source::Sql(sql.clone())),
            Value::Object(fields) => fields,
            _ => return Err(test.wrong(&format!("{place} is neither a SELECT nor a mapping")).into()),
        };
        test.check_keys(place, fields, &["sql", "columns", "rows", "csv", "json", "parquet", "duckdb", "options"])?;
        let text = |name: &str| fields.get(name).and_then(Value::as_str);
        if let Some(sql) = text("sql") {
            return Ok(Source::Sql(sql.to_owned()));
        }
        if fields.contains_key("rows") || fields.contains_key("columns") {
            return Ok(Source::Rows(rows(test, place, fields)?));
        }
        for (format, reader, _) in FORMATS {
            let Some(from) = text(format) else { continue };
            let target = format!("inputs/{stem}.{format}");
            files.insert(target.clone(), self.copied(test, from)?);
            let mut config = fields.get("options").and_then(Value::as_object).cloned().unwrap_or_default();
            config.insert("path".to_owned(), target.into());
            return Ok(Source::Component { name: reader.to_owned(), config });
        }
        Err(test
            .wrong(&format!("{place} has no source: write `sql`, `rows`, `csv`, `json`, `parquet` or `duckdb`"))
            .into())
    }

    fn copied(&self, test: Named<'_>, from: &str) -> Result<Vec<u8>, Report> {
        plain::read_bytes(&self.dir, from, MAX_COPIED).map_err(|error| {
            test.wrong(&format!("cannot read `{from}` in `{}`: {error}", self.path.display()))
                .hint("paths are relative to the folder of the tests, and do not lead out of it")
        })
    }

    pub(super) fn read(&self, file: &str) -> Result<String, Report> {
        plain::read(&self.dir, file)
            .map_err(|error| Report::input(format!("cannot read `{}`: {error}", self.path.join(file).display())))
    }

    /// Writes a recording, creating its folder; returns what a test will read from it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write_recording(&self, file: &str, exchanges: &[Exchange]) -> anyhow::Result<Vec<Exchange>> {
        let doing = || format!("cannot write the recording `{}`", self.path.join(file).display());
        let text = recording::write(exchanges).with_context(doing)?;
        if let Some(folder) = Path::new(file).parent().filter(|folder| !folder.as_os_str().is_empty()) {
            self.dir.create_dir_all(folder).with_context(doing)?;
        }
        let beside = format!("{file}.new");
        self.dir.write(&beside, &text).with_context(doing)?;
        self.dir.rename(&beside, &self.dir, file).with_context(doing)?;
        Ok(recording::parse(&text, file)?)
    }
}

/// A number of more digits than YAML keeps for certain.
fn rounded(value: &Value) -> Option<&Number> {
    match value {
        Value::Number(number) => Some(number).filter(|number| is_too_long(number)),
        Value::Array(items) => items.iter().find_map(rounded),
        Value::Object(fields) => fields.values().find_map(rounded),
        _ => None,
    }
}

enum Made {
    Bytes(Vec<u8>),
    File(MadeFile),
}

/// The drivers for a file, by its name.
fn format_of(test: &TestCase, name: &str) -> Result<(&'static str, &'static str, &'static str), Report> {
    let ending = name.rsplit('.').next().unwrap_or_default();
    FORMATS.into_iter().find(|(format, ..)| *format == ending).ok_or_else(|| {
        let report = test.wrong(&format!(
            "no bundled driver makes or reads file `{name}`; formats: `csv`, `json`, `parquet`, `duckdb`"
        ));
        match nearest(ending, FORMATS.map(|(format, ..)| format)) {
            Some(near) => report.hint(format!("did you mean `.{near}`?")),
            None => report,
        }
    })
}

/// How the written files whose rows are expected are read.
fn read_back(test: &TestCase) -> Result<BTreeMap<String, Source>, Report> {
    let mut sources = BTreeMap::new();
    for (name, file) in test.expect.files.iter().flatten() {
        if let ExpectedFile::Content(content) = file
            && content.table().is_some()
        {
            let (_, reader, _) = format_of(test, name)?;
            let mut config = content.options.clone();
            config.insert("path".to_owned(), name.as_str().into());
            sources.insert(name.clone(), Source::Component { name: reader.to_owned(), config });
        }
    }
    Ok(sources)
}

/// Rows that are written in the test, with the declared types or those that all values of a column have.
fn rows(test: Named<'_>, place: &str, fields: &Map<String, Value>) -> Result<Rows, Report> {
    let written = match fields.get("rows") {
        None => &[][..],
        Some(Value::Array(rows)) => rows,
        Some(_) => return Err(test.wrong(&format!("`rows` of {place} is not a list"))),
    };
    let columns: Vec<(String, String)> = match fields.get("columns") {
        Some(Value::Object(columns)) => {
            let column = |(name, kind): (&String, &Value)| {
                let kind =
                    kind.as_str().ok_or_else(|| test.wrong(&format!("column `{name}` of {place} has no type")))?;
                Ok((name.clone(), kind.to_owned()))
            };
            columns.iter().map(column).collect::<Result<_, Report>>()?
        }
        Some(_) => return Err(test.wrong(&format!("`columns` of {place} is not a mapping of names to types"))),
        None => inferred(test, place, written)?,
    };
    let row = |(number, row): (usize, &Value)| match row {
        Value::Array(values) if values.len() == columns.len() => Ok(values.clone()),
        Value::Object(values) => {
            if let Some(unknown) = values.keys().find(|name| columns.iter().all(|(known, _)| known != *name)) {
                return Err(test.wrong(&format!("row {} of {place} has no column `{unknown}`", number + 1)));
            }
            Ok(columns.iter().map(|(name, _)| values.get(name).cloned().unwrap_or_default()).collect())
        }
        _ => Err(test.wrong(&format!("row {} of {place} does not have {} values", number + 1, columns.len()))),
    };
    let rows = written.iter().enumerate().map(row).collect::<Result<_, _>>()?;
    Ok(Rows { columns, rows })
}

/// The types that values have if the test declares none: BIGINT, DOUBLE, BOOLEAN or VARCHAR.
fn inferred(test: Named<'_>, place: &str, rows: &[Value]) -> Result<Vec<(String, String)>, Report> {
    let declare = |what: &str| {
        test.wrong(&format!("{what} of {place} needs a declared type"))
            .hint("write `columns: {id: BIGINT, name: VARCHAR}` beside `rows`")
    };
    let mut columns: Vec<(String, Option<&str>)> = Vec::new();
    for row in rows {
        let Value::Object(values) = row else { return Err(declare("a row without names")) };
        for (name, value) in values {
            let kind = match value {
                Value::Null => None,
                Value::Bool(_) => Some("BOOLEAN"),
                Value::Number(number) if number.is_i64() => Some("BIGINT"),
                Value::Number(_) => Some("DOUBLE"),
                Value::String(_) => Some("VARCHAR"),
                Value::Array(_) | Value::Object(_) => return Err(declare(&format!("column `{name}`"))),
            };
            match columns.iter_mut().find(|(known, _)| known == name) {
                None => columns.push((name.clone(), kind)),
                Some((_, known)) if known.is_none() || kind.is_none() => *known = known.or(kind),
                Some((_, known)) if *known == kind => {}
                Some(_) => return Err(declare(&format!("column `{name}`, whose values have several types,"))),
            }
        }
    }
    let typed = |(name, kind): (String, Option<&str>)| match kind {
        Some(kind) => Ok((name, kind.to_owned())),
        None => Err(declare(&format!("column `{name}`, which is always null,"))),
    };
    columns.into_iter().map(typed).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn a_number_that_yaml_rounds_is_found_wherever_it_is() {
        for value in [json!([{"a": 0.1, "b": [12345678901234567890123.0]}]), json!({"a": 0.30000000000000004})] {
            assert!(rounded(&value).is_some(), "{value}");
        }
        assert_eq!(
            rounded(&json!({"a": [0.1, 9007199254740993_i64, 18446744073709551615_u64, "0.12345678901234567"]})),
            None
        );
    }
}
