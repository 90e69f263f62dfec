//! Returns more nodes than the schema has fields.
//!
//! stopped by: contract
//! seen as: internal: malformed

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    append(step, &column("l"), &Batch { rows: 1, nodes: (0..100).map(|_| node(1, vec![Vec::new(), vec![0; 8]])).collect() })
}
