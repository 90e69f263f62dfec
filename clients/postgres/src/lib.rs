//! PostgreSQL's wire protocol over any stream.
