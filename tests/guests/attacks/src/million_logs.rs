//! Logs endlessly.
//!
//! stopped by: limits
//! seen as: timeout: time limit
//! flags: --step-timeout 2

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    loop {
        context::log(context::Level::Info, "again and again", &[]);
    }
}
