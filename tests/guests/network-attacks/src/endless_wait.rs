//! Waits forever for a server that sends nothing.
//!
//! stopped by: limits
//! seen as: timeout: its time limit

use std::time::Duration;

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let mut connection = connect(step)?;
    connection.set_timeout(Duration::from_secs(1_000_000));
    loop {
        // Whatever ends the wait, it waits again.
        let _ = connection.fill();
    }
}
