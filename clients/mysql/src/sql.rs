//! Quotes names and texts for MySQL so that they mean the same under every `sql_mode`.

use osiris_sdk::{Error, Result};

/// A name in backticks, which every `sql_mode` accepts.
pub fn quote_name(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Names, quoted and separated.
pub fn quote_names<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(quote_name).collect::<Vec<_>>().join(", ")
}

/// A text as a literal of its bytes in hexadecimal, because the meaning of quotes and backslashes depends on
/// `sql_mode`.
pub fn quote_text(text: &str) -> String {
    use std::fmt::Write;
    let mut literal = "_utf8mb4 x'".to_owned();
    for byte in text.bytes() {
        // Writing to a String cannot fail.
        let _ = write!(literal, "{byte:02x}");
    }
    literal.push('\'');
    literal
}

/// A table, in a named database or in the connection's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    pub database: Option<String>,
    pub table: String,
}

impl TableName {
    /// Parses `table` or `database.table`; dots inside backticks do not separate.
    ///
    /// # Errors
    /// `config` for any other form.
    pub fn parse(text: &str) -> Result<Self> {
        let mut parts = Vec::new();
        let mut rest = text;
        loop {
            let (part, after) = take_part(rest).ok_or_else(|| {
                Error::config(format!("`{text}` is no table's name; write `table` or `database.table`"))
            })?;
            parts.push(part);
            match after.strip_prefix('.') {
                Some(more) => rest = more,
                None if after.is_empty() => break,
                None => return Err(Error::config(format!("`{text}` is no table's name; close its backtick"))),
            }
        }
        let mut parts = parts.into_iter();
        match (parts.next(), parts.next(), parts.next()) {
            (Some(table), None, _) => Ok(Self { database: None, table }),
            (Some(database), Some(table), None) => Ok(Self { database: Some(database), table }),
            _ => Err(Error::config(format!(
                "`{text}` has too many parts; write `table` or `database.table`, with backticks around names with dots"
            ))),
        }
    }

    /// The same table, in `database` if its name contains none.
    ///
    /// # Errors
    /// `config` if both name one and they differ.
    pub fn in_database(mut self, database: Option<&str>) -> Result<Self> {
        match (&self.database, database) {
            (Some(own), Some(other)) if own != other => {
                return Err(Error::config(format!(
                    "the table's name says database `{own}`, and `schema` says `{other}`; leave one out"
                )));
            }
            (None, Some(other)) => self.database = Some(other.to_owned()),
            _ => {}
        }
        Ok(self)
    }

    pub fn quoted(&self) -> String {
        match &self.database {
            Some(database) => format!("{}.{}", quote_name(database), quote_name(&self.table)),
            None => quote_name(&self.table),
        }
    }

    /// The database as an expression for the catalog.
    pub fn database_sql(&self) -> String {
        self.database.as_deref().map_or_else(|| "database()".to_owned(), quote_text)
    }
}

/// Takes the first part from the front; `None` if it is empty.
fn take_part(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('`') else {
        let end = text.find('.').unwrap_or(text.len());
        return (end > 0).then(|| (text[..end].to_owned(), &text[end..]));
    };
    let mut name = String::new();
    let mut characters = quoted.char_indices().peekable();
    while let Some((place, character)) = characters.next() {
        match character {
            '`' if characters.peek().is_some_and(|(_, next)| *next == '`') => {
                characters.next();
                name.push('`');
            }
            '`' => return (!name.is_empty()).then(|| (name, &quoted[place + 1..])),
            other => name.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn text_cannot_break_out_of_its_quotes() {
        assert_eq!(quote_name("a`b"), "`a``b`");
        assert_eq!(quote_text("ü'\\"), "_utf8mb4 x'c3bc275c'");
        assert_eq!(quote_text(""), "_utf8mb4 x''");
    }

    #[test]
    fn tables_are_named_with_and_without_their_database() {
        let quoted = |text: &str| TableName::parse(text).map(|name| name.quoted()).map_err(|error| error.message);
        assert_eq!(quoted("orders").unwrap(), "`orders`");
        assert_eq!(quoted("shop.orders").unwrap(), "`shop`.`orders`");
        assert_eq!(quoted("`a.b`.`c``d`").unwrap(), "`a.b`.`c``d`");
        let within =
            |text: &str, database| TableName::parse(text).unwrap().in_database(database).map(|name| name.quoted());
        assert_eq!(within("t", Some("d")).unwrap(), "`d`.`t`");
        assert_eq!(within("d.t", Some("d")).unwrap(), "`d`.`t`");
        assert_eq!(within("t", None).unwrap(), "`t`");
        assert!(within("c.t", Some("d")).is_err());
        for wrong in ["", ".", "a.", ".b", "a.b.c", "`a", "``", "`a`b"] {
            assert!(quoted(wrong).is_err(), "{wrong}");
        }
    }
}
