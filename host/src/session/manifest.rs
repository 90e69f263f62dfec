//! The contents of a session's `manifest.yaml`: which drivers ran on what, and the results.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use serde_json::{Map, Value};

use crate::error::Failure;
use crate::exchange::StoredFile;
use crate::pipeline::expect::outcome::CheckRecord;
use crate::secrets::scrubber::{Scrub, Scrubber};
use crate::warning::Warning;

/// The status of a run or a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// A step that has not started.
    Pending,
    Running,
    Success,
    Failed,
    /// A step that depends on one that failed.
    Skipped,
    /// Ended by the user, or by the death of the host.
    Interrupted,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Status::Pending => "pending",
            Status::Running => "running",
            Status::Success => "success",
            Status::Failed => "failed",
            Status::Skipped => "skipped",
            Status::Interrupted => "interrupted",
        })
    }
}

/// A session's manifest.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    pub session_id: String,
    pub pipeline: String,
    /// The path of the pipeline file, as the user gave it.
    pub pipeline_path: String,
    pub pipeline_sha256: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The value of every parameter.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub params: Map<String, Value>,
    /// The parameters that the command line set.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub given_params: BTreeSet<String>,
    /// Which steps ran, if not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selected: Option<Selected>,
    pub osiris_version: String,
    /// ISO 8601, UTC.
    pub started_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    pub status: Status,
    /// The exchange that its outputs are in, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<String>,
    /// The pipeline's own `metadata`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// A warning for each of the pipeline's own keys without effect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
    pub steps: Vec<StepRecord>,
}

/// Names (ids, tables, components, statuses) are not redacted, since programs find things by them, and a secret may happen
/// to be an ordinary word.
impl Scrub for Manifest {
    fn without_secrets(&self, scrubber: &Scrubber) -> Self {
        let mut clean = self.clone();
        clean.pipeline_path = scrubber.scrub_text(&clean.pipeline_path);
        clean.params = scrubber.scrub_object(clean.params);
        clean.metadata = scrubber.scrub_object(clean.metadata);
        let text = |text: &mut String| *text = scrubber.scrub_text(text);
        for step in &mut clean.steps {
            step.grants.iter_mut().for_each(text);
            step.warnings.iter_mut().for_each(|warning| *warning = warning.without_secrets(scrubber));
            step.checks.iter_mut().for_each(|check| *check = check.without_secrets(scrubber));
            step.error = step.error.take().map(|error| error.without_secrets(scrubber));
        }
        clean
    }
}

/// One step of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StepRecord {
    pub id: String,
    pub component: String,
    pub driver: DriverRecord,
    pub needs: Vec<String>,
    pub inputs: Vec<InputRecord>,
    /// What the step was granted, in words.
    pub grants: Vec<String>,
    /// Where the step ran: `local`, or the name of a worker.
    #[serde(default)]
    pub on: String,
    pub status: Status,
    /// Relative to the session's folder; `None` if the output is not on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duckdb_path: Option<String>,
    /// The output in the exchange.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<StoredFile>,
    /// The output's table, if there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// Rows of all tables together; for a writer, rows written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tables: BTreeMap<String, TableRecord>,
    /// Those of its tables that have rejected rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejected_tables: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// The earlier session whose result was taken over, if the step did not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reused: Option<Reused>,
    /// How often the step was tried.
    #[serde(default)]
    pub attempts: u32,
    /// What came of the checks of its tables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckRecord>,
    /// What the step ignored, dropped or changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
}

/// The steps that a run was limited to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selected {
    /// This step, and all that need it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
    /// The session from which the other steps were taken over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
}

/// Where the result of a step comes from that did not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reused {
    pub session: String,
    pub how: Reuse,
}

/// Why a step did not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reuse {
    /// Nothing that decides its result has changed.
    Cached,
    /// The command said which steps to run.
    TakenOver,
}

impl std::fmt::Display for Reuse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Reuse::Cached => "cached",
            Reuse::TakenOver => "taken over",
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriverRecord {
    pub name: String,
    pub version: String,
    pub sha256: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputRecord {
    pub alias: String,
    pub from_step: String,
    pub table: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRecord {
    pub rows: u64,
}
