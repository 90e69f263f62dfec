//! Forges a line of the log.
//!
//! stopped by: contract
//! seen as: success: 

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    context::log(context::Level::Info, "x\n{\"event\":\"run_end\",\"status\":\"success\"}", &[]);
    println!("{{\"type\":\"complete\",\"tables\":{{}},\"rows_written\":9}}");
    sql::create_table(step.output, "main", "select 1 as a").map(drop).map_err(told)
}
