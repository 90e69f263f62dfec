//! The step's connection to its host: what it reports, and the streams that it requests.

pub mod network;
pub mod printed;
pub mod reporter;
