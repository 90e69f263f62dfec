//! The state that a step keeps between runs.

use super::capability::Capability;
use super::grant::GrantRequest;
use super::limits::MAX_STATE_BYTES;
use crate::error::Report;
use crate::secrets::Secrets;
use crate::secrets::scrubber::holds;

/// Why a text cannot be stored as a state.
#[derive(Debug, thiserror::Error)]
pub enum UnfitState {
    #[error("a state of {0} bytes is larger than the {MAX_STATE_BYTES} that are kept")]
    TooLarge(usize),
    #[error("a state must be JSON: {0}")]
    NotJson(serde_json::Error),
    #[error("a state must hold no secret: it is kept on disk as it is, and shown")]
    HoldsSecret,
}

/// Checks that a text can be stored as the state of a step with these secrets.
///
/// # Errors
/// If it is too large, is not JSON, or contains a secret.
pub fn check_state(json: &str, secrets: &Secrets) -> Result<(), UnfitState> {
    if json.len() > MAX_STATE_BYTES {
        return Err(UnfitState::TooLarge(json.len()));
    }
    serde_json::from_str::<&serde_json::value::RawValue>(json).map_err(UnfitState::NotJson)?;
    if secrets.values().any(|secret| holds(json, secret)) {
        return Err(UnfitState::HoldsSecret);
    }
    Ok(())
}

/// Keeping a state between runs.
pub struct State;

const WORDS: &str = "keep a state between runs";

impl Capability for State {
    type Wanted = bool;
    type Granted = bool;

    const IMPORTS: &'static [&'static str] = &["osiris:driver/state"];

    fn wanted_words(wanted: &bool) -> Vec<String> {
        wanted.then(|| WORDS.to_owned()).into_iter().collect()
    }

    fn grant(wanted: &bool, _request: &GrantRequest<'_>) -> Result<bool, Report> {
        Ok(*wanted)
    }

    fn words(granted: &bool, _note: &dyn Fn(&str) -> &'static str) -> Vec<String> {
        Self::wanted_words(granted)
    }
}
