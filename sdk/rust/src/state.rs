//! A step's state from one run to the next; it is only stored once everything that depends on it has succeeded.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::host::context::step_id;
use crate::host::state as raw;
use crate::{Error, Result};

/// The state that the last run stored; `None` in the first run.
///
/// # Errors
/// `data` if it is not of this type: another version of the driver may have stored it.
pub fn get<S: DeserializeOwned>() -> Result<Option<S>> {
    let Some(json) = raw::get() else { return Ok(None) };
    serde_json::from_str(&json).and_then(serde_json::from_value::<S>).map(Some).map_err(|error| {
        Error::data(format!("cannot read the state of the last run: {error}; `{}` starts over", reset_command()))
    })
}

/// Stores `state` for the next run; the last call wins.
///
/// # Errors
/// `data` if it is larger than 1 MiB or not JSON; `denied` if it contains a secret of the step.
pub fn set<S: Serialize>(state: &S) -> Result<()> {
    Ok(raw::set(&serde_json::to_string(state)?)?)
}

/// The command that resets this step's state, for errors about a state that cannot be used.
pub fn reset_command() -> String {
    format!("osiris state reset {}", step_id())
}

/// The command that replaces this step's state.
pub fn set_command() -> String {
    format!("osiris state set {}", step_id())
}
