//! Connects to a cloud's metadata address.
//!
//! stopped by: imports
//! seen as: internal: refused

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    std::net::TcpStream::connect("169.254.169.254:80").map(drop).map_err(|error| error.to_string())
}
