//! Goes on with a session: steps that are done are taken over from its ledger.

use std::path::Path;

use anyhow::Context;
use serde_json::json;

use super::deliveries::{Fate, fate};
use super::ledger::{Delivering, Outcome, Records, fingerprint, must_be_noted};
use super::schedule::Schedule;
use super::settle::fetch;
use super::targets;
use crate::digest::Digest;
use crate::error::Report;
use crate::exchange::StoredFile;
use crate::plan::PlannedStep;
use crate::session::state::StoredState;
use crate::session::{Base, Status};

impl Schedule<'_> {
    /// Takes over the steps that are done, with the same driver, config and inputs, after steps that are taken over too. Their
    /// files are put in place if they are missing.
    ///
    /// # Errors
    /// A [`Report`] if a step in the exchange was done with another config, or a file cannot be had.
    pub(super) fn resume(&mut self, records: Records) -> anyhow::Result<()> {
        let Records { mut outcomes, begun, mut delivering } = records;
        // A step may stand before one that it needs.
        let mut places: Vec<usize> = (0..self.plan.steps.len()).collect();
        while !places.is_empty() {
            let is_settled = |place: &usize| {
                let needs = &self.plan.steps[*place].needs;
                needs.iter().all(|need| !places.iter().any(|other| self.plan.steps[*other].id == *need))
            };
            let Some(at) = places.iter().position(is_settled) else { break };
            let place = places.remove(at);
            let step = &self.plan.steps[place];
            let id = step.id.as_str();
            if let Some(outcome) = outcomes.remove(id) {
                self.take_over(place, outcome)?;
            } else if let Some(Delivering { outcome, deliveries }) = delivering.remove(id) {
                match fate(self.base, &deliveries)? {
                    Fate::Delivered => self.take_over(place, outcome)?,
                    Fate::Untouched => {}
                    Fate::Unknown(_) => drop(self.begun.insert(place)),
                }
            } else if begun.contains(id) && must_be_noted(step) {
                self.begun.insert(place);
            }
        }
        Ok(())
    }

    fn take_over(&mut self, place: usize, outcome: Outcome) -> anyhow::Result<()> {
        let step = &self.plan.steps[place];
        let is_same = outcome.fingerprint == fingerprint(step)
            && self.goes_on(place, &outcome)
            && step.needs.iter().all(|need| self.status(need) == Status::Success);
        if !is_same {
            if self.ties.is_some() {
                return Err(Report::input(format!(
                    "step `{}` of session `{}` is done with another driver, config, input or state",
                    step.id, self.session.id
                ))
                .hint("go on with the same pipeline, drivers and parameters; or run it anew, without `--resume`")
                .into());
            }
            return Ok(());
        }
        if !self.has_files(step, &outcome)? {
            return Ok(());
        }
        let Some(has_output) = self.has_output(place, &outcome)? else { return Ok(()) };
        self.waiting.remove(&place);
        self.session
            .event("step_resumed", json!({"step_id": step.id, "finished_at": outcome.finished_at, "on": outcome.on}));
        self.adopt(place, outcome, has_output);
        self.hash(place, Vec::new());
        Ok(())
    }

    /// Whether the state of a step is as the session found or left it: if another run went on since, that one has read the rows
    /// of this session again, and they must not be delivered once more.
    fn goes_on(&self, place: usize, outcome: &Outcome) -> bool {
        let is_own =
            |kept: &StoredState| kept.session == self.session.id && outcome.state.as_deref() == Some(kept.state.get());
        self.plan.steps[place].state.is_none()
            || outcome.continued_from == self.continued_from(place)
            || self.earlier.get(&place).is_some_and(is_own)
    }

    /// Whether the output is on this machine, after fetching it if it is needed here; `None` if the step has to run again.
    fn has_output(&self, place: usize, outcome: &Outcome) -> anyhow::Result<Option<bool>> {
        let step = &self.plan.steps[place];
        if !step.stores_tables() {
            return Ok(Some(false));
        }
        let folder = self.session.data_folder()?;
        let file = format!("{}.duckdb", step.id);
        if folder.is_file(&file) {
            return Ok(Some(true));
        }
        let (Some(ties), Some(stored)) = (&self.ties, &outcome.output) else { return Ok(None) };
        if !self.is_read_here(place) {
            return Ok(Some(false));
        }
        let beside = format!(".{file}");
        let path = self.session.path.join("data").join(&beside);
        let fetched = ties.fetch_output(stored, &outcome.tables, (&folder, &beside), &path);
        fetched.map_err(|failure| anyhow::anyhow!("step `{}`: {}", step.id, failure.message))?;
        folder
            .rename(&beside, &folder, &file)
            .with_context(|| format!("cannot keep the output of step `{}`", step.id))?;
        Ok(Some(true))
    }

    /// Whether the files that the step wrote are in place, after fetching those that are missing or differ.
    fn has_files(&self, step: &PlannedStep, outcome: &Outcome) -> anyhow::Result<bool> {
        // Nobody knows which partitions of a folder the step wrote; to replace them again changes nothing.
        if step.grants.write_folders && !outcome.files.is_empty() {
            return Ok(false);
        }
        for (name, stored) in &outcome.files {
            let Some(wish) = step.grants.written().find(|wish| wish.name == *name) else { return Ok(false) };
            let root = Base::open(&wish.root)?;
            let Some(stored) = stored else {
                if root.dir.is_file(&wish.below) {
                    continue;
                }
                return Ok(false);
            };
            if !is_same(&root, &wish.below, stored) {
                self.put_file(step, name, stored)?;
            }
        }
        Ok(true)
    }

    /// Fetches a file that a step wrote on another machine, and puts it in place.
    fn put_file(&self, step: &PlannedStep, name: &str, stored: &StoredFile) -> anyhow::Result<()> {
        let Some(ties) = &self.ties else { return Ok(()) };
        let (_, granted) = targets::writable(self.base, self.session, step)?;
        let put = (|| {
            let target = granted.iter().find(|target| target.name() == name).context("the step may not write it")?;
            let (folder, path) = target.written(self.base)?;
            let fetched = fetch(ties.shared.exchange(), stored, &folder, &path, &|| false);
            fetched.map_err(|error| anyhow::anyhow!("{}", error.failure("cannot fetch it").message))
        })();
        match put {
            Ok(()) => targets::keep(self.base, granted, &[name.to_owned()]),
            Err(error) => {
                targets::discard(self.base, granted);
                Err(error.context(format!("step `{}` wrote `{name}`", step.id)))
            }
        }
    }
}

fn is_same(root: &Base, path: &Path, stored: &StoredFile) -> bool {
    let found = crate::session::plain::open(&root.dir, path).ok();
    let digest = found.and_then(|file| Digest::of_file(&mut file.into_std()).ok());
    digest.is_some_and(|(digest, bytes)| (&digest, bytes) == (&stored.digest, stored.bytes))
}
