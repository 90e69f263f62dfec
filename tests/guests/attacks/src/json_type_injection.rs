//! Puts SQL into the declared type of a JSON member.
//!
//! stopped by: contract
//! seen as: internal: is not a type

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let duckdb_type = "BIGINT); ATTACH '/tmp/x' AS x; --".to_owned();
    step.output.create_json_table("main", &[JsonColumn { name: "a".to_owned(), duckdb_type }]).map(drop).map_err(told)
}
