//! Rejects a row that is larger than any the host stores, and ignores that it is lost.
//!
//! stopped by: contract
//! seen as: internal: the driver rejected a row of 17825794 bytes

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let row = format!("\"{}\"", "x".repeat(17 << 20));
    let _ = context::reject(&row, "it is too large");
    append(step, &column("l"), &batch(1, 1, vec![Vec::new(), vec![0; 8]]))
}
