//! Sends thousands of long warnings, more than an unread terminal can hold.
//!
//! stopped by: nothing
//! seen as: success:

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    for number in 0..5_000 {
        context::log(context::Level::Warn, &format!("warning {number} {}", "x".repeat(1_000)), &[]);
    }
    sql::create_table(step.output, "main", "select 1 as a").map(drop).map_err(told)
}
