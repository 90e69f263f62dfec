//! Calls a function on a handle that it was never given.
//!
//! stopped by: contract
//! seen as: trap: 

use crate::prelude::*;

#[expect(unsafe_code, reason = "the attack is a handle that was never given")]
pub fn run(step: &Step) -> Outcome {
    let _ = step;
    // SAFETY: it is not safe, which is the point: the number was made up.
    let forged = unsafe { Input::from_handle(77) };
    let alias = forged.alias();
    std::mem::forget(forged);
    Err(alias)
}
