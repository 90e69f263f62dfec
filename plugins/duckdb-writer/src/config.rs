//! The options, and the table that they name.

use database_client::{TableName, Writing};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub struct Config {
    pub path: String,
    #[serde(flatten)]
    pub writing: Writing,
}

/// The schema of tables whose name has none.
pub const MAIN: &str = "main";

/// Whether a table of a file has this name; DuckDB ignores the case of names.
pub fn is_called(name: &TableName, schema: Option<&str>, table: &str) -> bool {
    let schema_of_name = name.schema.as_deref().unwrap_or(MAIN);
    same_name(schema_of_name, schema.unwrap_or(MAIN)) && same_name(&name.table, table)
}

/// Whether two names are one to DuckDB.
pub fn same_name(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_match_in_any_case() {
        let name = TableName::parse("Sales.Orders").unwrap();
        assert!(is_called(&name, Some("sales"), "ORDERS") && !is_called(&name, None, "orders"));
        assert!(is_called(&TableName::parse("t").unwrap(), Some("MAIN"), "T"));
    }

    #[test]
    fn the_options_of_all_writers_are_those_of_this_one() {
        let config: Config =
            serde_json::from_str(r#"{"path": "w", "table": "t", "mode": "upsert", "primary_key": "id"}"#).unwrap();
        assert!(config.writing.check().is_ok());
    }
}
