//! Sends a statement of 300 MB.
//!
//! stopped by: limits
//! seen as: trap: fuel

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    sql::query(&" ".repeat(300 << 20), Types::Exact).map(drop).map_err(told)
}
