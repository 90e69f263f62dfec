//! Sends control characters to the user's terminal.
//!
//! stopped by: contract
//! seen as: success: 

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    context::log(context::Level::Warn, "\u{1b}]0;owned\u{7}\u{1b}[2J\r", &[]);
    sql::create_table(step.output, "main", "select 1 as a").map(drop).map_err(told)
}
