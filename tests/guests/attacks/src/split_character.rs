//! Splits a text inside a character.
//!
//! stopped by: contract
//! seen as: internal: malformed

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    append(step, &column("u"), &batch(2, 2, vec![Vec::new(), offsets(&[0, 1, 2]), "é".as_bytes().to_vec()]))
}
