//! Reads the clock endlessly.
//!
//! stopped by: limits
//! seen as: timeout: time limit
//! flags: --step-timeout 1

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    loop {
        std::hint::black_box(std::time::Instant::now());
    }
}
