//! What a writer's config says of where and how to write.

use osiris_sdk::{Error, Result};
use serde::Deserialize;

use crate::Config;

/// A writer's config.
#[derive(Debug, Clone, Deserialize)]
pub struct WriterConfig {
    #[serde(flatten)]
    pub connection: Config,
    pub table: String,
    #[serde(default)]
    pub mode: Mode,
    #[serde(default)]
    pub primary_key: Vec<String>,
    #[serde(default)]
    pub schema_contract: Contract,
}

/// What becomes of the rows that are there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    #[default]
    Append,
    Replace,
    Upsert,
}

/// What becomes of columns that the table does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Contract {
    #[default]
    Evolve,
    Freeze,
    DiscardColumns,
}

impl WriterConfig {
    /// Refuses what the schema cannot.
    ///
    /// # Errors
    /// `config`, with what goes together.
    pub fn check(&self) -> Result<()> {
        if self.mode == Mode::Upsert && self.primary_key.is_empty() {
            return Err(Error::config("`mode: upsert` needs `primary_key`, the columns that tell rows apart"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_upsert_needs_a_key() {
        let parse = |text: &str| serde_json::from_str::<WriterConfig>(text).unwrap();
        let append = parse(r#"{"host": "h", "table": "t"}"#);
        assert_eq!(
            (append.connection.direct.host.as_deref(), append.mode, append.schema_contract),
            (Some("h"), Mode::Append, Contract::Evolve)
        );
        assert!(append.check().is_ok());
        assert!(parse(r#"{"host": "h", "table": "t", "mode": "upsert"}"#).check().is_err());
        assert!(parse(r#"{"host": "h", "table": "t", "mode": "upsert", "primary_key": ["id"]}"#).check().is_ok());
    }
}
