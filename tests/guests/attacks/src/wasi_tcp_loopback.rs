//! Connects to a service on this machine.
//!
//! stopped by: imports
//! seen as: internal: refused

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    std::net::TcpStream::connect("127.0.0.1:5432").map(drop).map_err(|error| error.to_string())
}
