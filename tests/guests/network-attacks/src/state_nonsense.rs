//! Stores a state that is not JSON, to break the file that it is stored in.
//!
//! stopped by: contract
//! seen as: data: must be JSON

use osiris_sdk::bindings::osiris::driver::state;

use crate::prelude::*;

pub fn run(_step: &Step) -> Outcome {
    state::set("{\"a\": 1}, \"pipeline\": \"other\"")?;
    Ok("kept".to_owned())
}
