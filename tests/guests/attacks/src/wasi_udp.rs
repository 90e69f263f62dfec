//! Sends a datagram, as a DNS tunnel does.
//!
//! stopped by: imports
//! seen as: internal: refused

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    std::net::UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.send_to(b"x", "1.1.1.1:53")).map(drop).map_err(|error| error.to_string())
}
