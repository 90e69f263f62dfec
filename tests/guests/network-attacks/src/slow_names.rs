//! Asks over and over for a host, and waits for no answer: where its name server is slow, each ask is a look-up.
//!
//! stopped by: limits
//! seen as: timeout: its time limit

use std::time::Duration;

use osiris_sdk::tcp;

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    loop {
        let _ = tcp::connect(&step.host, step.port, Duration::from_millis(1));
    }
}
