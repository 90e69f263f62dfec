//! Declares union type ids for which there are no members.
//!
//! stopped by: contract
//! seen as: internal: malformed

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let schema = Schema { fields: vec![field("u", "+us:0,1", 2), field("a", "l", 0), field("b", "u", 0)] };
    let nodes = vec![
        node(1, vec![vec![77]]),
        node(1, vec![Vec::new(), vec![0; 8]]),
        node(1, vec![Vec::new(), offsets(&[0, 0]), Vec::new()]),
    ];
    append(step, &schema, &Batch { rows: 1, nodes })
}
