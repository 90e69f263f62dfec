//! Returns text that is not UTF-8.
//!
//! stopped by: contract
//! seen as: internal: malformed

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    append(step, &column("u"), &batch(1, 1, vec![Vec::new(), offsets(&[0, 2]), vec![0xc3, 0x28]]))
}
