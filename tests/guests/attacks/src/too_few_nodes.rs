//! Returns fewer nodes than the schema has fields.
//!
//! stopped by: contract
//! seen as: internal: malformed

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    append(step, &column("l"), &Batch { rows: 1, nodes: Vec::new() })
}
