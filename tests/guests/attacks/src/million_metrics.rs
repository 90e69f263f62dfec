//! Sends metrics endlessly.
//!
//! stopped by: limits
//! seen as: timeout: time limit
//! flags: --step-timeout 2

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    loop {
        context::metric("again", f64::NAN);
    }
}
