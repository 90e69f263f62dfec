//! The step's line to its host: what it reports, and the streams that it asks for.

pub mod network;
pub mod reporter;
