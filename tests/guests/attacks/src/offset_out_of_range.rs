//! Returns an offset beyond the end of the text.
//!
//! stopped by: contract
//! seen as: internal: malformed

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    append(step, &column("u"), &batch(1, 1, vec![Vec::new(), offsets(&[0, i32::MAX]), b"x".to_vec()]))
}
