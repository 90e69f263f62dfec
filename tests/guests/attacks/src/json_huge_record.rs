//! Sends a JSON record of 300 MB.
//!
//! stopped by: limits
//! seen as: trap: fuel

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let writer = step.output.create_json_table("main", &[]).map_err(told)?;
    let mut record = String::with_capacity(301 << 20);
    record.push_str("{\"a\": \"");
    record.extend(std::iter::repeat_n('x', 300 << 20));
    record.push_str("\"}");
    writer.append(&record).map_err(told)
}
