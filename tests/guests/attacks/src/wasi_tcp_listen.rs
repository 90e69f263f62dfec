//! Listens for connections.
//!
//! stopped by: imports
//! seen as: internal: refused

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    std::net::TcpListener::bind("0.0.0.0:0").map(drop).map_err(|error| error.to_string())
}
