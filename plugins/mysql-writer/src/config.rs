//! The options of a step: where and how to write.

use database_client::{Mode, Writing};
use mysql_client::sql::TableName;
use osiris_sdk::{Error, Result};
use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
pub struct Config {
    #[serde(flatten)]
    pub connection: mysql_client::Config,
    #[serde(flatten)]
    pub writer: Writing,
    /// The database of the table, if `table` names none.
    pub schema: Option<String>,
    pub create_table: Option<bool>,
    pub truncate_before: Option<bool>,
    /// The most rows in one INSERT, if the server does not accept LOAD DATA LOCAL.
    pub batch_size: Option<usize>,
}

impl Config {
    /// The config with `truncate_before` replaced by the mode that it stands for.
    ///
    /// # Errors
    /// `config` for options that do not go together.
    pub fn checked(mut self) -> Result<Self> {
        if self.truncate_before == Some(true) {
            if matches!(self.writer.mode, Mode::Upsert | Mode::DeleteInsert) {
                return Err(Error::config(
                    "`truncate_before` empties the table, and `mode: upsert` and `delete_insert` keep rows; use `mode: replace`",
                ));
            }
            self.writer.mode = Mode::Replace;
        }
        self.writer.check()?;
        if self.writer.recreates() && !self.creates() {
            return Err(Error::config("`replace_by: recreate` creates a table, which `create_table: false` forbids"));
        }
        Ok(self)
    }

    /// The table to write to.
    ///
    /// # Errors
    /// `config` if `table` and `schema` name different databases, or none.
    pub fn table(&self) -> Result<TableName> {
        TableName::parse(&self.writer.table)?.in_database(self.schema.as_deref())
    }

    /// Whether a missing table is created.
    pub fn creates(&self) -> bool {
        self.create_table != Some(false)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(more: &str) -> Result<Config> {
        let text = format!("{{\"host\": \"h\", \"table\": \"t\"{more}}}");
        serde_json::from_str::<Config>(&text).unwrap().checked()
    }

    #[test]
    fn truncate_before_means_replacing_the_rows() {
        let config = parse(r#", "truncate_before": true, "schema": "d""#).unwrap();
        assert_eq!((config.writer.mode, config.table().unwrap().quoted().as_str()), (Mode::Replace, "`d`.`t`"));
        assert_eq!(parse(r#", "truncate_before": false, "schema": null"#).unwrap().writer.mode, Mode::Append);
        assert!(parse(r#", "truncate_before": true, "mode": "upsert", "primary_key": "id""#).is_err());
        assert!(parse(r#", "mode": "replace", "replace_by": "recreate", "create_table": false"#).is_err());
        assert!(parse("").unwrap().creates() && !parse(r#", "create_table": false"#).unwrap().creates());
    }
}
