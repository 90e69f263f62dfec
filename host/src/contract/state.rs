//! `osiris:driver/state`: the state that a step keeps from one run to the next.

use std::sync::Arc;

use super::bindings::osiris::driver::state::Host;
use super::{Answer, ErrorKind, error};
use crate::grants::limits::MAX_STATE_BYTES;
use crate::protocol::Job;
use crate::secrets::Secrets;
use crate::secrets::scrubber::holds;

/// The state that the step kept in its last run, and the one for its next run, as JSON.
pub struct KeptState {
    before: Option<String>,
    pub next: Option<String>,
    /// Neither state may contain one of them.
    secrets: Arc<Secrets>,
    /// Whether the step keeps a state.
    is_granted: bool,
}

impl KeptState {
    pub fn new(job: &Job, secrets: &Arc<Secrets>) -> Self {
        Self {
            before: job.state.as_ref().and_then(|prior| prior.value.clone()),
            next: None,
            secrets: Arc::clone(secrets),
            is_granted: job.state.is_some(),
        }
    }
}

impl Host for KeptState {
    fn get(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(self.before.clone())
    }

    fn set(&mut self, json: String) -> Answer<()> {
        if !self.is_granted {
            return Ok(Err(error(ErrorKind::Denied, "the step was not granted a state to keep between runs")));
        }
        if json.len() > MAX_STATE_BYTES {
            let message = format!("a state of {} bytes is larger than the {MAX_STATE_BYTES} that are kept", json.len());
            return Ok(Err(error(ErrorKind::Data, message)));
        }
        if let Err(cause) = serde_json::from_str::<&serde_json::value::RawValue>(&json) {
            return Ok(Err(error(ErrorKind::Data, format!("a state must be JSON: {cause}"))));
        }
        if self.secrets.values().any(|secret| holds(&json, secret)) {
            let message = "a state must hold no secret: it is kept on disk as it is, and shown";
            return Ok(Err(error(ErrorKind::Denied, message)));
        }
        self.next = Some(json);
        Ok(Ok(()))
    }
}
