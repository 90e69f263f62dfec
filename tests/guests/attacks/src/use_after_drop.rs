//! Calls a function on a handle that it has dropped.
//!
//! stopped by: contract
//! seen as: trap: 

use crate::prelude::*;

#[expect(unsafe_code, reason = "the attack is a handle that was dropped")]
pub fn run(step: &Step) -> Outcome {
    let reader = step.inputs[0].read(&[], Types::Exact).map_err(told)?;
    let number = reader.handle();
    drop(reader);
    // SAFETY: it is not safe, which is the point: the handle is gone.
    let stale = unsafe { Reader::from_handle(number) };
    let outcome = stale.next().map(drop).map_err(told);
    std::mem::forget(stale);
    outcome
}
