//! Puts SQL into the name of a column.
//!
//! stopped by: contract
//! seen as: success: 

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let schema = Schema { fields: vec![field("a\" BIGINT); DROP TABLE main; --", "l", 0)] };
    append(step, &schema, &batch(1, 1, vec![Vec::new(), vec![0; 8]]))
}
