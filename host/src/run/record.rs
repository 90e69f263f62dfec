//! The record of a run as it progresses: the entry of each step in the manifest, and the status of the run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Map;

use super::ledger::Outcome;
use crate::error::{Blame, Failure};
use crate::exchange::Location;
use crate::pipeline::expect::Check;
use crate::pipeline::expect::outcome::{CheckOutcome, CheckRecord, MAX_TEXT};
use crate::plan::{Plan, PlannedStep};
use crate::protocol::{REJECTED, RejectedRows};
use crate::secrets::scrubber::{Scrub, Scrubber, betrays};
use crate::session::{DriverRecord, InputRecord, Manifest, Status, StepRecord, TableRecord, now};
use crate::untrusted::Untrusted;
use crate::warning::Warning;

/// A whole number of milliseconds.
pub fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The manifest of a run that is starting.
pub fn manifest(
    plan: &Plan,
    session_id: &str,
    (pipeline_path, pipeline_sha256): (&str, &str),
    profile: Option<&str>,
    exchange: Option<&Location>,
) -> Manifest {
    Manifest {
        session_id: session_id.to_owned(),
        pipeline: plan.pipeline.clone(),
        pipeline_path: pipeline_path.to_owned(),
        pipeline_sha256: pipeline_sha256.to_owned(),
        profile: profile.map(str::to_owned),
        params: Map::new(),
        given_params: BTreeSet::new(),
        selected: None,
        osiris_version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: now(),
        finished_at: None,
        duration_ms: None,
        status: Status::Running,
        exchange: exchange.map(ToString::to_string),
        metadata: plan.metadata.clone(),
        warnings: plan.notices.clone(),
        steps: plan.steps.iter().map(pending).collect(),
    }
}

fn pending(step: &PlannedStep) -> StepRecord {
    let driver = &step.driver;
    StepRecord {
        id: step.id.to_string(),
        component: step.component.clone(),
        driver: DriverRecord {
            name: driver.spec.name.clone(),
            version: driver.spec.version.clone(),
            sha256: driver.sha256.clone(),
        },
        needs: step.needs.iter().map(ToString::to_string).collect(),
        inputs: step
            .inputs
            .iter()
            .filter(|input| !input.is_reference)
            .map(|input| InputRecord {
                alias: input.alias.clone(),
                from_step: input.step.to_string(),
                table: input.table.clone(),
            })
            .collect(),
        grants: step.grants.words(),
        on: step.on.name().to_owned(),
        status: Status::Pending,
        duckdb_path: None,
        object: None,
        table: None,
        rows: None,
        tables: BTreeMap::new(),
        rejected_tables: Vec::new(),
        duration_ms: None,
        reused: None,
        attempts: 0,
        checks: Vec::new(),
        warnings: Vec::new(),
        error: None,
    }
}

/// The failure of a step whose table names reveal a secret: names are stored and shown unchanged, so they must not
/// contain one.
pub fn secret_name(step: &PlannedStep, tables: &BTreeMap<String, u64>) -> Option<Failure> {
    let betrays = |name: &String| step.secrets.values().any(|secret| betrays(name, secret));
    let message = "a table's name holds one of the step's secrets; names are kept and shown as they are";
    tables.keys().any(betrays).then(|| Failure::new(Blame::Driver, "denied", message))
}

/// Records that a step is complete, with its output on this machine if `has_output`; returns the metric that counts its rows, and their number.
pub fn complete(
    record: &mut StepRecord,
    step: &PlannedStep,
    outcome: &Outcome,
    has_output: bool,
) -> (&'static str, u64) {
    let tables = &outcome.tables;
    let kind = step.driver.spec.kind;
    let names = || tables.keys().map(String::as_str);
    let of_driver = |table: &str| step.rejects > 0 && table == REJECTED;
    let is_own =
        |table: &&String| kind.makes_tables() && !of_driver(table) && !step.expect.is_rejected_table(table, names());
    let own: Vec<&String> = tables.keys().filter(is_own).collect();
    let rows = if kind.makes_tables() { own.iter().map(|table| tables[*table]).sum() } else { outcome.rows_written };
    record.status = Status::Success;
    record.duration_ms = Some(outcome.duration_ms);
    record.attempts = outcome.attempt;
    record.object.clone_from(&outcome.output);
    record.rows = Some(rows);
    if has_output {
        record.duckdb_path = Some(format!("data/{}.duckdb", record.id));
    }
    if let [table] = own[..] {
        record.table = Some(table.clone());
    }
    record.rejected_tables = tables.keys().filter(|table| !own.contains(table)).cloned().collect();
    record.tables = tables.iter().map(|(name, rows)| (name.clone(), TableRecord { rows: *rows })).collect();
    (kind.rows_metric(), rows)
}

/// What came of the checks of a step, redacted and cut; nothing if its process said something else than it was asked.
pub fn checks(step: &PlannedStep, outcomes: Vec<CheckOutcome>, scrubber: &Scrubber) -> Vec<CheckRecord> {
    let expected = &step.expect.checks;
    if expected.len() != outcomes.len() {
        return Vec::new();
    }
    let text = |text: &Untrusted| -> Untrusted {
        text.without_secrets(scrubber).raw().chars().take(MAX_TEXT).collect::<String>().into()
    };
    let bounded = |(check, outcome): (&Check, CheckOutcome)| {
        let examples = outcome.examples.iter().take(check.examples as usize).map(text).collect();
        let (table, problem) = (text(&outcome.table), outcome.problem.as_ref().map(text));
        let record = CheckRecord::new(check, &CheckOutcome { examples, table, problem, ..outcome });
        record.without_secrets(scrubber)
    };
    expected.iter().zip(outcomes).map(bounded).collect()
}

/// The failure of a step whose process reported success, but not that all checks passed which may fail it.
pub fn unchecked(step: &PlannedStep, checks: &[CheckRecord]) -> Option<Failure> {
    let is_complete = checks.len() == step.expect.checks.len() && !checks.iter().any(CheckRecord::fails);
    let message = "the step's process ended without having made all checks of its tables";
    (!is_complete).then(|| Failure::new(Blame::Host, "internal", message))
}

/// The warning about rejected rows.
pub fn rejection(rejected: &RejectedRows) -> Warning {
    let fields = [("count", rejected.rows.to_string().into()), ("first reason", rejected.first_reason.clone())];
    let message = format!("rows were rejected; the step's table `{REJECTED}` has them");
    Warning { message: message.into(), fields: fields.map(|(name, value)| (name.into(), value)).into() }
}

/// Records that the run has ended.
pub fn close(manifest: &mut Manifest, took: Duration, interrupted: bool) {
    manifest.finished_at = Some(now());
    manifest.duration_ms = Some(milliseconds(took));
    let failed = manifest.steps.iter().any(|step| step.status != Status::Success);
    manifest.status = match (interrupted, failed) {
        (true, _) => Status::Interrupted,
        (false, true) => Status::Failed,
        (false, false) => Status::Success,
    };
}
