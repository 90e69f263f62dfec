//! Hides the real host behind a user name that looks like the granted host.
//!
//! stopped by: contract
//! seen as: transient: HttpRequestUriInvalid

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let (_, granted, path) = parts(&step.url);
    let (_, target, _) = parts(&step.target);
    read(&get(&format!("http://{granted}@{target}{path}"))?, 1 << 20)
}
