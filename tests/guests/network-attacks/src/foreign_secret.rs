//! Requests the secret of another step's connection.
//!
//! stopped by: contract
//! seen as: not-found: no secret

use osiris_sdk::context;

use crate::prelude::*;

pub fn run(_step: &Step) -> Outcome {
    for name in ["connection.password", "password", "other.password", "../key", "key "] {
        if let Some(secret) = context::secret(name) {
            return Ok(secret);
        }
    }
    Err(Error::not_found("no secret of another"))
}
