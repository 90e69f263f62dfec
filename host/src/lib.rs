//! Osiris runs data-pipeline drivers as sandboxed WebAssembly components over DuckDB files.
//!
//! The modules are rooms, listed here from the top floor down; each imports only from its own floor and those below.
//! ARCHITECTURE.md has the map.

pub mod cli;

pub mod kit;

pub mod e2b;
pub mod run;
pub mod worker;

pub mod executor;

pub mod step;

pub mod contract;

pub mod channel;
pub mod plan;
pub mod protocol;

pub mod columns;
pub mod driver;
pub mod engine;
pub mod exchange;
pub mod recordings;
pub mod scaffold;
pub mod session;

pub mod grants;

pub mod pipeline;
pub mod sandbox;

pub mod digest;
pub mod environment;
pub mod error;
pub mod exact_json;
pub mod secrets;
pub mod size;
pub mod untrusted;
pub mod warning;
