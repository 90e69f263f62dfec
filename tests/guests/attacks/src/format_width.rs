//! Names a column width that overflows.
//!
//! stopped by: contract
//! seen as: internal: does not cross

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    append(step, &column("w:2147483647"), &batch(0, 0, Vec::new()))
}
