//! The ledger of a session: for each step that is done, one record that says which attempt counts. It is in the session's
//! folder, and with an exchange also there, where other hosts can go on from it.

pub mod shared;
pub mod states;
pub mod sweep;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::deliveries::Delivery;
use crate::digest::{Digest, sha256_of};
use crate::driver::spec::Spec;
use crate::exchange::StoredFile;
use crate::pipeline::StepId;
use crate::pipeline::expect::outcome::CheckRecord;
use crate::plan::PlannedStep;
use crate::protocol::RejectedRows;
use crate::session::Session;
use crate::warning::Warning;

/// The record of a step that is done: of the attempt that counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    pub step: String,
    /// What the step was: see [`fingerprint`].
    pub fingerprint: Digest,
    pub attempt: u32,
    /// Where it ran.
    pub on: String,
    /// Which host of the session ran it, counted from 1.
    pub host: u32,
    /// ISO 8601, UTC.
    pub finished_at: String,
    pub duration_ms: u64,
    /// Its output in the exchange, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<StoredFile>,
    /// The names of the files that it wrote, with what is in the exchange of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, Option<StoredFile>>,
    /// The rows of each table.
    pub tables: BTreeMap<String, u64>,
    pub rows_written: u64,
    /// The digest of the state that it continued from, if it keeps one and there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continued_from: Option<Digest>,
    /// The state that it wants to keep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<RejectedRows>,
    /// What came of the checks of its tables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckRecord>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// A step that is done once files that it updates are in place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delivering {
    pub outcome: Outcome,
    pub deliveries: Vec<Delivery>,
}

/// What a session's ledger says of its steps.
#[derive(Debug, Clone, Default)]
pub struct Records {
    pub outcomes: BTreeMap<String, Outcome>,
    /// The steps that began to deliver what must not arrive twice.
    pub begun: BTreeSet<String>,
    /// The steps that were done but for the files that they update.
    pub delivering: BTreeMap<String, Delivering>,
}

/// What decides the result of a step: its driver, config, inputs, what may be rejected and what is expected of its tables. Secrets and limits do not.
pub fn fingerprint(step: &PlannedStep) -> Digest {
    let inputs: Vec<_> =
        step.inputs.iter().map(|input| json!([input.alias, input.also, input.step, input.table])).collect();
    let mut text = json!({
        "driver": step.driver.sha256, "config": step.config, "inputs": inputs, "needs": step.needs, "rejects": step.rejects,
    });
    if !step.expect.is_empty() {
        let mut expect = step.expect.clone();
        // Where it is written does not matter.
        expect.checks.iter_mut().for_each(|check| check.line = 0);
        text["expect"] = json!(expect);
    }
    let digest = Digest::try_from(sha256_of(text.to_string().as_bytes()));
    // It is one.
    digest.unwrap_or_else(|_| crate::digest::Hasher::default().finish())
}

/// Whether a step can be run again without harm although an attempt may have connected. The output, files and state of an
/// attempt that does not count are discarded, so only a writer that may have sent rows cannot.
pub fn is_repeatable(spec: &Spec) -> bool {
    !spec.kind.delivers() || spec.retry_safe
}

/// Whether it must be noted that a step begins, because it must not be run again if its host dies.
pub fn must_be_noted(step: &PlannedStep) -> bool {
    !is_repeatable(&step.driver.spec) && !step.grants.endpoints().is_empty()
}

/// The ending of the name of a record of a step that begins.
const BEGUN: &str = "begun";

/// The ending of the name of a record of a step that is done.
const DONE: &str = "done.json";

/// The ending of the name of a record of a step that is done but for the files that it updates.
const DELIVERING: &str = "delivering.json";

/// Notes in the session's folder that a step puts the files into place that it updates.
///
/// # Errors
/// If it cannot be written.
pub fn note_delivering(session: &Session, delivering: &Delivering) -> anyhow::Result<()> {
    let name = format!("{}.{DELIVERING}", delivering.outcome.step);
    session.write_record(&name, &serde_json::to_string(delivering)?, true)
}

/// Notes in the session's folder that a step has delivered, or has not.
pub fn note_settled(session: &Session, step: &StepId) {
    session.remove_record(&format!("{step}.{DELIVERING}"));
}

/// Notes a step that is done in the session's folder. A record that is lost because the machine goes down is one of a step that
/// is run again, if it may be.
///
/// # Errors
/// If it cannot be written.
pub fn note_done(session: &Session, outcome: &Outcome) -> anyhow::Result<()> {
    session.write_record(&format!("{}.{DONE}", outcome.step), &serde_json::to_string(outcome)?, false)
}

/// Notes in the session's folder that a step begins.
///
/// # Errors
/// If it cannot be written.
pub fn note_begun(session: &Session, step: &str) -> anyhow::Result<()> {
    session.write_record(&format!("{step}.{BEGUN}"), "", true)
}

/// Notes that a step that began has changed nothing.
pub fn note_harmless(session: &Session, step: &str) {
    session.remove_record(&format!("{step}.{BEGUN}"));
}

/// What the session's folder says of its steps. A record that cannot be read counts as none: its step is run again.
///
/// # Errors
/// If the folder cannot be read, or a record of a step that may have delivered.
pub fn read(session: &Session) -> anyhow::Result<Records> {
    let mut records = Records::default();
    for (name, text) in session.records()? {
        if let Some(step) = name.strip_suffix(DONE).and_then(|name| name.strip_suffix('.')) {
            if let Some(outcome) = serde_json::from_str::<Outcome>(&text).ok().filter(|outcome| outcome.step == step) {
                records.outcomes.insert(step.to_owned(), outcome);
            }
        } else if let Some(step) = name.strip_suffix(DELIVERING).and_then(|name| name.strip_suffix('.')) {
            // Unlike the others: running the step again might deliver its rows twice.
            let delivering = serde_json::from_str::<Delivering>(&text)
                .with_context(|| format!("cannot read record `{name}`, which says whether step `{step}` delivered"))?;
            records.delivering.insert(step.to_owned(), delivering);
        } else if let Some(step) = name.strip_suffix(BEGUN).and_then(|name| name.strip_suffix('.')) {
            records.begun.insert(step.to_owned());
        }
    }
    Ok(records)
}
