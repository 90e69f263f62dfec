//! Appends a JSON record that is nested ten million levels deep, and reads it back as JSON.
//!
//! stopped by: contract
//! seen as: success: 

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let writer = step.output.create_json_table("main", &[]).map_err(told)?;
    let (open, close) = ("[".repeat(10_000_000), "]".repeat(10_000_000));
    writer.append(&format!("{{\"a\": {open}{close}}}")).map_err(told)?;
    writer.finish().map(drop).map_err(told)
}
