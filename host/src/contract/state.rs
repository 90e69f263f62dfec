//! `osiris:driver/state`: the state that a step keeps from one run to the next.

use std::sync::Arc;

use super::bindings::osiris::driver::state::Host;
use super::{Answer, ErrorKind, error};
use crate::grants::state::{UnfitState, check_state};
use crate::protocol::Job;
use crate::secrets::Secrets;

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
        if let Err(unfit) = check_state(&json, &self.secrets) {
            let kind = if matches!(unfit, UnfitState::HoldsSecret) { ErrorKind::Denied } else { ErrorKind::Data };
            return Ok(Err(error(kind, unfit.to_string())));
        }
        self.next = Some(json);
        Ok(Ok(()))
    }
}
