//! Opens a plain stream to a host that it may call only over HTTP.
//!
//! stopped by: contract
//! seen as: denied: may not connect

use osiris_sdk::tcp;

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let (_, authority, _) = parts(&step.url);
    let (host, port) = authority.rsplit_once(':').unwrap_or((&authority, "80"));
    let connection = tcp::connect(host, port.parse().unwrap_or(80), PATIENCE)?;
    connection.send(b"DELETE / HTTP/1.0\r\n\r\n")?;
    Ok("connected".to_owned())
}
