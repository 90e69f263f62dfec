//! Returns a decimal with more digits than its type has.
//!
//! stopped by: contract
//! seen as: internal: does not fit its type 

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    append(step, &column("d:4,2"), &batch(1, 1, vec![Vec::new(), i128::MAX.to_le_bytes().to_vec()]))
}
