//! Connects to an IP address on the internet.
//!
//! stopped by: imports
//! seen as: internal: refused

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    std::net::TcpStream::connect("1.1.1.1:443").map(drop).map_err(|error| error.to_string())
}
