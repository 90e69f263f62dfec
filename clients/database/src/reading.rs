//! The options of an extractor that select the rows to read.

use osiris_sdk::{Error, Result};
use serde::Deserialize;

use crate::Lookback;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Replication {
    #[default]
    Full,
    Incremental,
}

/// How rows without a cursor value are handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NullCursor {
    #[default]
    Error,
    Skip,
    Include,
}

/// Where the first incremental run starts, as YAML has it.
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

/// The rows to read: of a table or a query, either all of them or only new ones.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Selection {
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
    /// The span before the last run's cursor that is read again.
    pub lookback: Option<Lookback>,
    /// How many instances read at the same time, each a separate part of the rows.
    pub partitions: Option<u32>,
    /// The column by which rows are divided.
    pub partition_on: Option<String>,
}

impl Selection {
    /// Refuses combinations that a schema cannot express.
    ///
    /// # Errors
    /// `config`, with the options that go together.
    pub fn check(&self) -> Result<()> {
        let wrong = |message: &str| Err(Error::config(message));
        match (&self.query, &self.table) {
            (None, None) => return wrong("neither `query` nor `table` is set; set one"),
            (Some(_), Some(_)) => return wrong("`query` and `table` are both set; leave one out"),
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
            Replication::Full if self.cursor.is_some() || self.initial.is_some() || self.lookback.is_some() => {
                wrong("`cursor`, `initial` and `lookback` go with `replication: incremental`")
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

    /// The query, without a trailing semicolon.
    pub fn query(&self) -> Option<&str> {
        self.query.as_ref().map(|query| query.trim_end_matches(|c: char| c.is_whitespace() || c == ';'))
    }

    /// What is read, for messages.
    pub fn what(&self) -> String {
        self.table.as_ref().map_or_else(|| "the query".to_owned(), |table| format!("table `{table}`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_do_not_go_together_are_refused() {
        let table = Selection { table: Some("shop.orders".to_owned()), ..Selection::default() };
        let query = Selection { query: Some("select 1 ; \n".to_owned()), ..Selection::default() };
        let cursor = Some("id".to_owned());
        let incremental = Selection { replication: Replication::Incremental, cursor: cursor.clone(), ..table.clone() };
        let parts = Selection { partitions: Some(2), partition_on: Some("id".to_owned()), ..table.clone() };
        assert!(table.check().is_ok() && query.check().is_ok() && incremental.check().is_ok() && parts.check().is_ok());
        assert_eq!(query.query(), Some("select 1"));
        for wrong in [
            Selection::default(),
            Selection { query: query.query.clone(), ..table.clone() },
            Selection { limit: Some(1), ..query },
            Selection { cursor, ..table.clone() },
            Selection { lookback: Some(Lookback::Seconds(1)), ..table },
            Selection { cursor: None, ..incremental.clone() },
            Selection { limit: Some(1), ..incremental.clone() },
            Selection { partition_on: None, ..parts.clone() },
            Selection { limit: Some(1), ..parts.clone() },
            Selection { partitions: parts.partitions, partition_on: parts.partition_on, ..incremental },
        ] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
    }
}
