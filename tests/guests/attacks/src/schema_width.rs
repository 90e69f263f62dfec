//! Creates a table with a million columns.
//!
//! stopped by: contract
//! seen as: internal: fields

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let fields = (0..1_000_000).map(|number| field(&number.to_string(), "l", 0)).collect();
    append(step, &Schema { fields }, &Batch { rows: 0, nodes: Vec::new() })
}
