//! The driver's options, and the checks on them.

use std::collections::BTreeMap;

use input_files::{Compression, Encoding, FileOptions};
use osiris_sdk::{Error, Result};
use serde::Deserialize;

use crate::checks::{Declared, Rule};
use crate::kinds::{Booleans, NumberFormat};

#[derive(Debug, Clone, Deserialize)]
pub struct Config {
    #[serde(flatten)]
    pub files: FileOptions,
    pub delimiter: String,
    #[serde(default)]
    pub encoding: Encoding,
    pub quote: String,
    pub escape: Option<String>,
    /// Null means no header.
    pub header: Option<Header>,
    pub columns: Option<Vec<String>>,
    pub skip_rows: u64,
    pub parse_dates: ParseDates,
    pub date_format: Option<String>,
    pub timestamp_format: Option<String>,
    pub types: Types,
    #[serde(default)]
    pub dtype: Dtype,
    pub na_values: Vec<String>,
    pub quoted_na: bool,
    pub true_values: Option<Vec<String>>,
    pub false_values: Option<Vec<String>>,
    pub decimal: String,
    pub thousands: Option<String>,
    pub skip_blank_lines: Option<bool>,
    pub comment: Option<String>,
    #[serde(default)]
    pub compression: Compression,
    pub on_bad_lines: OnBadLines,
    pub infer_rows: i64,
    pub max_line_bytes: u64,
}

/// Types by column, or one type for all columns.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Dtype {
    All(String),
    Columns(BTreeMap<String, String>),
}

impl Default for Dtype {
    fn default() -> Self {
        Self::Columns(BTreeMap::new())
    }
}

/// Whether there is a header, or which line it is, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Header {
    There(bool),
    At(u64),
}

/// Whether to look for dates everywhere, nowhere, or in these columns.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum ParseDates {
    All(bool),
    Columns(Vec<String>),
}

/// How to choose the types of columns without a declared type.
#[derive(Debug, Deserialize, PartialEq, Eq, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub enum Types {
    /// So that every value survives.
    Strict,
    /// By DuckDB's own guess, without checks.
    Fast,
}

#[derive(Debug, Deserialize, PartialEq, Eq, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub enum OnBadLines {
    Error,
    Skip,
}

fn refuse(message: impl Into<String>) -> Result<()> {
    Err(Error::config(message))
}

impl Config {
    /// Refuses options that cannot work, before anything is read.
    ///
    /// # Errors
    /// `config`, naming the options.
    pub fn check(&self) -> Result<()> {
        if self.infer_rows == 0 {
            return refuse("`infer_rows: 0` leaves nothing to infer types from: give a number of rows, or -1 for all");
        }
        if self.files.union_by_name && !matches!(self.header, Some(Header::At(_) | Header::There(true))) {
            return refuse("`union_by_name: true` needs names: it excludes `header: null`");
        }
        self.check_types()?;
        let delimiter = self.wanted_delimiter().unwrap_or_default();
        self.check_characters(&delimiter)?;
        self.check_nulls(&delimiter)?;
        let booleans = self.booleans();
        if let Some(both) = booleans.truths.iter().find(|word| booleans.falsehoods.contains(word)) {
            return refuse(format!("`{both}` is both in `true_values` and in `false_values`"));
        }
        Ok(())
    }

    /// Refuses options that `types: fast` would ignore.
    fn check_types(&self) -> Result<()> {
        let strict_only = [
            ("decimal", self.decimal != "."),
            ("thousands", self.thousands.is_some()),
            ("true_values", self.true_values.is_some()),
            ("false_values", self.false_values.is_some()),
            ("date_format", self.date_format.is_some()),
            ("timestamp_format", self.timestamp_format.is_some()),
            ("parse_dates: false", matches!(self.parse_dates, ParseDates::All(false))),
        ];
        if let (Types::Fast, Some((name, _))) = (self.types, strict_only.into_iter().find(|(_, given)| *given)) {
            return refuse(format!("`{name}` has no effect with `types: fast`: omit one of them"));
        }
        Ok(())
    }

    /// Refuses special characters that cannot be distinguished, or are too long.
    fn check_characters(&self, delimiter: &str) -> Result<()> {
        let special = [
            ("quote", Some(&self.quote)),
            ("comment", self.comment.as_ref()),
            ("decimal", Some(&self.decimal)),
            ("thousands", self.thousands.as_ref()),
        ];
        for (name, value) in special {
            let Some(value) = value.filter(|value| !value.is_empty()) else { continue };
            if *value == delimiter {
                return refuse(format!("`{name}` and `delimiter` are both `{value}`"));
            }
            if matches!(name, "quote" | "comment") && value.len() > 1 {
                return refuse(format!("`{name}: {value}` must be one ASCII character"));
            }
            if value.contains(['\n', '\r']) {
                return refuse(format!("`{name}` must not be a line end"));
            }
        }
        if delimiter.contains(['\n', '\r']) || delimiter.len() > 4 {
            return refuse("`delimiter` must be 1 to 4 bytes, none of them a line end");
        }
        let same = |one: &str, other: &str| !one.is_empty() && one == other;
        if same(&self.quote, self.comment.as_deref().unwrap_or_default()) {
            return refuse(format!("`quote` and `comment` are both `{}`", self.quote));
        }
        if same(&self.decimal, self.thousands.as_deref().unwrap_or_default()) {
            return refuse(format!("`decimal` and `thousands` are both `{}`", self.decimal));
        }
        if self.escape.as_ref().is_some_and(|escape| escape.len() > 1) {
            return refuse("`escape` must be one ASCII character");
        }
        Ok(())
    }

    /// Refuses texts for null that no unquoted value can have.
    fn check_nulls(&self, delimiter: &str) -> Result<()> {
        for value in &self.na_values {
            let part = [("delimiter", delimiter), ("quote", self.quote.as_str())];
            if let Some((name, part)) = part.into_iter().find(|(_, part)| !part.is_empty() && value.contains(part)) {
                return refuse(format!(
                    "`na_values` has `{value}`, which contains the {name} `{part}`, so it can never be a value without quotes"
                ));
            }
            if value.contains(['\n', '\r']) {
                return refuse("`na_values` has a text with a line end");
            }
        }
        Ok(())
    }

    /// The delimiter in the config; `None` if it is inferred from the file.
    pub fn wanted_delimiter(&self) -> Option<String> {
        match self.delimiter.as_str() {
            "auto" => None,
            "\\t" => Some("\t".to_owned()),
            other => Some(other.to_owned()),
        }
    }

    pub fn booleans(&self) -> Booleans {
        let default = Booleans::default();
        match (&self.true_values, &self.false_values) {
            (None, None) => default,
            (truths, falsehoods) => Booleans {
                truths: truths.clone().unwrap_or(default.truths),
                falsehoods: falsehoods.clone().unwrap_or(default.falsehoods),
            },
        }
    }

    pub fn numbers(&self) -> NumberFormat {
        NumberFormat {
            decimal: self.decimal.chars().next().unwrap_or('.'),
            thousands: self.thousands.as_ref().and_then(|thousands| thousands.chars().next()),
        }
    }

    /// Whether dates are inferred in columns without a declared type.
    pub fn infers_dates(&self) -> bool {
        matches!(self.parse_dates, ParseDates::All(true))
    }

    /// The declared type of a column.
    ///
    /// # Errors
    /// `config` for a text that cannot be a type.
    pub fn declared(&self, column: &str) -> Result<Option<Declared>> {
        let named = match &self.dtype {
            Dtype::All(kind) => Some(kind),
            Dtype::Columns(columns) => columns.get(column),
        };
        if let Some(name) = named {
            let mut declared = Declared::parse(column, name)?;
            declared.format = match declared.rule {
                Rule::Date => self.date_format.clone(),
                Rule::Timestamp { .. } | Rule::TimestampTz => self.timestamp_format.clone(),
                _ => None,
            };
            return Ok(Some(declared));
        }
        match &self.parse_dates {
            ParseDates::Columns(columns) if columns.iter().any(|name| name == column) => {
                let (sql, digits, format) = match (&self.timestamp_format, &self.date_format) {
                    (Some(format), _) => ("TIMESTAMP", true, Some(format)),
                    (None, Some(format)) => ("DATE", false, Some(format)),
                    (None, None) => ("TIMESTAMP", true, None),
                };
                let rule = if digits { Rule::Timestamp { digits: 6 } } else { Rule::Date };
                Ok(Some(Declared { sql: sql.to_owned(), rule, format: format.cloned() }))
            }
            _ => Ok(None),
        }
    }

    /// The columns that options name, each with the option.
    pub fn named_columns(&self) -> Vec<(&'static str, &str)> {
        let mut named: Vec<(&str, &str)> =
            self.columns.iter().flatten().map(|name| ("columns", name.as_str())).collect();
        if let Dtype::Columns(columns) = &self.dtype {
            named.extend(columns.keys().map(|name| ("dtype", name.as_str())));
        }
        if let ParseDates::Columns(columns) = &self.parse_dates {
            named.extend(columns.iter().map(|name| ("parse_dates", name.as_str())));
        }
        named
    }
}
