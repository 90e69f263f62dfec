//! Calls a reader function on a handle of another type.
//!
//! stopped by: contract
//! seen as: trap: 

use crate::prelude::*;

#[expect(unsafe_code, reason = "the attack is a handle to something else")]
pub fn run(_: &Step) -> Outcome {
    let secret = secrets::get("key").ok_or("no such secret")?;
    // SAFETY: it is not safe, which is the point: the handle is a secret's.
    let wrong = unsafe { Reader::from_handle(secret.handle()) };
    let outcome = wrong.next().map(drop).map_err(told);
    std::mem::forget(wrong);
    outcome
}
