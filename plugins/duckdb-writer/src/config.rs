//! The options, and which of them go together.

use conversions::LossPolicy;
use database_client::{Contract, DuplicateKey, Mode, ReplaceBy, one_or_many};
use osiris_sdk::{Error, Result};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub struct Config {
    pub path: String,
    pub table: String,
    #[serde(default)]
    pub mode: Mode,
    #[serde(default, deserialize_with = "one_or_many")]
    pub primary_key: Vec<String>,
    #[serde(default)]
    pub on_duplicate_key: DuplicateKey,
    #[serde(default)]
    pub on_loss: LossPolicy,
    #[serde(default)]
    pub replace_by: ReplaceBy,
    #[serde(default)]
    pub schema_contract: Contract,
    #[serde(default)]
    pub create_schema: bool,
}

impl Config {
    /// # Errors
    /// `config`, with the options that go together.
    pub fn check(&self) -> Result<()> {
        let refuse = |message: &str| Err(Error::config(message));
        if self.mode == Mode::Upsert && self.primary_key.is_empty() {
            return refuse("`mode: upsert` needs `primary_key`, the columns that tell rows apart");
        }
        if self.mode != Mode::Replace && self.replace_by == ReplaceBy::Recreate {
            return refuse("`replace_by` goes with `mode: replace`");
        }
        if self.replace_by == ReplaceBy::Recreate && self.schema_contract != Contract::Evolve {
            return refuse(
                "`replace_by: recreate` makes the table's columns those of the input: omit `schema_contract`",
            );
        }
        Ok(())
    }

    pub fn table_name(&self) -> Result<TableName> {
        TableName::parse(&self.table)
    }

    pub fn recreates(&self) -> bool {
        self.replace_by == ReplaceBy::Recreate
    }
}

/// A table's name in a DuckDB file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    pub schema: String,
    pub table: String,
}

impl TableName {
    /// Reads `table` or `schema.table`; a part in double quotes may contain dots.
    ///
    /// # Errors
    /// `config` if it is neither.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || Error::config(format!("`table: {text}` is not of the form `table` or `schema.table`"));
        let mut parts = vec![String::new()];
        let mut characters = text.chars().peekable();
        let mut quoted = false;
        while let Some(character) = characters.next() {
            let Some(part) = parts.last_mut() else { return Err(wrong()) };
            match character {
                '"' if quoted && characters.peek() == Some(&'"') => {
                    characters.next();
                    part.push('"');
                }
                '"' => quoted = !quoted,
                '.' if !quoted => parts.push(String::new()),
                other => part.push(other),
            }
        }
        if quoted || parts.iter().any(String::is_empty) {
            return Err(wrong());
        }
        match parts.as_slice() {
            [table] => Ok(Self { schema: "main".to_owned(), table: table.clone() }),
            [schema, table] => Ok(Self { schema: schema.clone(), table: table.clone() }),
            _ => Err(wrong()),
        }
    }

    /// Whether a table of a file has this name; DuckDB ignores the case of names.
    pub fn is_of(&self, schema: Option<&str>, table: &str) -> bool {
        same_name(&self.schema, schema.unwrap_or("main")) && same_name(&self.table, table)
    }
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
    fn a_table_may_have_a_schema() {
        for (text, schema, table) in
            [("orders", "main", "orders"), ("sales.orders", "sales", "orders"), ("\"a.b\".\"c\"\"d\"", "a.b", "c\"d")]
        {
            let expected = TableName { schema: schema.to_owned(), table: table.to_owned() };
            assert_eq!(TableName::parse(text).unwrap(), expected, "{text}");
        }
        for text in ["", ".", "a.", "a.b.c", "\"a"] {
            assert!(TableName::parse(text).is_err(), "{text}");
        }
        assert!(TableName::parse("Sales.Orders").unwrap().is_of(Some("sales"), "ORDERS"));
    }

    #[test]
    fn options_that_exclude_each_other_are_refused() {
        let check = |more: &str| {
            serde_json::from_str::<Config>(&format!("{{\"path\": \"w\", \"table\": \"t\"{more}}}")).unwrap().check()
        };
        assert!(check("").is_ok() && check(r#", "mode": "upsert", "primary_key": "id""#).is_ok());
        for more in [
            r#", "mode": "upsert""#,
            r#", "replace_by": "recreate""#,
            r#", "mode": "replace", "replace_by": "recreate", "schema_contract": "freeze""#,
        ] {
            assert!(check(more).is_err(), "{more}");
        }
    }
}
