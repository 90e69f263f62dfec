//! Sleeps for an hour inside a host call, where no instructions are counted.
//!
//! stopped by: limits
//! seen as: timeout: time limit
//! flags: --step-timeout 1

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    std::thread::sleep(std::time::Duration::from_secs(3600));
    Ok(())
}
