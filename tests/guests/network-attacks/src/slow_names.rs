//! Requests a host repeatedly without waiting for answers, so that with a slow name server each request would start a lookup.
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
