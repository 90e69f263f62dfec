//! Opens readers endlessly.
//!
//! stopped by: limits
//! seen as: internal: readers open

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let mut held = Vec::new();
    loop {
        held.push(step.inputs[0].read(&[], Types::Exact).map_err(told)?);
    }
}
