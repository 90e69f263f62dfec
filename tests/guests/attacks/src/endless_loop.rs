//! Never returns.
//!
//! stopped by: limits
//! seen as: timeout: time limit
//! flags: --step-timeout 1

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    loop {
        std::hint::spin_loop();
    }
}
