//! Connects to a host and port that its step was not granted, spelled as in the config.
//!
//! stopped by: contract
//! seen as: denied: may not connect

use osiris_sdk::tcp;

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let (host, port) = step.target.rsplit_once(':').unwrap_or((&step.target, "80"));
    let connection = tcp::connect(host, port.parse().unwrap_or(80), PATIENCE)?;
    connection.send(b"GET / HTTP/1.0\r\n\r\n")?;
    Ok("connected".to_owned())
}
