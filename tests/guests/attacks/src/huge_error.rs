//! Returns an error of a hundred megabytes.
//!
//! stopped by: limits
//! seen as: internal: refused

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    Err("x".repeat(100 << 20))
}
