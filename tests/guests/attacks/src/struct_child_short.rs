//! Returns a struct with a field shorter than the struct.
//!
//! stopped by: contract
//! seen as: internal: malformed

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let schema = Schema { fields: vec![field("s", "+s", 1), field("f", "l", 0)] };
    let nodes = vec![node(9, vec![Vec::new()]), node(1, vec![Vec::new(), vec![0; 8]])];
    append(step, &schema, &Batch { rows: 9, nodes })
}
