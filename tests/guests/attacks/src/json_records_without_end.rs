//! Appends JSON records endlessly, which the host has to store until it knows their types.
//!
//! stopped by: limits
//! seen as: internal: temporary files
//! flags: --spill 64MB

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let writer = step.output.create_json_table("main", &[]).map_err(told)?;
    let page = "{\"a\": 1, \"b\": \"some text\"}\n".repeat(100_000);
    loop {
        writer.append(&page).map_err(told)?;
    }
}
