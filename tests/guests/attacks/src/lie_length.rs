//! Says a column has as many values as fit nowhere.
//!
//! stopped by: contract
//! seen as: internal: malformed

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    append(step, &column("l"), &batch(u64::MAX, u64::MAX, 0, vec![Vec::new(), vec![0; 8]]))
}
