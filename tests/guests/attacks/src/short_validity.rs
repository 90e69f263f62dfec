//! Returns one validity bit for 10,000 values.
//!
//! stopped by: contract
//! seen as: internal: malformed

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    append(step, &column("l"), &batch(10_000, 10_000, vec![vec![1], vec![0; 80_000]]))
}
