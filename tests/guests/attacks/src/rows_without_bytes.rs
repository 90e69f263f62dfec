//! Appends a billion rows of nulls, which take no bytes.
//!
//! stopped by: contract
//! seen as: internal: more than the

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    append(step, &column("n"), &batch(1 << 30, 1 << 30, Vec::new()))
}
