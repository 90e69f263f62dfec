//! Looks for secrets in the environment.
//!
//! stopped by: imports
//! seen as: internal: refused

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    if std::env::vars_os().next().is_some() { Ok(()) } else { Err("the environment is empty".to_owned()) }
}
