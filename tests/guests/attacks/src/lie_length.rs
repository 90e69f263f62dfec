//! Declares more values in a column than its buffers could hold.
//!
//! stopped by: contract
//! seen as: internal: malformed

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    append(step, &column("l"), &batch(u64::MAX, u64::MAX, 0, vec![Vec::new(), vec![0; 8]]))
}
