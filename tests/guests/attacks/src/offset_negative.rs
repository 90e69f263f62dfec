//! Returns an offset before the start of the text.
//!
//! stopped by: contract
//! seen as: internal: malformed

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    append(step, &column("u"), &batch(1, 1, vec![Vec::new(), offsets(&[-8, 1]), b"x".to_vec()]))
}
