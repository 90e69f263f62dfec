//! The driver's options.

use std::collections::BTreeMap;

use input_files::{Compression, Encoding, FileOptions};
use osiris_sdk::{Error, Result};
use serde::{Deserialize, Deserializer};

/// The default size limit of a record, in bytes.
const RECORD_BYTES: u64 = 16 << 20;

#[derive(Debug, Clone, Deserialize)]
pub struct Config {
    #[serde(flatten)]
    pub files: FileOptions,
    pub format: Format,
    #[serde(default, deserialize_with = "records_path")]
    pub records: Vec<String>,
    pub columns: Option<Vec<String>>,
    pub dtype: BTreeMap<String, String>,
    pub compression: Compression,
    pub encoding: Encoding,
    max_depth: i64,
    max_record_bytes: Option<u64>,
    pub on_bad_lines: OnBadLines,
}

#[derive(Debug, Deserialize, PartialEq, Eq, Clone, Copy)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    Auto,
    NewlineDelimited,
    Array,
}

#[derive(Debug, Deserialize, PartialEq, Eq, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub enum OnBadLines {
    Error,
    Skip,
}

/// A path of keys, as one dotted text or as a list.
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
    /// Refuses options that exclude one another.
    ///
    /// # Errors
    /// `config` for such options.
    pub fn check(&self) -> Result<()> {
        if self.on_bad_lines == OnBadLines::Skip && (self.format == Format::Array || !self.records.is_empty()) {
            return Err(Error::config(
                "`on_bad_lines: skip` is for files of one record a line: an array or a document is read as a whole or not at all",
            ));
        }
        Ok(())
    }

    pub fn may_skip(&self) -> bool {
        self.on_bad_lines == OnBadLines::Error && self.format != Format::Array && self.records.is_empty()
    }

    pub fn record_bytes(&self) -> usize {
        usize::try_from(self.max_record_bytes.unwrap_or(RECORD_BYTES)).unwrap_or(usize::MAX)
    }

    /// The depth from which values stay JSON; a record has depth 0.
    pub fn depth(&self) -> usize {
        usize::try_from(self.max_depth).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn config(more: &str) -> Config {
        let text = format!(
            r#"{{"path": "x", "union_by_name": false, "filename": false, "hive_partitioning": false, "new_files_only": false, "on_changed_file": "error", "format": "auto", "dtype": {{}}, "compression": "infer", "encoding": "utf-8", "max_depth": -1, "on_bad_lines": "error"{more}}}"#
        );
        serde_json::from_value(serde_json::from_str(&text).unwrap()).unwrap()
    }

    #[test]
    fn a_path_of_records_is_a_text_or_a_list() {
        assert_eq!(config(r#", "records": "a.b""#).records, ["a", "b"]);
        assert_eq!(config(r#", "records": ["a.b"]"#).records, ["a.b"]);
        assert!(config("").records.is_empty());
        assert_eq!((config("").depth(), config("").record_bytes()), (usize::MAX, 16 << 20));
    }

    #[test]
    fn skipping_is_for_lines() {
        let skip = Config { on_bad_lines: OnBadLines::Skip, ..config("") };
        assert!(skip.check().is_ok());
        assert!(Config { format: Format::Array, ..skip.clone() }.check().is_err());
        assert!(Config { records: vec!["a".into()], ..skip }.check().is_err());
    }
}
