//! DuckDB's types and names as SQL text, its values as JSON text, and the calendar of its dates: what the host and
//! drivers have in common.

pub mod calendar;
mod duckdb_type;
mod excerpt;
mod json;
mod names;

pub use duckdb_type::DuckdbType;
pub use excerpt::excerpt;
pub use json::{JsonMember, NotFinite, json_object_text, json_text, json_text_with, not_finite, not_json};
pub use names::Names;

/// Why a value cannot be written as text, or a text is not a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(pub String);

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

pub type Result<T> = std::result::Result<T, Error>;

/// A name in SQL quotes.
pub fn quote_name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as a SQL literal.
pub fn quote_text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The text of a TIMESTAMPTZ in UTC: `2024-01-31 10:00:00+00`. DuckDB itself prints the last instants of the type a
/// millisecond late.
pub fn timestamptz_text(value: &str) -> String {
    format!(
        "case when isfinite({value}) then make_timestamp(epoch_us({value}))::varchar || '+00' else {value}::varchar end"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_inside_are_doubled() {
        assert_eq!(quote_name("a\"b"), "\"a\"\"b\"");
        assert_eq!(quote_text("it's"), "'it''s'");
    }
}
