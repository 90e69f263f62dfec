//! Puts SQL where the host reads the name of a type.
//!
//! stopped by: contract
//! seen as: internal: none of the step

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let mut schema = column("l");
    schema.fields[0].metadata = vec![("osiris.duckdb_type".to_owned(), "BIGINT); ATTACH '/tmp/x' AS x; --".to_owned())];
    append(step, &schema, &batch(1, 1, vec![Vec::new(), vec![0; 8]]))
}
