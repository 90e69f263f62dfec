//! What a step's config says of where to write.

use osiris_sdk::{Error, Result};
use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
pub struct Config {
    #[serde(flatten)]
    pub connection: mysql_client::Config,
    pub table: String,
    #[serde(default)]
    pub mode: Mode,
    #[serde(default)]
    pub primary_key: Vec<String>,
    #[serde(default)]
    pub schema_contract: Contract,
}

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

impl Config {
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
