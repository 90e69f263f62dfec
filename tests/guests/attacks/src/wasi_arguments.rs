//! Looks for secrets in the program's arguments.
//!
//! stopped by: imports
//! seen as: internal: refused

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    if std::env::args_os().next().is_some() { Ok(()) } else { Err("there are no arguments".to_owned()) }
}
