//! Opens readers of JSON records endlessly.
//!
//! stopped by: limits
//! seen as: internal: readers open

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let mut held = Vec::new();
    loop {
        held.push(step.inputs[0].read_json(&[]).map_err(told)?);
        held.push(sql::query_json("select 1 as a").map_err(told)?);
    }
}
