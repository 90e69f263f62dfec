//! Sends 100,000 fields with a log line.
//!
//! stopped by: limits
//! seen as: success: 

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let fields: Vec<_> = (0..100_000).map(|number| (format!("{number}"), "x".repeat(100))).collect();
    context::log(context::Level::Info, "fields", &fields);
    sql::create_table(step.output, "main", "select 1 as a").map(drop).map_err(told)
}
