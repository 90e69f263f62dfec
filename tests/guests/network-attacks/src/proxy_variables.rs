//! Looks for a proxy that the host would use.
//!
//! stopped by: imports
//! seen as: not-found: no variable

use crate::prelude::*;

pub fn run(_step: &Step) -> Outcome {
    match std::env::vars().next() {
        Some((name, value)) => Ok(format!("{name}={value}")),
        None => Err(Error::not_found("no variable is set")),
    }
}
