//! Connects to its granted host: the positive control.
//!
//! stopped by: nothing
//! seen as: success

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let mut connection = connect(step)?;
    connection.send(b"GET /granted HTTP/1.0\r\n\r\n")?;
    let mut text = Vec::new();
    loop {
        let there = connection.fill()?;
        if there.is_empty() {
            return Ok(String::from_utf8_lossy(&text).into_owned());
        }
        text.extend_from_slice(there);
        let count = there.len();
        connection.consume(count);
    }
}
