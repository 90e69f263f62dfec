//! Puts SQL into the names of JSON members and of columns that are read as JSON.
//!
//! stopped by: contract
//! seen as: success: 

use crate::prelude::*;

const NAME: &str = "a\" BIGINT); DROP TABLE main; --'";

pub fn run(step: &Step) -> Outcome {
    let writer = step.output.create_json_table("main", &[]).map_err(told)?;
    let name = NAME.replace('"', "\\\"");
    writer.append(&format!("{{\"{name}\": {{\"{name}\": 1}}}}")).map_err(told)?;
    writer.finish().map_err(told)?;
    let quoted = NAME.replace('"', "\"\"");
    let reader = sql::query_json(&format!("select {{\"{quoted}\": 1}} as \"{quoted}\"")).map_err(told)?;
    let records = reader.next().map_err(told)?.unwrap_or_default();
    if records.trim_end() == format!("{{\"{name}\":{{\"{name}\":1}}}}") { Ok(()) } else { Err(records) }
}
