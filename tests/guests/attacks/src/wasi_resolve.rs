//! Resolves a name, which can leak data through DNS.
//!
//! stopped by: imports
//! seen as: internal: refused

use std::net::ToSocketAddrs;

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    ("secret.example.com", 80).to_socket_addrs().map(drop).map_err(|error| error.to_string())
}
