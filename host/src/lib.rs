//! Osiris runs data-pipeline drivers as sandboxed WebAssembly components over DuckDB files.
//!
//! The modules follow the way of the data; ARCHITECTURE.md has the map.

pub mod columns;
pub mod engine;
pub mod error;
pub mod job;
pub mod contract;
pub mod runtime;
pub mod step;
