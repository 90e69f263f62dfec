//! Exits the program with a code that means success.
//!
//! stopped by: contract
//! seen as: exit: called exit(0)

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    std::process::exit(0)
}
