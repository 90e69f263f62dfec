//! The driver's options.

use std::collections::BTreeMap;

use osiris_sdk::{Error, Result};
use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
pub struct Config {
    pub path: String,
    table: Option<String>,
    query: Option<String>,
    pub columns: Option<Vec<String>>,
    pub dtype: BTreeMap<String, String>,
    pub on_misfit: OnMisfit,
    pub limit: Option<u64>,
}

/// The option `on_misfit`: what to do with a value that does not fit the declared type of its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnMisfit {
    Error,
    /// The whole column becomes VARCHAR.
    Text,
    /// The value is left out, with a warning.
    Blank,
}

/// What is read.
pub enum Wanted<'a> {
    Table(&'a str),
    Query(&'a str),
}

impl Config {
    /// # Errors
    /// `config` for options that exclude each other.
    pub fn wanted(&self) -> Result<Option<Wanted<'_>>> {
        match (&self.table, &self.query) {
            (Some(_), Some(_)) => Err(Error::config("give `table` or `query`, not both")),
            (None, Some(_)) if self.columns.is_some() || self.limit.is_some() || !self.dtype.is_empty() => {
                Err(Error::config(
                    "`columns`, `dtype` and `limit` go with `table`; a `query` chooses, casts and limits by itself",
                ))
            }
            (None, Some(query)) => Ok(Some(Wanted::Query(query))),
            (Some(table), None) => Ok(Some(Wanted::Table(table))),
            (None, None) => Ok(None),
        }
    }
}
