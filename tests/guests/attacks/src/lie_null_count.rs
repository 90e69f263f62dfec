//! Declares nulls that the validity bitmap does not contain.
//!
//! stopped by: contract
//! seen as: internal: malformed

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    append(step, &column("l"), &batch(2, 2, 2, vec![vec![0xff], vec![0; 16]]))
}
