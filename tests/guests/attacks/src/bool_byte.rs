//! Returns a boolean that is neither true nor false.
//!
//! stopped by: contract
//! seen as: internal: extension type

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let mut schema = column("c");
    schema.fields[0].metadata = vec![("ARROW:extension:name".to_owned(), "arrow.bool8".to_owned())];
    append(step, &schema, &batch(2, 2, vec![Vec::new(), vec![1, 0x7f]]))
}
