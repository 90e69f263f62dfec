//! Notes what the steps of a run have made, for later runs. The files are read on separate threads.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::json;

use super::files::{self, WrittenFile};
use super::made::{Made, record_name};
use super::{Hashed, targets_of};
use crate::engine::Varying;
use crate::plan::PlannedStep;
use crate::run::ledger::Outcome;
use crate::run::schedule::Schedule;
use crate::session::plain;

/// Whether a step that called what varies makes the same again, or its author says that this does not matter.
fn makes_the_same(step: &PlannedStep, varying: Option<&BTreeSet<Varying>>) -> bool {
    let claims = step.driver.spec.deterministic == Some(true);
    let is_harmless = |what: &Varying| claims && *what != Varying::Sql;
    // Whether data is fresh is asked anew in each run.
    !step.expect.depends_on_time()
        && (step.cache == Some(true) || varying.is_some_and(|varying| varying.iter().all(is_harmless)))
}

impl Schedule<'_> {
    /// Notes what a step has made, once the content of its files has been read.
    pub(in crate::run) fn note_made(&mut self, place: usize, outcome: &Outcome, varying: Option<&BTreeSet<Varying>>) {
        if self.reuse.seal.is_none() {
            return;
        }
        let step = &self.plan.steps[place];
        self.reuse.ran.insert(place);
        let Ok(files) = targets_of(step, |name| outcome.files.contains_key(name)) else { return };
        // What a writer has done is compared by its files.
        let is_seen = files.len() == outcome.files.len() && !(step.driver.spec.kind.delivers() && files.is_empty());
        let key = self.reuse.keys.get(&place).filter(|_| is_seen && makes_the_same(step, varying)).cloned();
        let made = Made {
            pipeline: self.plan.pipeline.clone(),
            session: self.session.id.clone(),
            key,
            inputs: BTreeMap::new(),
            reads: BTreeMap::new(),
            written: BTreeMap::new(),
            output: None,
            outcome: outcome.clone(),
        };
        if made.key.is_none() && self.reuse.keys.contains_key(&place) {
            self.session.event("step_varies", json!({"step_id": step.id, "by": varying}));
        }
        self.reuse.open.insert(place, made);
        self.hash(place, files);
    }

    /// Reads the output of a step, and other files that it wrote.
    pub(in crate::run) fn hash(&mut self, place: usize, files: Vec<WrittenFile>) {
        if self.reuse.seal.is_none() {
            return;
        }
        let step = &self.plan.steps[place];
        let data = step.stores_tables().then(|| self.session.data_folder()).transpose();
        let name = format!("{}.duckdb", step.id);
        let reads = self.reuse.reads.remove(&place).unwrap_or_default();
        let is_ended = Arc::clone(&self.reuse.is_ended);
        let hashing = data.and_then(|data| {
            self.reuse.apart(move || {
                let ended = || is_ended.load(Ordering::SeqCst);
                let output = data.and_then(|data| {
                    files::content(&mut plain::open(&data, Path::new(&name)).ok()?.into_std(), &ended)
                });
                Hashed {
                    output,
                    written: files::written(&files, &ended),
                    reads: files::contents_as_read(&reads, &ended),
                }
            })
        });
        match hashing {
            Ok((number, thread)) => drop(self.reuse.hashing.insert(number, (place, thread))),
            Err(error) => tracing::warn!(error = format!("{error:#}"), "a step will not be reused"),
        }
    }

    /// Writes the records of steps whose files and inputs have all been read.
    pub(super) fn note_whole(&mut self) {
        let is_read = |place: &usize| self.reuse.outputs.contains_key(place);
        let inputs = |place: usize| -> BTreeSet<usize> {
            let inputs = self.plan.steps[place].inputs.iter();
            inputs.filter_map(|input| self.plan.steps.iter().position(|step| step.id == input.step)).collect()
        };
        let whole: Vec<usize> = self
            .reuse
            .open
            .keys()
            .copied()
            .filter(|place| is_read(place) && inputs(*place).iter().all(is_read))
            .collect();
        for place in whole {
            let Some(mut made) = self.reuse.open.remove(&place) else { continue };
            for input in inputs(place) {
                match self.reuse.outputs.get(&input).cloned().flatten() {
                    Some(output) => drop(made.inputs.insert(self.plan.steps[input].id.to_string(), output)),
                    None => made.key = None,
                }
            }
            let step = &self.plan.steps[place];
            if step.stores_tables() == made.output.is_some() {
                self.write_made(step, &made);
            }
        }
    }

    pub(super) fn write_made(&self, step: &PlannedStep, made: &Made) {
        let Some(seal) = &self.reuse.seal else { return };
        let written =
            seal.close(made).and_then(|text| self.session.write_record(&record_name(step.id.as_str()), &text, false));
        if let Err(error) = written {
            tracing::warn!(error = format!("{error:#}"), step = step.id.as_str(), "a step will not be reused");
        }
    }
}
