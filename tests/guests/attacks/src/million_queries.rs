//! Opens queries endlessly.
//!
//! stopped by: limits
//! seen as: internal: readers open

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    let mut held = Vec::new();
    loop {
        held.push(sql::query("select 1", Types::Exact).map_err(told)?);
    }
}
