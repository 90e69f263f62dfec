//! What a step's config says of what to read.

use std::collections::BTreeMap;

use osiris_sdk::{Error, Result};
use postgres_client::sql::{TableName, quote_names};
use postgres_client::types::Numeric;
use serde::Deserialize;

use crate::column::Unrepresentable;

#[derive(Debug, Clone, Deserialize)]
pub struct Config {
    #[serde(flatten)]
    pub connection: postgres_client::Config,
    pub query: Option<String>,
    pub table: Option<String>,
    pub columns: Option<Vec<String>>,
    pub filter: Option<String>,
    pub limit: Option<u64>,
    #[serde(default)]
    pub replication: Replication,
    pub cursor: Option<String>,
    pub initial: Option<Initial>,
    #[serde(default)]
    pub null_cursor: NullCursor,
    #[serde(default)]
    pub numeric: Numeric,
    #[serde(default)]
    pub unrepresentable: Unrepresentable,
    /// How deep the arrays of a column are, where the server does not say.
    #[serde(default)]
    pub array_dimensions: BTreeMap<String, usize>,
    pub partitions: Option<u32>,
    pub partition_on: Option<String>,
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
        if self.partitions.is_some_and(|count| count > 1) {
            if self.partition_on.is_none() {
                return wrong("`partitions` needs `partition_on`, the column by which rows are parted");
            }
            if self.limit.is_some() || self.replication == Replication::Incremental {
                return wrong("`partitions` reads all rows: leave out `limit`, and `replication: incremental`");
            }
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

    /// The SELECT that gives the rows, as the user means it.
    ///
    /// # Errors
    /// `config`, for a table's name that is none.
    pub fn select(&self) -> Result<String> {
        if let Some(query) = &self.query {
            return Ok(query.trim_end_matches(|c: char| c.is_whitespace() || c == ';').to_owned());
        }
        let table = TableName::parse(self.table.as_deref().unwrap_or_default())?.quoted();
        let columns =
            self.columns.as_ref().map_or("*".to_owned(), |names| quote_names(names.iter().map(String::as_str)));
        let filter = self.filter.as_ref().map(|filter| format!(" where (\n{filter}\n)"));
        let limit = self.limit.map(|limit| format!(" limit {limit}"));
        Ok(format!("select {columns} from {table}{}{}", filter.unwrap_or_default(), limit.unwrap_or_default()))
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
            connection: postgres_client::Config::default(),
            query: None,
            table: Some("shop.orders".to_owned()),
            columns: None,
            filter: None,
            limit: None,
            replication: Replication::Full,
            cursor: None,
            initial: None,
            null_cursor: NullCursor::Error,
            numeric: Numeric::Text,
            unrepresentable: Unrepresentable::Error,
            array_dimensions: BTreeMap::new(),
            partitions: None,
            partition_on: None,
        }
    }

    #[test]
    fn a_table_becomes_a_select() {
        let whole = Config {
            columns: Some(vec!["id".to_owned(), "a\"b".to_owned()]),
            filter: Some("id > 5 -- new ones".to_owned()),
            limit: Some(3),
            ..config()
        };
        assert_eq!(
            whole.select().unwrap(),
            "select \"id\", \"a\"\"b\" from \"shop\".\"orders\" where (\nid > 5 -- new ones\n) limit 3"
        );
        let query = Config { table: None, query: Some("select 1 ; \n".to_owned()), ..config() };
        assert_eq!(query.select().unwrap(), "select 1");
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
            Config { limit: Some(1), ..incremental.clone() },
            Config { partitions: Some(2), ..config() },
            Config { partitions: Some(2), partition_on: Some("id".to_owned()), ..incremental },
        ] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
    }
}
