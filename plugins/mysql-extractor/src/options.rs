//! What a step's config says of what to read.

use database_client::Selection;
use mysql_client::sql::{TableName, quote_names};
use mysql_client::types::{Reading, TimeAs, Tinyint1};
use osiris_sdk::Result;
use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
pub struct Config {
    #[serde(flatten)]
    pub connection: mysql_client::Config,
    #[serde(flatten)]
    pub selection: Selection,
    #[serde(default = "batch_size")]
    pub batch_size: usize,
    #[serde(default)]
    pub tinyint1: Tinyint1,
    #[serde(default)]
    pub time: TimeAs,
    #[serde(default)]
    pub zero_dates: ZeroDates,
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

impl Config {
    pub fn reading(&self) -> Reading {
        Reading { tinyint1: self.tinyint1, time: self.time }
    }

    /// The rows to read, as `from {this}`.
    ///
    /// # Errors
    /// `config`, for a table's name that is none.
    pub fn rows(&self) -> Result<String> {
        if let Some(query) = self.selection.query() {
            return Ok(format!("(\n{query}\n) as source"));
        }
        Ok(TableName::parse(self.selection.table.as_deref().unwrap_or_default())?.quoted())
    }

    /// A SELECT of the rows that meet the config's filter and `condition`.
    ///
    /// # Errors
    /// As [`rows`](Self::rows).
    pub fn select(&self, what: Option<&str>, condition: Option<&str>) -> Result<String> {
        if let (Some(query), None, None) = (self.selection.query(), what, condition) {
            return Ok(query.to_owned());
        }
        let columns = self.selection.columns.as_ref().map(|names| quote_names(names.iter().map(String::as_str)));
        let what = what.map(str::to_owned).or(columns).unwrap_or_else(|| "*".to_owned());
        let filter = self.selection.filter.as_ref().map(|filter| format!("(\n{filter}\n)"));
        let conditions: Vec<String> = filter.into_iter().chain(condition.map(|text| format!("({text})"))).collect();
        let mut select = format!("select {what} from {}", self.rows()?);
        if !conditions.is_empty() {
            select += &format!(" where {}", conditions.join(" and "));
        }
        if let Some(limit) = self.selection.limit {
            select += &format!(" limit {limit}");
        }
        Ok(select)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn config() -> Config {
        Config {
            connection: mysql_client::Config::default(),
            selection: Selection { table: Some("shop.orders".to_owned()), ..Selection::default() },
            batch_size: 1,
            tinyint1: Tinyint1::Boolean,
            time: TimeAs::Time,
            zero_dates: ZeroDates::Error,
        }
    }

    #[test]
    fn a_table_becomes_a_select() {
        let mut whole = config();
        whole.selection.columns = Some(vec!["id".to_owned(), "a`b".to_owned()]);
        whole.selection.filter = Some("id > 5 -- new ones".to_owned());
        whole.selection.limit = Some(3);
        assert_eq!(
            whole.select(None, None).unwrap(),
            "select `id`, `a``b` from `shop`.`orders` where (\nid > 5 -- new ones\n) limit 3"
        );
        let selection = Selection { query: Some("select 1 ; \n".to_owned()), ..Selection::default() };
        let query = Config { selection, ..config() };
        assert_eq!(query.select(None, None).unwrap(), "select 1");
        assert_eq!(query.select(Some("1"), Some("x")).unwrap(), "select 1 from (\nselect 1\n) as source where (x)");
    }
}
