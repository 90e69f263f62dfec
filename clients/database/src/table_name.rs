//! The name of a table in a config, as SQL writes it.

use osiris_sdk::sql::quote_name;
use osiris_sdk::{Error, Result};

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
        match parts.as_slice() {
            [table] => Ok(Self { schema: None, table: table.clone() }),
            [schema, table] => Ok(Self { schema: Some(schema.clone()), table: table.clone() }),
            _ => Err(wrong()),
        }
    }

    /// The name in double quotes, as SQL has it.
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
    fn table_names_are_parsed_as_in_sql() {
        for (text, quoted) in [
            ("flights", "\"flights\""),
            ("public.Flights", "\"public\".\"Flights\""),
            ("\"odd.schema\".\"a\"\"b\"", "\"odd.schema\".\"a\"\"b\""),
        ] {
            assert_eq!(TableName::parse(text).unwrap().quoted(), quoted);
        }
        for text in ["", ".", "a.", ".a", "a.b.c", "\"a"] {
            assert!(TableName::parse(text).is_err(), "{text}");
        }
    }
}
