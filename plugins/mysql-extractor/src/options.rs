//! What a step's config says of what to read.

use mysql_client::sql::{TableName, quote_names};
use mysql_client::types::{Reading, TimeAs, Tinyint1};
use osiris_sdk::{Error, Result};
use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
pub struct Config {
    #[serde(flatten)]
    pub connection: mysql_client::Config,
    pub query: Option<String>,
    pub table: Option<String>,
    pub columns: Option<Vec<String>>,
    pub filter: Option<String>,
    pub limit: Option<u64>,
    #[serde(default = "batch_size")]
    pub batch_size: usize,
    #[serde(default)]
    pub tinyint1: Tinyint1,
    #[serde(default)]
    pub time: TimeAs,
    #[serde(default)]
    pub zero_dates: ZeroDates,
    #[serde(default)]
    pub replication: Replication,
    pub cursor: Option<String>,
    pub initial: Option<Initial>,
    #[serde(default)]
    pub null_cursor: NullCursor,
}

fn batch_size() -> usize {
    65_536
}

/// What becomes of dates that do not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ZeroDates {
    #[default]
    Error,
    Null,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Replication {
    #[default]
    Full,
    Incremental,
}

/// What becomes of rows without a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NullCursor {
    #[default]
    Error,
    Skip,
    Include,
}

/// Where the first increment begins, as YAML has it.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Initial {
    Integer(i64),
    Number(f64),
    Text(String),
}

impl std::fmt::Display for Initial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Initial::Integer(number) => number.fmt(f),
            Initial::Number(number) => number.fmt(f),
            Initial::Text(text) => text.fmt(f),
        }
    }
}

impl Config {
    pub fn reading(&self) -> Reading {
        Reading { tinyint1: self.tinyint1, time: self.time }
    }

    /// Refuses what the schema cannot.
    ///
    /// # Errors
    /// `config`, with what goes together.
    pub fn check(&self) -> Result<()> {
        let wrong = |message: &str| Err(Error::config(message));
        match (&self.query, &self.table) {
            (None, None) => return wrong("the config says neither `query` nor `table`; set one"),
            (Some(_), Some(_)) => return wrong("`query` and `table` both say what to read; leave one out"),
            (Some(_), None) if self.columns.is_some() || self.filter.is_some() || self.limit.is_some() => {
                return wrong("`columns`, `filter` and `limit` go with `table`; write them into the `query`");
            }
            _ => {}
        }
        match self.replication {
            Replication::Full if self.cursor.is_some() || self.initial.is_some() => {
                wrong("`cursor` and `initial` go with `replication: incremental`")
            }
            Replication::Incremental if self.cursor.is_none() => {
                wrong("`replication: incremental` needs `cursor`, the column that grows")
            }
            Replication::Incremental if self.limit.is_some() => {
                wrong("`limit` would cut an increment short and lose its rest; use `filter` or `replication: full`")
            }
            _ => Ok(()),
        }
    }

    /// The rows to read, as `from {this}`.
    ///
    /// # Errors
    /// `config`, for a table's name that is none.
    pub fn rows(&self) -> Result<String> {
        if let Some(query) = self.query() {
            return Ok(format!("(\n{query}\n) as source"));
        }
        Ok(TableName::parse(self.table.as_deref().unwrap_or_default())?.quoted())
    }

    fn query(&self) -> Option<&str> {
        self.query.as_ref().map(|query| query.trim_end_matches(|c: char| c.is_whitespace() || c == ';'))
    }

    /// A SELECT of the rows that meet the config's filter and `condition`.
    ///
    /// # Errors
    /// As [`rows`](Self::rows).
    pub fn select(&self, what: Option<&str>, condition: Option<&str>) -> Result<String> {
        if let (Some(query), None, None) = (self.query(), what, condition) {
            return Ok(query.to_owned());
        }
        let columns = self.columns.as_ref().map(|names| quote_names(names.iter().map(String::as_str)));
        let what = what.map(str::to_owned).or(columns).unwrap_or_else(|| "*".to_owned());
        let filter = self.filter.as_ref().map(|filter| format!("(\n{filter}\n)"));
        let conditions: Vec<String> = filter.into_iter().chain(condition.map(|text| format!("({text})"))).collect();
        let mut select = format!("select {what} from {}", self.rows()?);
        if !conditions.is_empty() {
            select += &format!(" where {}", conditions.join(" and "));
        }
        if let Some(limit) = self.limit {
            select += &format!(" limit {limit}");
        }
        Ok(select)
    }

    /// What is read, for a person.
    pub fn what(&self) -> String {
        self.table.as_ref().map_or_else(|| "the query".to_owned(), |table| format!("table `{table}`"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn config() -> Config {
        Config {
            connection: mysql_client::Config::default(),
            query: None,
            table: Some("shop.orders".to_owned()),
            columns: None,
            filter: None,
            limit: None,
            batch_size: 1,
            tinyint1: Tinyint1::Boolean,
            time: TimeAs::Time,
            zero_dates: ZeroDates::Error,
            replication: Replication::Full,
            cursor: None,
            initial: None,
            null_cursor: NullCursor::Error,
        }
    }

    #[test]
    fn a_table_becomes_a_select() {
        let whole = Config {
            columns: Some(vec!["id".to_owned(), "a`b".to_owned()]),
            filter: Some("id > 5 -- new ones".to_owned()),
            limit: Some(3),
            ..config()
        };
        assert_eq!(
            whole.select(None, None).unwrap(),
            "select `id`, `a``b` from `shop`.`orders` where (\nid > 5 -- new ones\n) limit 3"
        );
        let query = Config { table: None, query: Some("select 1 ; \n".to_owned()), ..config() };
        assert_eq!(query.select(None, None).unwrap(), "select 1");
        assert_eq!(query.select(Some("1"), Some("x")).unwrap(), "select 1 from (\nselect 1\n) as source where (x)");
    }

    #[test]
    fn options_that_do_not_go_together_are_refused() {
        let incremental = Config { replication: Replication::Incremental, cursor: Some("id".to_owned()), ..config() };
        assert!(config().check().is_ok() && incremental.check().is_ok());
        for wrong in [
            Config { table: None, ..config() },
            Config { query: Some("select 1".to_owned()), ..config() },
            Config { table: None, query: Some("select 1".to_owned()), limit: Some(1), ..config() },
            Config { cursor: Some("id".to_owned()), ..config() },
            Config { cursor: None, ..incremental.clone() },
            Config { limit: Some(1), ..incremental },
        ] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
    }
}
