//! Osiris runs data-pipeline drivers as sandboxed WebAssembly components over DuckDB files.
//!
//! The modules follow the way of the data; ARCHITECTURE.md has the map.

pub mod error;
pub mod job;
