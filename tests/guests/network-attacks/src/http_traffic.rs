//! Downloads more over HTTP than its step may.
//!
//! stopped by: limits
//! seen as: transient: broke off

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    read(&get(&format!("{}/endless", step.url))?, usize::MAX).map(|_| "all of it".to_owned())
}
