//! Runs the SQL of a file in sql/, by every way there is.
//!
//! stopped by: see sql/
//! seen as: see sql/

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let text = &step.config.sql;
    // One way that works is a way in.
    let table = sql::create_table(step.output, "main", text).map(drop);
    let copied = files::create("out.txt").and_then(|target| target.copy(text, files::Format::Csv, &[])).map(drop);
    let queried = sql::query(text).and_then(|rows| {
        while rows.next()?.is_some() {}
        Ok(())
    });
    if table.is_ok() || copied.is_ok() || queried.is_ok() { Ok(()) } else { queried.map_err(told) }
}
