//! Returns decreasing offsets.
//!
//! stopped by: contract
//! seen as: internal: malformed

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    append(step, &column("u"), &batch(2, 2, vec![Vec::new(), offsets(&[0, 4, 2]), b"text".to_vec()]))
}
