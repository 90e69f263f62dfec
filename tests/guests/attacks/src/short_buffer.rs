//! Declares ten values in a buffer with the bytes of five.
//!
//! stopped by: contract
//! seen as: internal: malformed

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    append(step, &column("l"), &batch(10, 10, vec![Vec::new(), vec![0; 40]]))
}
