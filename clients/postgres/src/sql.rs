//! Quotes names and texts for PostgreSQL's SQL.

use database_client::TableName;
use osiris_sdk::{Error, Result};

/// The longest name that PostgreSQL keeps, in bytes; it truncates longer ones.
const LONGEST_NAME: usize = 63;

/// A name in quotes.
pub fn quote_name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as a literal for any setting of `standard_conforming_strings`.
pub fn quote_text(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

/// A list of quoted names, `"a", "b"`.
pub fn quote_names<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(quote_name).collect::<Vec<_>>().join(", ")
}

/// Refuses a name that PostgreSQL would truncate or cannot store.
///
/// # Errors
/// `data`, with the name and what it names.
pub fn check_name(what: &str, name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::data(format!("a {what} has an empty name, which PostgreSQL does not allow")));
    }
    if name.contains('\0') {
        return Err(Error::data(format!("the {what} `{}` has a NUL in its name", name.replace('\0', "\\0"))));
    }
    if name.len() > LONGEST_NAME {
        return Err(Error::data(format!(
            "the {what} `{name}` has a name of {} bytes, of which PostgreSQL keeps {LONGEST_NAME}; rename it",
            name.len()
        )));
    }
    Ok(())
}

/// Parses a table's name as in a config; see [`TableName`].
///
/// # Errors
/// `config`, with the expected form; `data` for a part that PostgreSQL would truncate or cannot store.
pub fn table_name(text: &str) -> Result<TableName> {
    let name = TableName::parse(text)?;
    check_name("table", &name.table)?;
    name.schema.as_deref().map_or(Ok(()), |schema| check_name("schema", schema))?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn quotes_and_backslashes_are_escaped() {
        assert_eq!(quote_name("a\"b"), "\"a\"\"b\"");
        assert_eq!(quote_text("it's"), "'it''s'");
        assert_eq!(quote_text("a\\'b"), "E'a\\\\''b'");
    }

    #[test]
    fn names_that_the_server_would_cut_are_refused() {
        assert_eq!(table_name("public.Flights").unwrap().quoted(), "\"public\".\"Flights\"");
        for text in ["a\0b".to_owned(), "x".repeat(64), format!("{}.t", "x".repeat(64))] {
            assert!(table_name(&text).is_err(), "{text}");
        }
    }
}
