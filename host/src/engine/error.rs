//! DuckDB's errors, by what a caller can do about them.

/// An error in DuckDB's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EngineError {
    pub message: String,
    pub cause: Cause,
}

/// What kind of trouble DuckDB reports, as far as its message's first words tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The statement itself: syntax, names, types.
    Statement,
    /// Something the step may not do.
    Denied,
    /// A file, table or column that is not there.
    NotFound,
    /// Values that do not fit.
    Data,
    /// The memory limit.
    Memory,
    /// Stopped from outside.
    Interrupted,
    /// Anything else.
    Internal,
}

impl EngineError {
    pub(super) fn new(message: impl AsRef<str>) -> Self {
        let message = message.as_ref();
        let cause = match message.split_once(" Error").map_or("", |(first, _)| first) {
            "Parser" | "Syntax" | "Binder" | "Catalog" | "Not implemented" => Cause::Statement,
            "Permission" => Cause::Denied,
            "IO" if message.contains("No files found") || message.contains("No such file") => Cause::NotFound,
            "IO" if message.contains(" is not a ") => Cause::Data,
            "Out of Memory" => Cause::Memory,
            "INTERRUPT" => Cause::Interrupted,
            "Conversion" | "Invalid Input" | "Out of Range" | "Constraint" | "Mismatch Type" => Cause::Data,
            _ => Cause::Internal,
        };
        Self { message: message.trim().to_owned(), cause }
    }

    pub(super) fn refused(what: impl Into<String>) -> Self {
        Self { message: format!("the driver's SQL was refused: {}", what.into()), cause: Cause::Statement }
    }

    pub(super) fn data(message: impl Into<String>) -> Self {
        Self { message: message.into(), cause: Cause::Data }
    }

    pub(super) fn arrow(error: duckdb::arrow::error::ArrowError) -> Self {
        Self { message: format!("cannot read DuckDB's columns as Arrow: {error}"), cause: Cause::Internal }
    }
}
