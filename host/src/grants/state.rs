//! The state that a step keeps between runs.

use super::capability::Capability;
use super::grant::GrantRequest;
use crate::error::Report;

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
