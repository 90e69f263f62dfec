//! The driver's options, and the SQL that they come to.

use std::collections::BTreeMap;

use osiris_sdk::sql::{quote_name, quote_text};
use osiris_sdk::{Error, Result};
use serde::{Deserialize, Deserializer};

use crate::{WHOLE, select_list, wanted};

/// What DuckDB allows a record to be at first.
const RECORD_BYTES: u64 = 16 << 20;

#[derive(Debug, Clone, Deserialize)]
pub struct Config {
    pub path: String,
    format: Format,
    #[serde(default, deserialize_with = "records_path")]
    pub records: Vec<String>,
    pub columns: Option<Vec<String>>,
    pub dtype: BTreeMap<String, String>,
    compression: Compression,
    pub limit: Option<u64>,
    pub sample_size: i64,
    max_depth: i64,
    max_record_bytes: Option<u64>,
    pub on_bad_lines: OnBadLines,
    /// Whether objects of ever other keys may become MAPs.
    #[serde(skip, default = "yes")]
    pub maps: bool,
    /// Whether `records` leads to a list of objects, whose keys are columns.
    #[serde(skip, default = "yes")]
    pub are_objects: bool,
}

fn yes() -> bool {
    true
}

#[derive(Debug, Deserialize, PartialEq, Eq, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum Format {
    Auto,
    NewlineDelimited,
    Array,
}

#[derive(Debug, Deserialize, PartialEq, Eq, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Compression {
    Infer,
    None,
    Gzip,
    Zstd,
}

#[derive(Debug, Deserialize, PartialEq, Eq, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub enum OnBadLines {
    Error,
    Skip,
}

/// A path of keys, written as one text with dots or as a list.
fn records_path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Path {
        Dotted(String),
        Keys(Vec<String>),
    }
    Ok(match Path::deserialize(deserializer)? {
        Path::Dotted(path) => path.split('.').map(str::to_owned).collect(),
        Path::Keys(keys) => keys,
    })
}

impl Config {
    /// Settles what the file's size decides, and refuses options that exclude one another.
    ///
    /// # Errors
    /// `config`, for such options.
    pub fn settle(&mut self, size: u64) -> Result<()> {
        if self.on_bad_lines == OnBadLines::Skip && (self.format == Format::Array || !self.records.is_empty()) {
            return Err(Error::config(
                "`on_bad_lines: skip` is for files of one record a line: an array or a document is read as a whole or not at all",
            ));
        }
        let document = if self.compression() == "none" { size + 1 } else { size.saturating_mul(20) };
        let default = if self.records.is_empty() { RECORD_BYTES } else { document.max(RECORD_BYTES) };
        self.max_record_bytes = Some(self.max_record_bytes.unwrap_or(default).min(i32::MAX as u64));
        Ok(())
    }

    /// The same, with types inferred from every record.
    pub fn of_every_record(&self) -> Self {
        Self { sample_size: -1, ..self.clone() }
    }

    pub fn may_skip(&self) -> bool {
        self.on_bad_lines == OnBadLines::Error && self.format != Format::Array && self.records.is_empty()
    }

    pub fn record_bytes(&self) -> u64 {
        self.max_record_bytes.unwrap_or(RECORD_BYTES)
    }

    pub fn compression(&self) -> &'static str {
        let ends = |suffix: &str| self.path.to_lowercase().ends_with(suffix);
        match self.compression {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
            Compression::Infer if ends(".gz") => "gzip",
            Compression::Infer if ends(".zst") => "zstd",
            Compression::Infer => "none",
        }
    }

    /// Options of every call of DuckDB's reader.
    fn shape(&self) -> String {
        let format = match self.format {
            Format::Auto => "auto",
            Format::NewlineDelimited => "newline_delimited",
            Format::Array => "array",
        };
        let compression = if self.compression() == "none" { "uncompressed" } else { self.compression() };
        format!("format = '{format}', compression = '{compression}', maximum_object_size = {}", self.record_bytes())
    }

    /// A call of DuckDB's reader over the file, whose SQL literal is `file`, with types inferred.
    pub fn reader(&self, file: &str) -> String {
        let maps = if self.maps && self.records.is_empty() { "" } else { ", map_inference_threshold = -1" };
        let (shape, sample, depth) = (self.shape(), self.sample_size, self.max_depth);
        format!("read_json({file}, {shape}, sample_size = {sample}, maximum_depth = {depth}{maps})")
    }

    /// A call in which the columns are given.
    pub fn typed_reader(&self, file: &str, columns: &[(String, String)]) -> String {
        let columns = match self.records.split_first() {
            None => dictionary(columns),
            Some((first, rest)) => {
                let members: Vec<String> =
                    columns.iter().map(|(name, kind)| format!("{} {kind}", quote_name(name))).collect();
                let list = format!("STRUCT({})[]", members.join(", "));
                let kind = rest.iter().rev().fold(list, |inner, key| format!("STRUCT({} {inner})", quote_name(key)));
                dictionary(&[(first.clone(), kind)])
            }
        };
        format!("read_json({file}, {}, columns = {columns})", self.shape())
    }

    /// The reader of a file without a record: the columns are those that the config names.
    pub fn empty_reader(&self, file: &str) -> String {
        format!(
            "(select * from read_json({file}, {}, columns = {}) limit 0)",
            self.shape(),
            dictionary(&self.named_columns())
        )
    }

    /// The columns that the config names, with their types; `json` where it names none.
    pub fn named_columns(&self) -> Vec<(String, String)> {
        let mut columns: Vec<(String, String)> = Vec::new();
        let named = self.columns.iter().flatten().chain(self.dtype.keys());
        for name in named {
            if !columns.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
                columns.push((name.clone(), self.dtype.get(name).cloned().unwrap_or_else(|| "JSON".to_owned())));
            }
        }
        if columns.is_empty() {
            columns.push((WHOLE.to_owned(), "JSON".to_owned()));
        }
        columns
    }

    /// The inferred columns with the types that the config gives, and those that no record has.
    pub fn typed_columns(&self, inferred: &[(&str, &str)]) -> Vec<(String, String)> {
        let given = |name: &str| self.dtype.get(name).map(String::as_str);
        let known = inferred.iter().map(|&(name, kind)| (name.to_owned(), given(name).unwrap_or(kind).to_owned()));
        let missing = self.dtype.iter().filter(|(name, _)| !inferred.iter().any(|(known, _)| known == name));
        known.chain(missing.map(|(name, kind)| (name.clone(), kind.clone()))).collect()
    }

    /// The list of records inside the document that is called `doc`.
    pub fn records_path(&self) -> String {
        let Some((first, rest)) = self.records.split_first() else { return String::new() };
        let start = format!("doc.{}", quote_name(first));
        rest.iter().fold(start, |inner, key| format!("struct_extract({inner}, {})", quote_text(key)))
    }

    /// What stands after FROM: the reader, or the list inside its document.
    pub fn records_from(&self, reader: &str) -> String {
        if self.records.is_empty() {
            return reader.to_owned();
        }
        let record = if self.are_objects { "unnest(item)".to_owned() } else { format!("item as {WHOLE}") };
        format!("(select {record} from (select unnest({}) as item from {reader} as doc))", self.records_path())
    }

    /// The records that have a key called `name`.
    pub fn records_with_key(&self, file: &str, name: &str) -> String {
        let objects = format!("read_json_objects({file}, {})", self.shape());
        format!("(select 1 from {objects} where json_exists({WHOLE}, {}))", pointer(name))
    }

    /// The SELECT that reads `from`, whose columns are called `names`.
    ///
    /// # Errors
    /// When a wanted column does not exist.
    pub fn select(&self, from: &str, names: &[String]) -> Result<String> {
        let columns = select_list(wanted(self.columns.as_deref(), names)?);
        Ok(format!("select {columns} from {from}{}", self.limit_clause()))
    }

    pub fn limit_clause(&self) -> String {
        self.limit.map_or_else(String::new, |limit| format!(" limit {limit}"))
    }
}

/// The JSON pointer (RFC 6901) to a key, as a SQL literal.
pub fn pointer(key: &str) -> String {
    quote_text(&format!("/{}", key.replace('~', "~0").replace('/', "~1")))
}

/// Whether DuckDB may have made `name` out of a key that is empty or stands there in another case.
pub fn looks_renamed<'a>(name: &str, mut all: impl Iterator<Item = &'a str>) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if name.strip_prefix('C').is_some_and(digits) {
        return true;
    }
    let Some((stem, number)) = name.rsplit_once('_') else { return false };
    digits(number) && all.any(|other| other.eq_ignore_ascii_case(stem))
}

/// A DuckDB struct of texts.
fn dictionary(pairs: &[(String, String)]) -> String {
    let pairs: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{}: {}", quote_text(name), quote_text(value))).collect();
    format!("{{{}}}", pairs.join(", "))
}

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;
