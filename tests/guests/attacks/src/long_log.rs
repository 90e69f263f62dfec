//! Logs one line of 100 MB.
//!
//! stopped by: limits
//! seen as: success: 

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    context::log(context::Level::Info, &"x".repeat(100 << 20), &[]);
    sql::create_table(step.output, "main", "select 1 as a").map(drop).map_err(told)
}
