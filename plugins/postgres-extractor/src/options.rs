//! The options of a step that select what to read.

use std::collections::BTreeMap;

use database_client::Selection;
use osiris_sdk::Result;
use postgres_client::sql::{quote_names, table_name};
use postgres_client::types::Numeric;
use serde::Deserialize;

use crate::column::Unrepresentable;

#[derive(Debug, Clone, Deserialize)]
pub struct Config {
    #[serde(flatten)]
    pub connection: postgres_client::Config,
    #[serde(flatten)]
    pub selection: Selection,
    #[serde(default)]
    pub numeric: Numeric,
    #[serde(default)]
    pub unrepresentable: Unrepresentable,
    /// The depth of each column's arrays, if the server does not report it.
    #[serde(default)]
    pub array_dimensions: BTreeMap<String, usize>,
}

impl Config {
    /// The SELECT of the rows, as the user configured it.
    ///
    /// # Errors
    /// `config` for an invalid table name.
    pub fn select(&self) -> Result<String> {
        if let Some(query) = self.selection.query() {
            return Ok(query.to_owned());
        }
        let table = table_name(self.selection.table.as_deref().unwrap_or_default())?.quoted();
        let columns = self
            .selection
            .columns
            .as_ref()
            .map_or("*".to_owned(), |names| quote_names(names.iter().map(String::as_str)));
        let filter = self.selection.filter.as_ref().map(|filter| format!(" where (\n{filter}\n)"));
        let limit = self.selection.limit.map(|limit| format!(" limit {limit}"));
        Ok(format!("select {columns} from {table}{}{}", filter.unwrap_or_default(), limit.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn config() -> Config {
        Config {
            connection: postgres_client::Config::default(),
            selection: Selection { table: Some("shop.orders".to_owned()), ..Selection::default() },
            numeric: Numeric::Text,
            unrepresentable: Unrepresentable::Error,
            array_dimensions: BTreeMap::new(),
        }
    }

    #[test]
    fn a_table_becomes_a_select() {
        let mut whole = config();
        whole.selection.columns = Some(vec!["id".to_owned(), "a\"b".to_owned()]);
        whole.selection.filter = Some("id > 5 -- new ones".to_owned());
        whole.selection.limit = Some(3);
        assert_eq!(
            whole.select().unwrap(),
            "select \"id\", \"a\"\"b\" from \"shop\".\"orders\" where (\nid > 5 -- new ones\n) limit 3"
        );
        let selection = Selection { query: Some("select 1 ; \n".to_owned()), ..Selection::default() };
        let query = Config { selection, ..config() };
        assert_eq!(query.select().unwrap(), "select 1");
    }
}
