//! Recurses endlessly.
//!
//! stopped by: limits
//! seen as: trap: trapped

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    fn deeper(depth: u64) -> u64 {
        let held = std::hint::black_box([depth; 64]);
        if depth == u64::MAX { held[0] } else { deeper(depth + 1) + held[1] }
    }
    Err(deeper(0).to_string())
}
