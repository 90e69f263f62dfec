//! Declares a batch of 1,000 rows whose column has ten.
//!
//! stopped by: contract
//! seen as: internal: malformed

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    append(step, &column("l"), &batch(1_000, 10, vec![Vec::new(), vec![0; 80]]))
}
