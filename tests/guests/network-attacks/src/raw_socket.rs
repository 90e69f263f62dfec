//! Creates its own socket through WASI, in addition to the connection that it was granted.
//!
//! stopped by: imports
//! seen as: denied: was refused

use std::net::TcpStream;

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    match TcpStream::connect(("127.0.0.1", step.port)) {
        Ok(_) => Ok("connected".to_owned()),
        Err(why) => Err(refused("a socket", why)),
    }
}
