//! What a driver's `discover` finds in the system that its connection leads to.

use serde::{Deserialize, Serialize};

use crate::untrusted::Untrusted;

/// A table of another system, as `osiris discover` shows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FoundTable {
    pub schema: Option<Untrusted>,
    pub name: Untrusted,
    pub columns: Vec<FoundColumn>,
    pub primary_key: Vec<Untrusted>,
    pub estimated_rows: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FoundColumn {
    pub name: Untrusted,
    /// The type, as the system calls it.
    pub source_type: Untrusted,
    /// The DuckDB type to which the driver converts it.
    pub duckdb_type: Untrusted,
    pub nullable: bool,
}
