//! Returns lists whose values are missing.
//!
//! stopped by: contract
//! seen as: internal: malformed

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let schema = Schema { fields: vec![field("l", "+l", 1), field("item", "l", 0)] };
    let nodes = vec![node(1, vec![Vec::new(), offsets(&[0, 1_000])]), node(1, vec![Vec::new(), vec![0; 8]])];
    append(step, &schema, &Batch { rows: 1, nodes })
}
