//! Stores its secret in its state, whose file is searched for secrets.
//!
//! stopped by: contract
//! seen as: denied: no secret

use osiris_sdk::{context, state};

use crate::prelude::*;

pub fn run(_step: &Step) -> Outcome {
    state::set(&context::secret("key"))?;
    Ok("kept".to_owned())
}
