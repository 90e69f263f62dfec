//! Writes forever to a server that does not read.
//!
//! stopped by: limits
//! seen as: timeout: its time limit

use std::time::Duration;

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let connection = connect(step)?;
    connection.set_timeout(Duration::from_secs(1_000_000));
    let bytes = vec![0; 1 << 20];
    loop {
        let _ = connection.send(&bytes);
    }
}
