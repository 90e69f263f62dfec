//! The options of a writer: where and how to write.

use conversions::LossPolicy;
use osiris_sdk::{Error, Result};
use serde::{Deserialize, Deserializer};

use crate::Config;

/// The config of a writer that connects to a server.
#[derive(Debug, Clone, Deserialize)]
pub struct WriterConfig {
    #[serde(flatten)]
    pub connection: Config,
    #[serde(flatten)]
    pub writing: Writing,
}

/// What is written where and how, whatever the system.
#[derive(Debug, Clone, Deserialize)]
pub struct Writing {
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
    /// Whether rows that are deleted may change rows of other tables through their foreign keys.
    #[serde(default)]
    pub replace_cascade: bool,
    /// The columns by which `mode: delete_insert` deletes rows; one name or a list of names.
    #[serde(default, deserialize_with = "one_or_many")]
    delete_by: Vec<String>,
    /// The column by whose range `mode: delete_insert` deletes rows.
    range_key: Option<String>,
    /// Whether a missing schema is created.
    #[serde(default)]
    pub create_schema: bool,
}

/// How existing rows are handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    #[default]
    Append,
    Replace,
    Upsert,
    /// Rows that the input supersedes, by [`Superseded`], are deleted; all of the input is inserted.
    DeleteInsert,
}

/// The rows that `mode: delete_insert` deletes. An empty input supersedes none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Superseded<'a> {
    /// Those that have the values of an input row in these columns.
    Matching(&'a [String]),
    /// Those whose value in this column is neither less than the least nor greater than the greatest of the input.
    Between(&'a String),
}

impl<'a> Superseded<'a> {
    /// The option that names the columns.
    pub fn option(self) -> &'static str {
        match self {
            Self::Matching(_) => "delete_by",
            Self::Between(_) => "range_key",
        }
    }

    /// The columns that are compared. No value of the input may be null there.
    pub fn columns(self) -> &'a [String] {
        match self {
            Self::Matching(columns) => columns,
            Self::Between(column) => std::slice::from_ref(column),
        }
    }
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

impl Writing {
    /// Refuses combinations that the schema cannot express.
    ///
    /// # Errors
    /// `config`, with the options that go together.
    pub fn check(&self) -> Result<()> {
        let refuse = |message: &str| Err(Error::config(message));
        let deletes_by = !self.delete_by.is_empty() || self.range_key.is_some();
        match self.mode {
            Mode::Upsert if self.primary_key.is_empty() => {
                return refuse("`mode: upsert` needs `primary_key`, the columns that tell rows apart");
            }
            Mode::DeleteInsert if !self.delete_by.is_empty() && self.range_key.is_some() => {
                return refuse(
                    "`delete_by` and `range_key` both say which rows `mode: delete_insert` deletes; leave one out",
                );
            }
            Mode::DeleteInsert if !deletes_by && self.primary_key.is_empty() => {
                return refuse(
                    "`mode: delete_insert` needs `delete_by`, the columns whose values say which rows are deleted, or \
                     `range_key`, the column whose range does, or `primary_key`",
                );
            }
            Mode::Append | Mode::Replace | Mode::Upsert if deletes_by => {
                return refuse("`delete_by` and `range_key` go with `mode: delete_insert`");
            }
            _ => {}
        }
        if self.mode != Mode::Replace && self.replace_by == ReplaceBy::Recreate {
            return refuse("`replace_by` goes with `mode: replace`");
        }
        if self.replace_cascade && !matches!(self.mode, Mode::Replace | Mode::DeleteInsert) {
            return refuse("`replace_cascade` goes with `mode: replace` and `mode: delete_insert`");
        }
        if self.replace_by == ReplaceBy::Recreate && self.schema_contract == Contract::Freeze {
            return refuse(
                "`replace_by: recreate` changes the table's columns, which `schema_contract: freeze` forbids",
            );
        }
        Ok(())
    }

    /// The rows that are deleted before the input is inserted; `None` in other modes than `delete_insert`.
    pub fn superseded(&self) -> Option<Superseded<'_>> {
        if self.mode != Mode::DeleteInsert {
            return None;
        }
        Some(match &self.range_key {
            Some(column) => Superseded::Between(column),
            None if self.delete_by.is_empty() => Superseded::Matching(&self.primary_key),
            None => Superseded::Matching(&self.delete_by),
        })
    }

    /// The columns that the options name, each with its option.
    pub fn named_columns(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let keys = self.primary_key.iter().map(|name| ("primary_key", name));
        let columns = self.delete_by.iter().map(|name| ("delete_by", name));
        keys.chain(columns).chain(self.range_key.iter().map(|name| ("range_key", name)))
    }

    /// Whether the existing table is dropped and created again.
    pub fn recreates(&self) -> bool {
        self.replace_by == ReplaceBy::Recreate
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(text: &str) -> Writing {
        serde_json::from_str::<WriterConfig>(text).unwrap().writing
    }

    #[test]
    fn an_upsert_needs_a_key() {
        let config = serde_json::from_str::<WriterConfig>(r#"{"host": "h", "table": "t"}"#).unwrap();
        assert_eq!(config.connection.direct.host.as_deref(), Some("h"));
        let append = parse(r#"{"host": "h", "table": "t"}"#);
        assert_eq!((append.mode, append.schema_contract), (Mode::Append, Contract::Evolve));
        assert!(append.check().is_ok());
        assert!(parse(r#"{"host": "h", "table": "t", "mode": "upsert"}"#).check().is_err());
        assert!(parse(r#"{"host": "h", "table": "t", "mode": "upsert", "primary_key": ["id"]}"#).check().is_ok());
        let one = parse(r#"{"host": "h", "table": "t", "mode": "upsert", "primary_key": "id"}"#);
        assert_eq!(one.primary_key, ["id"]);
    }

    #[test]
    fn options_of_a_replacement_are_only_valid_with_it() {
        let replace = r#"{"host": "h", "table": "t", "mode": "replace", "replace_by": "recreate""#;
        assert!(parse(&format!("{replace}, \"on_loss\": {{\"a\": \"round\"}}}}")).check().is_ok());
        assert!(parse(&format!("{replace}, \"schema_contract\": \"freeze\"}}")).check().is_err());
        assert!(parse(r#"{"host": "h", "table": "t", "replace_cascade": true}"#).check().is_err());
    }

    #[test]
    fn a_deletion_goes_by_columns_or_by_one_range() {
        let with = |more: &str| parse(&format!(r#"{{"host": "h", "table": "t", "mode": "delete_insert"{more}}}"#));
        let key = with(r#", "primary_key": "id", "replace_cascade": true"#);
        assert!(key.check().is_ok());
        assert_eq!(key.superseded(), Some(Superseded::Matching(&["id".to_owned()])));
        let columns = with(r#", "primary_key": "id", "delete_by": ["shop", "day"]"#);
        assert!(columns.check().is_ok());
        assert_eq!(columns.superseded().unwrap().columns(), ["shop", "day"]);
        assert_eq!(columns.named_columns().last(), Some(("delete_by", &"day".to_owned())));
        let range = with(r#", "range_key": "day""#);
        assert!(range.check().is_ok());
        assert_eq!(range.superseded(), Some(Superseded::Between(&"day".to_owned())));
        assert!(with("").check().is_err());
        assert!(with(r#", "range_key": "day", "delete_by": "day""#).check().is_err());
        let upsert = parse(r#"{"host": "h", "table": "t", "mode": "upsert", "primary_key": "a", "range_key": "a"}"#);
        assert!(upsert.check().is_err() && upsert.superseded().is_none());
    }
}
