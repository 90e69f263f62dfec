//! Nests a type 10,000 levels deep.
//!
//! stopped by: contract
//! seen as: internal: deeper

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let mut fields: Vec<_> = (0..10_000).map(|_| field("x", "+l", 1)).collect();
    fields.push(field("x", "l", 0));
    append(step, &Schema { fields }, &Batch { rows: 0, nodes: Vec::new() })
}
