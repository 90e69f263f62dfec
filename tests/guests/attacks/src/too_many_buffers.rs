//! Returns more buffers than the type has.
//!
//! stopped by: contract
//! seen as: internal: malformed

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    append(step, &column("l"), &batch(1, 1, vec![Vec::new(); 9]))
}
