//! Reads the job, with its secrets, from stdin.
//!
//! stopped by: imports
//! seen as: internal: refused

use std::io::Read;

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    let mut job = String::new();
    let read = std::io::stdin().read_to_string(&mut job);
    if job.is_empty() { Err(format!("stdin is empty: {read:?}")) } else { Ok(()) }
}
