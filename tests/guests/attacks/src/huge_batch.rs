//! Sends a batch of 300 MB.
//!
//! stopped by: limits
//! seen as: trap: fuel

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    append(step, &column("l"), &batch(1, 1, vec![Vec::new(), vec![0; 300 << 20]]))
}
