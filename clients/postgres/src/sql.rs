//! Quotes names and texts for PostgreSQL's SQL.

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

/// A table's name with or without its schema: `flights`, `public.flights`, `"odd.schema"."Odd table"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    pub schema: Option<String>,
    pub table: String,
}

impl TableName {
    /// Parses a name as in a config: dots separate, except inside double quotes.
    ///
    /// # Errors
    /// `config`, with the expected form.
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
        let name = match parts.as_slice() {
            [table] => Self { schema: None, table: table.clone() },
            [schema, table] => Self { schema: Some(schema.clone()), table: table.clone() },
            _ => return Err(wrong()),
        };
        check_name("table", &name.table)?;
        name.schema.as_deref().map_or(Ok(()), |schema| check_name("schema", schema))?;
        Ok(name)
    }

    /// The name in quotes.
    pub fn quoted(&self) -> String {
        let schema = self.schema.as_deref().map(|schema| format!("{}.", quote_name(schema)));
        format!("{}{}", schema.unwrap_or_default(), quote_name(&self.table))
    }
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
    fn table_names_are_parsed_as_in_sql() {
        for (text, quoted) in [
            ("flights", "\"flights\""),
            ("public.Flights", "\"public\".\"Flights\""),
            ("\"odd.schema\".\"a\"\"b\"", "\"odd.schema\".\"a\"\"b\""),
        ] {
            assert_eq!(TableName::parse(text).unwrap().quoted(), quoted);
        }
        for text in ["", "a.", ".a", "a.b.c", "\"a", &"x".repeat(64)] {
            assert!(TableName::parse(text).is_err(), "{text}");
        }
    }
}
