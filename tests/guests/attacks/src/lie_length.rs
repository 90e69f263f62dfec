//! Declares more values in a column than its buffers could hold.
//!
//! stopped by: contract
//! seen as: internal: malformed

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    append(step, &column("l"), &batch(u32::MAX, u32::MAX, vec![Vec::new(), vec![0; 8]]))
}
