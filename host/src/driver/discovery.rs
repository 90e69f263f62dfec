//! What a driver's `discover` finds in the system that its connection leads to.

use serde::{Deserialize, Serialize};

/// A table of another system, as `osiris discover` shows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FoundTable {
    pub schema: Option<String>,
    pub name: String,
    pub columns: Vec<FoundColumn>,
    pub primary_key: Vec<String>,
    pub estimated_rows: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FoundColumn {
    pub name: String,
    /// The type, as the system calls it.
    pub source_type: String,
    /// The DuckDB type to which the driver converts it.
    pub duckdb_type: String,
    pub nullable: bool,
}
