//! DuckDB's errors, classified by what a caller can do about them.

use duckdb_text::excerpt;
use serde::Deserialize;

/// The setting that makes DuckDB write its errors as JSON, with their type and their position in the statement.
pub(super) const AS_JSON: (&str, &str) = ("errors_as_json", "true");

/// An error in DuckDB's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EngineError {
    pub message: String,
    pub cause: Cause,
    /// Where in the statement it is, in bytes.
    pub position: Option<usize>,
}

/// The kind of problem that DuckDB reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The statement itself: syntax, names, types.
    Statement,
    /// Something that the step is not allowed to do.
    Denied,
    /// A missing file, table or column.
    NotFound,
    /// Values that do not fit.
    Data,
    /// The memory limit.
    Memory,
    /// The limit of spilled data.
    Spill,
    /// The disk has no space left.
    DiskFull,
    /// A file became larger than the step's files may be.
    TooLarge,
    /// Stopped from outside.
    Interrupted,
    /// Anything else.
    Internal,
}

/// An error as DuckDB writes it with [`AS_JSON`].
#[derive(Deserialize)]
struct Structured {
    exception_type: String,
    exception_message: String,
    /// The position in the statement, in bytes.
    position: Option<String>,
    /// The operating system's error number of a failed file operation.
    errno: Option<String>,
}

/// DuckDB's message when the room to spill is used up; nothing else distinguishes this from a lack of memory.
const SPILL_IS_FULL: &str = "failed to offload data block";

impl Structured {
    fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(&text[text.find('{')?..]).ok()
    }

    fn cause(&self) -> Cause {
        use rustix::io::Errno;
        let number = self.errno.as_deref().map(|number| number.parse().map(Errno::from_raw_os_error));
        match self.exception_type.as_str() {
            "Parser" | "Syntax" | "Binder" | "Catalog" | "Not implemented" => Cause::Statement,
            "Permission" => Cause::Denied,
            "IO" => match number {
                // The content of the file is wrong.
                None => Cause::Data,
                Some(Ok(Errno::NOENT)) => Cause::NotFound,
                Some(Ok(Errno::NOSPC | Errno::DQUOT)) => Cause::DiskFull,
                Some(Ok(Errno::FBIG)) => Cause::TooLarge,
                Some(_) => Cause::Internal,
            },
            "Out of Memory" if self.exception_message.contains(SPILL_IS_FULL) => Cause::Spill,
            "Out of Memory" => Cause::Memory,
            "INTERRUPT" => Cause::Interrupted,
            "Conversion" | "Invalid Input" | "Out of Range" | "Constraint" | "Mismatch Type" => Cause::Data,
            _ => Cause::Internal,
        }
    }
}

impl Structured {
    /// DuckDB's words without what misleads in a step: settings that no step may change, and names of DuckDB's own catalog in
    /// place of a file that SQL cannot read here.
    fn told(&self) -> String {
        let text = self.exception_message.trim();
        if self.cause() == Cause::Spill {
            return text.lines().next().unwrap_or_default().to_owned();
        }
        if self.exception_type != "Catalog" {
            return text.to_owned();
        }
        let is_own = |line: &str| {
            line.starts_with("Did you mean \"")
                && ["pg_", "duckdb_", "sqlite_", "information_schema"].iter().any(|own| line.contains(own))
        };
        let mut told: Vec<&str> = text.lines().filter(|line| !is_own(line)).collect();
        let named = text.strip_prefix("Table with name ").and_then(|rest| rest.split(" does not exist").next());
        if named.is_some_and(|name| name.contains(['/', '.'])) {
            told.push("SQL names tables here, and no files: read a file in a step of an extractor, and name that step");
        }
        told.join("\n")
    }
}

impl EngineError {
    /// The error in a text of DuckDB's.
    pub(super) fn new(text: impl AsRef<str>) -> Self {
        Self::in_statement(text.as_ref(), None)
    }

    /// The error in a text of DuckDB's about `statement`, with its position there.
    pub(super) fn in_statement(text: &str, statement: Option<&str>) -> Self {
        let Some(error) = Structured::parse(text) else {
            return Self { message: text.trim().to_owned(), cause: Cause::Internal, position: None };
        };
        let cause = error.cause();
        let mut message = format!("{} Error: {}", error.exception_type, error.told());
        let position: Option<usize> = error.position.as_deref().and_then(|position| position.parse().ok());
        if let Some(excerpt) = statement.zip(position).and_then(|(statement, position)| excerpt(statement, position)) {
            message = format!("{message}\n\n{excerpt}");
        }
        Self { message, cause, position }
    }

    pub(super) fn refused(what: impl Into<String>) -> Self {
        Self { message: format!("the SQL was refused: {}", what.into()), cause: Cause::Statement, position: None }
    }

    pub(super) fn data(message: impl Into<String>) -> Self {
        Self { message: message.into(), cause: Cause::Data, position: None }
    }

    pub(super) fn statement(message: impl Into<String>) -> Self {
        Self { message: message.into(), cause: Cause::Statement, position: None }
    }

    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self { message: message.into(), cause: Cause::Internal, position: None }
    }

    pub(super) fn arrow(error: duckdb::arrow::error::ArrowError) -> Self {
        Self {
            message: format!("cannot read DuckDB's columns as Arrow: {error}"),
            cause: Cause::Internal,
            position: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_follows_duckdbs_type_and_not_its_words() {
        for (json, cause) in [
            (r#"{"exception_type":"Binder","exception_message":"IO Error: No such file"}"#, Cause::Statement),
            (r#"{"exception_type":"Permission","exception_message":"x"}"#, Cause::Denied),
            (r#"{"exception_type":"IO","exception_message":"x","errno":"2"}"#, Cause::NotFound),
            (r#"{"exception_type":"IO","exception_message":"x","errno":"28"}"#, Cause::DiskFull),
            (r#"{"exception_type":"IO","exception_message":"x","errno":"5"}"#, Cause::Internal),
            (r#"{"exception_type":"IO","exception_message":"Permission Error"}"#, Cause::Data),
            (r#"{"exception_type":"New","exception_message":"Out of Memory Error"}"#, Cause::Internal),
            ("Out of Memory Error: without JSON", Cause::Internal),
        ] {
            assert_eq!(EngineError::new(format!("Any Error: {json}")).cause, cause, "{json}");
        }
    }

    #[test]
    fn an_error_shows_its_position_in_the_statement() {
        let text = r#"{"exception_type":"Binder","exception_message":"no x","position":"9"}"#;
        let message = |statement| EngineError::in_statement(text, Some(statement)).message;
        assert_eq!(message("select\n  x from t\nwhere"), "Binder Error: no x\n\nLINE 2:   x from t\n          ^");
        // A position that is beyond the statement, or inside a character.
        assert_eq!(message("select"), "Binder Error: no x");
        assert_eq!(message("selectüü"), "Binder Error: no x");
    }
}
