//! Downloads more through a connection than its step may.
//!
//! stopped by: limits
//! seen as: network: over the network, its limit

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let mut connection = connect(step)?;
    connection.send(b"GET /endless HTTP/1.0\r\n\r\n")?;
    loop {
        let count = connection.fill()?.len();
        if count == 0 {
            return Ok("all of it".to_owned());
        }
        connection.consume(count);
    }
}
