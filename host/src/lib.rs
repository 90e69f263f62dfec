//! Osiris runs data-pipeline drivers as sandboxed WebAssembly components over DuckDB files.
//!
//! The modules follow the way of the data; ARCHITECTURE.md has the map.

pub mod address;
pub mod cli;
pub mod columns;
pub mod compiler;
pub mod config;
pub mod connect;
pub mod connections;
pub mod contract;
pub mod drivers;
pub mod endpoint;
pub mod engine;
pub mod error;
pub mod grant;
pub mod identity;
pub mod job;
pub mod lock;
pub mod options;
pub mod params;
pub mod pipeline;
pub mod plan;
pub mod policy;
pub mod run;
pub mod runtime;
pub mod sandbox;
pub mod scrubber;
pub mod secret;
pub mod session;
pub mod size;
pub mod spec;
pub mod step;
pub mod typed;
pub mod warning;
mod yaml;
