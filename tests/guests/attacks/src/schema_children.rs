//! Declares a field with four billion children.
//!
//! stopped by: contract
//! seen as: internal: 

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    append(step, &Schema { fields: vec![field("x", "+s", u32::MAX)] }, &Batch { rows: 0, nodes: Vec::new() })
}
