//! Returns an error of 100 MB.
//!
//! stopped by: limits
//! seen as: internal: refused

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    Err("x".repeat(100 << 20))
}
