//! The options of a writer: where and how to write.

use conversions::LossPolicy;
use osiris_sdk::{Error, Result};
use serde::{Deserialize, Deserializer};

use crate::Config;

/// A writer's config.
#[derive(Debug, Clone, Deserialize)]
pub struct WriterConfig {
    #[serde(flatten)]
    pub connection: Config,
    pub table: String,
    #[serde(default)]
    pub mode: Mode,
    /// One name or a list of names.
    #[serde(default, deserialize_with = "one_or_many")]
    pub primary_key: Vec<String>,
    #[serde(default)]
    pub schema_contract: Contract,
    /// How values that the table's columns cannot hold are handled.
    #[serde(default)]
    pub on_loss: LossPolicy,
    /// How several input rows that are a single row in the table are handled.
    #[serde(default)]
    pub on_duplicate_key: DuplicateKey,
    /// How `mode: replace` replaces the old rows.
    #[serde(default)]
    pub replace_by: ReplaceBy,
    /// Whether `mode: replace` may change rows of other tables through their foreign keys.
    #[serde(default)]
    pub replace_cascade: bool,
}

/// How existing rows are handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    #[default]
    Append,
    Replace,
    Upsert,
}

/// How several input rows with the same key, as the table compares keys, are handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DuplicateKey {
    #[default]
    Error,
    /// The last of them wins.
    Last,
}

/// How `mode: replace` works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplaceBy {
    /// The table keeps its types, privileges and keys; its rows are replaced.
    #[default]
    Rows,
    /// The table is dropped and created again with the input's types.
    Recreate,
}

/// How columns that the table does not have are handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Contract {
    #[default]
    Evolve,
    Freeze,
    DiscardColumns,
}

/// A name or a list of names.
///
/// # Errors
/// If it is neither.
pub fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Names {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Option::<Names>::deserialize(deserializer)? {
        None => Vec::new(),
        Some(Names::One(name)) => vec![name],
        Some(Names::Many(names)) => names,
    })
}

impl WriterConfig {
    /// Refuses combinations that the schema cannot express.
    ///
    /// # Errors
    /// `config`, with the options that go together.
    pub fn check(&self) -> Result<()> {
        if self.mode == Mode::Upsert && self.primary_key.is_empty() {
            return Err(Error::config("`mode: upsert` needs `primary_key`, the columns that tell rows apart"));
        }
        if self.mode != Mode::Replace && (self.replace_cascade || self.replace_by == ReplaceBy::Recreate) {
            return Err(Error::config("`replace_by` and `replace_cascade` go with `mode: replace`"));
        }
        if self.replace_by == ReplaceBy::Recreate && self.schema_contract == Contract::Freeze {
            return Err(Error::config(
                "`replace_by: recreate` changes the table's columns, which `schema_contract: freeze` forbids",
            ));
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
        let one = parse(r#"{"host": "h", "table": "t", "mode": "upsert", "primary_key": "id"}"#);
        assert_eq!(one.primary_key, ["id"]);
    }

    #[test]
    fn options_of_a_replacement_are_only_valid_with_it() {
        let parse = |text: &str| serde_json::from_str::<WriterConfig>(text).unwrap();
        let replace = r#"{"host": "h", "table": "t", "mode": "replace", "replace_by": "recreate""#;
        assert!(parse(&format!("{replace}, \"on_loss\": {{\"a\": \"round\"}}}}")).check().is_ok());
        assert!(parse(&format!("{replace}, \"schema_contract\": \"freeze\"}}")).check().is_err());
        assert!(parse(r#"{"host": "h", "table": "t", "replace_cascade": true}"#).check().is_err());
    }
}
