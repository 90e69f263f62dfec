//! The states of a pipeline's steps in an exchange: `pipelines/<pipeline>/`.
//!
//! Runs take turns. `claims/<n>.json` says which session has turn n, and `states/<n>.json` with which states it ended; both are
//! created once. A turn that is taken from a run which died is ended first, so that it cannot end with others.

use std::collections::BTreeMap;

use anyhow::Context;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::shared::{Holder, holder};
use crate::error::Report;
use crate::exchange::{Creation, Exchange, ExchangeError};
use crate::session::state::{StoredState, folder_name};

/// The prefix of all pipelines.
pub const PIPELINES: &str = "pipelines";

/// How often a turn is tried to be had from others who want it at the same time.
const TRIES: u32 = 5;

/// A run's turn with the states of a pipeline.
#[derive(Debug)]
pub struct Turn {
    exchange: Exchange,
    pipeline: String,
    session: String,
    number: u32,
    /// The states that the turn before it ended with, by step.
    pub earlier: BTreeMap<String, StoredState>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Claim {
    session: String,
}

/// How a turn ended.
#[derive(Debug, Serialize, Deserialize)]
struct Ended {
    /// The session whose turn it was.
    session: String,
    states: BTreeMap<String, StoredState>,
}

impl Turn {
    pub fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    pub fn pipeline(&self) -> &str {
        &self.pipeline
    }

    /// Takes the next turn with the states of `pipeline`, or goes on with that of the same session; `time` is the clock of the
    /// store.
    ///
    /// # Errors
    /// A [`Report`] if another run has it.
    pub fn take(exchange: Exchange, pipeline: &str, session: &str, time: Timestamp) -> anyhow::Result<Self> {
        let mut turn = Self {
            exchange,
            pipeline: pipeline.to_owned(),
            session: session.to_owned(),
            number: 0,
            earlier: BTreeMap::new(),
        };
        for _ in 0..TRIES {
            let (claimed, ended) = (turn.last("claims")?, turn.last("states")?);
            turn.earlier = if ended == 0 { BTreeMap::new() } else { turn.ended(ended)?.states };
            if claimed > ended {
                let claim = turn.read::<Claim>("claims", claimed)?;
                if claim.session == session {
                    turn.number = claimed;
                    return Ok(turn);
                }
                turn.end_dead(&claim.session, claimed, time)?;
                continue;
            }
            turn.number = claimed.max(ended) + 1;
            let claim = serde_json::to_vec(&Claim { session: session.to_owned() })?;
            let created = turn.exchange.create(&turn.name("claims", turn.number), claim);
            if created.map_err(ExchangeError::report)? == Creation::Created && turn.last("claims")? == turn.number {
                return Ok(turn);
            }
        }
        Err(turn.taken("other runs"))
    }

    /// The states that the last turn ended with, without taking one.
    ///
    /// # Errors
    /// If the exchange cannot be used.
    pub fn look(exchange: Exchange, pipeline: &str) -> anyhow::Result<BTreeMap<String, StoredState>> {
        let (pipeline, session) = (pipeline.to_owned(), String::new());
        let turn = Self { exchange, pipeline, session, number: 0, earlier: BTreeMap::new() };
        match turn.last("states")? {
            0 => Ok(BTreeMap::new()),
            last => Ok(turn.ended(last)?.states),
        }
    }

    /// Ends the turn of a session whose host died, with the states that it began with.
    fn end_dead(&self, session: &str, number: u32, time: Timestamp) -> anyhow::Result<()> {
        match holder(&self.exchange, session, time)?.0 {
            Holder::Machine(machine, _) => Err(self.taken(&format!("session `{session}` on `{machine}`"))),
            Holder::Nobody => {
                let ended = Ended { session: session.to_owned(), states: self.earlier.clone() };
                let created = self.exchange.create(&self.name("states", number), serde_json::to_vec(&ended)?);
                created.map(|_| ()).map_err(ExchangeError::report)
            }
        }
    }

    fn taken(&self, by: &str) -> anyhow::Error {
        Report::busy(format!(
            "another run of pipeline `{}` is at work ({}): it goes on where the last run ended, and two at once would deliver the \
             same rows twice",
            self.pipeline,
            crate::untrusted::line(by)
        ))
        .hint("wait for it to end, or go on with it by `osiris run --resume` if it died")
        .into()
    }

    /// Ends the turn with these states, and those of other steps as they were.
    ///
    /// # Errors
    /// A [`Report`] if the turn was taken away.
    pub fn end(&self, new: BTreeMap<String, StoredState>) -> anyhow::Result<()> {
        self.end_with(self.earlier.clone().into_iter().chain(new).collect())
    }

    /// Ends the turn with these states and no others.
    ///
    /// # Errors
    /// As for [`Self::end`].
    pub fn end_with(&self, states: BTreeMap<String, StoredState>) -> anyhow::Result<()> {
        let ended = serde_json::to_vec(&Ended { session: self.session.clone(), states })?;
        let created = self.exchange.create(&self.name("states", self.number), ended).map_err(ExchangeError::report)?;
        if created == Creation::Taken {
            return Err(Report::input(format!(
                "the states of pipeline `{}` are not kept: this run was taken for dead, and another one went on without it",
                self.pipeline
            ))
            .into());
        }
        // Older turns are no longer read. A few stay, so that nobody who is late takes one of them for free.
        if let Some(old) = self.number.checked_sub(KEPT) {
            for kind in ["claims", "states"] {
                let _ = self.exchange.delete(&self.name(kind, old));
            }
        }
        Ok(())
    }

    /// The number of the last turn of a kind, 0 if there is none.
    fn last(&self, kind: &str) -> anyhow::Result<u32> {
        let folder = format!("{PIPELINES}/{}/{kind}", folder_name(&self.pipeline));
        let (found, _) = self.exchange.list(&folder).map_err(ExchangeError::report)?;
        let numbers = found.iter().filter_map(|object| object.name.strip_suffix(".json")?.parse::<u32>().ok());
        Ok(numbers.max().unwrap_or(0))
    }

    fn ended(&self, number: u32) -> anyhow::Result<Ended> {
        self.read("states", number)
    }

    fn read<T: serde::de::DeserializeOwned>(&self, kind: &str, number: u32) -> anyhow::Result<T> {
        let bytes = self.exchange.read(&self.name(kind, number)).map_err(ExchangeError::report)?;
        let damaged =
            || format!("the states of pipeline `{}` in the exchange are damaged ({kind} {number})", self.pipeline);
        serde_json::from_slice(&bytes.with_context(damaged)?).with_context(damaged)
    }

    fn name(&self, kind: &str, number: u32) -> String {
        format!("{PIPELINES}/{}/{kind}/{number:08}.json", folder_name(&self.pipeline))
    }
}

/// How many turns are kept.
const KEPT: u32 = 20;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::shared::Shared;
    use super::*;
    use jiff::SignedDuration;
    use serde_json::value::RawValue;

    fn state(step: &str, value: &str) -> BTreeMap<String, StoredState> {
        let kept = StoredState {
            pipeline: "p".to_owned(),
            step: step.to_owned(),
            driver: "d".to_owned(),
            session: "s".to_owned(),
            updated_at: String::new(),
            identity: None,
            exchange: None,
            state: RawValue::from_string(value.to_owned()).unwrap(),
        };
        BTreeMap::from([(step.to_owned(), kept)])
    }

    #[test]
    fn runs_take_turns_and_each_goes_on_from_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let exchange = Exchange::in_folder(folder.path());
        let time = Timestamp::now();
        for turn in 1..=25 {
            let name = format!("session_{turn}");
            let taken = Turn::take(exchange.clone(), "a/b", &name, time).unwrap();
            let before = taken.earlier.get("a").map(|kept| kept.state.get().to_owned());
            assert_eq!(before, (turn > 1).then(|| (turn - 1).to_string()));
            taken.end(state("a", &turn.to_string())).unwrap();
        }
        let last = Turn::take(exchange.clone(), "a/b", "s", time).unwrap();
        last.end(state("b", "1")).unwrap();
        assert_eq!(Turn::take(exchange.clone(), "a/b", "t", time).unwrap().earlier.len(), 2);
        assert!(Turn::take(exchange, "a", "s", time).unwrap().earlier.is_empty());
    }

    #[test]
    fn a_turn_is_taken_only_from_the_dead_who_then_cannot_end_it() {
        let folder = tempfile::tempdir().unwrap();
        let exchange = Exchange::in_folder(folder.path());
        let at = |seconds| Timestamp::now() + SignedDuration::from_secs(seconds);
        Turn::take(exchange.clone(), "p", "first", at(0)).unwrap().end(state("a", "0")).unwrap();
        let _held = Shared::begin(exchange.clone(), "session_1").unwrap();
        let zombie = Turn::take(exchange.clone(), "p", "session_1", at(0)).unwrap();
        let refused = Turn::take(exchange.clone(), "p", "session_2", at(10)).unwrap_err();
        assert!(refused.to_string().contains("is at work (session `session_1` on"), "{refused}");
        // The same session goes on with its own turn, whichever host runs it.
        assert_eq!(Turn::take(exchange.clone(), "p", "session_1", at(10)).unwrap().number, zombie.number);
        let next = Turn::take(exchange.clone(), "p", "session_2", at(90)).unwrap();
        assert_eq!(next.earlier["a"].state.get(), "0");
        assert!(zombie.end(state("a", "1")).unwrap_err().to_string().contains("taken for dead"));
        next.end(state("a", "2")).unwrap();
        assert_eq!(Turn::take(exchange, "p", "session_3", at(0)).unwrap().earlier["a"].state.get(), "2");
    }
}
