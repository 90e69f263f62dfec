//! Runs the SQL of a file in sql/, by every way there is.
//!
//! stopped by: see sql/
//! seen as: see sql/

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let text = &step.config.sql;
    let table = sql::create_table(step.output, "main", text).unwrap_or_default();
    let copied = files::create("out.txt").and_then(|target| target.copy(text, files::Format::Csv, &[])).unwrap_or_default();
    let queried = sql::query(text, Types::Exact).and_then(|rows| Ok(rows.next()?.map_or(0, |batch| batch.rows)));
    // A single way that returns a row is a breach.
    if table + copied > 0 || matches!(queried, Ok(1..)) {
        let _ = sql::create_table(step.output, "breach", "select true as breached");
        return Ok(());
    }
    Err(queried.map_or_else(told, |_| "it gave no row".to_owned()))
}
