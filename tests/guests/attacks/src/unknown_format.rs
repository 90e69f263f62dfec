//! Names a column format that the contract does not support.
//!
//! stopped by: contract
//! seen as: internal: does not cross

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    append(step, &column("vu"), &batch(0, 0, Vec::new()))
}
