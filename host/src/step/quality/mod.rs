//! Checks what the author expects of a step's tables, in the step's own confined process: of a writer's inputs before its
//! driver is called, and of any other step's output once its driver has ended.
//!
//! The process runs the author's SQL, which is judged as a driver's is. It reports one outcome for each check, in their
//! order; what each check was, the host knows itself.

pub mod binding;
mod examples;
mod measure;
mod reject;
pub mod sql;
mod validate;

use std::time::Instant;

use crate::channel::reporter::Reporter;
use crate::engine::{Cause, Engine, EngineError, quote_name};
use crate::error::{Blame, Failure};
use crate::grants::limits::Limits;
use crate::pipeline::expect::outcome::{CheckOutcome, MAX_TEXT, failure_message};
use crate::pipeline::expect::{Check, MostRejected, Rule};
use crate::protocol::{Call, Job, Message, REJECTED};

use super::host_fault;
use super::watch::Overrun;

/// The metric for how long the checks took.
const DURATION: &str = "checks_duration_ms";

/// The names and types of columns.
type Columns = Vec<(String, String)>;

/// A table that is checked.
pub struct Table {
    /// The name by which the author's SQL knows it.
    pub name: String,
    /// The host's own name for it, in SQL.
    pub from: String,
    pub columns: Columns,
    pub rows: u64,
}

/// The checks of one step while they run.
pub struct Quality<'a> {
    job: &'a Job,
    engine: &'a Engine,
    reporter: &'a Reporter,
    tables: Vec<Table>,
    /// The tables that the author's SQL may name.
    names: Vec<String>,
    outcomes: Vec<CheckOutcome>,
    /// How many rows the driver has rejected.
    by_driver: u64,
    /// How many the checks have.
    by_checks: u64,
    /// How many rows the tables had before, together with those that the driver has rejected.
    whole: u64,
}

/// A check whose rows are to be found by a condition that is never NULL.
struct Condition<'a> {
    place: usize,
    check: &'a Check,
    offends: String,
}

/// Checks the inputs of a writer, before its driver is called. What its checks reject, its driver may not reject as well.
pub(super) fn before(job: &mut Job, engine: &Engine, reporter: &Reporter) -> Result<(), Failure> {
    if job.kind.makes_tables() || job.call != Call::Run || job.expect.is_empty() {
        return Ok(());
    }
    let mut quality = Quality::new(job, engine, reporter, 0);
    for input in job.files.inputs.iter().filter(|input| !input.is_reference) {
        let from = engine.source(&input.alias).unwrap_or_default().to_owned();
        quality.add(&input.alias, from)?;
    }
    quality.run()?;
    let (allowed, rejected) = (quality.allowed(), quality.by_checks);
    if let Some(allowed) = allowed {
        job.rejects = u32::try_from(allowed.saturating_sub(rejected)).unwrap_or(u32::MAX).min(job.rejects);
    }
    Ok(())
}

/// Checks the output of a step that makes tables, whose driver has rejected `by_driver` rows.
pub(super) fn after(job: &Job, engine: &Engine, reporter: &Reporter, by_driver: u64) -> Result<(), Failure> {
    if !job.kind.makes_tables() || job.call != Call::Run || job.expect.is_empty() {
        return Ok(());
    }
    let mut quality = Quality::new(job, engine, reporter, by_driver);
    for table in engine.made_tables().map_err(|error| quality.unusable(error))? {
        if job.rejects > 0 && table == REJECTED {
            continue;
        }
        let from = engine.made(&table);
        engine.name_table(&table, &format!("FROM {from}")).map_err(|error| quality.unusable(error))?;
        quality.add(&table, from)?;
    }
    quality.run()
}

impl<'a> Quality<'a> {
    fn new(job: &'a Job, engine: &'a Engine, reporter: &'a Reporter, by_driver: u64) -> Self {
        let inputs = job.files.inputs.iter().filter(|input| !input.is_reference);
        let names = inputs.flat_map(|input| std::iter::once(&input.alias).chain(&input.also)).cloned().collect();
        let outcomes = vec![CheckOutcome::default(); job.expect.checks.len()];
        Self { job, engine, reporter, tables: Vec::new(), names, outcomes, by_driver, by_checks: 0, whole: 0 }
    }

    fn add(&mut self, name: &str, from: String) -> Result<(), Failure> {
        let columns = self.engine.described(&format!("FROM {from}")).map_err(|error| self.unusable(error))?;
        let rows = self.number(&format!("SELECT CAST(count(*) AS VARCHAR) FROM {from}"))?;
        self.tables.push(Table { name: name.to_owned(), from, columns, rows });
        if !self.names.iter().any(|known| known == name) {
            self.names.push(name.to_owned());
        }
        Ok(())
    }

    fn number(&self, select: &str) -> Result<u64, Failure> {
        let rows = self.engine.texts(select, 1).map_err(|error| self.unusable(error))?;
        Ok(rows.first().and_then(|row| row[0].as_deref()).and_then(|text| text.parse().ok()).unwrap_or_default())
    }

    /// Runs all checks: those that reject rows first, so that the others see what is left. Reports what came of each.
    fn run(&mut self) -> Result<(), Failure> {
        let begun = Instant::now();
        self.whole = self.tables.iter().map(|table| table.rows).sum::<u64>() + self.by_driver;
        let placed = self.place();
        for (table, (rejecting, _)) in placed.iter().enumerate() {
            if !rejecting.is_empty() {
                self.reject(table, rejecting)?;
            }
        }
        for (table, (_, others)) in placed.iter().enumerate() {
            self.measure(table, others)?;
        }
        self.reporter.send(&Message::Checks { outcomes: self.outcomes.clone() });
        let took = u32::try_from(begun.elapsed().as_millis()).unwrap_or(u32::MAX);
        self.reporter.send(&Message::Metric { name: DURATION.to_owned(), value: took.into() });
        self.check_bound()?;
        self.verdict()
    }

    /// The checks of each table: those that reject rows, and the others. One whose table is not there is noted as failed.
    fn place(&mut self) -> Vec<(Vec<usize>, Vec<usize>)> {
        let mut placed = vec![(Vec::new(), Vec::new()); self.tables.len()];
        for (place, check) in self.job.expect.checks.iter().enumerate() {
            match self.table_of(check) {
                Ok(table) => {
                    self.outcomes[place].table = self.tables[table].name.clone().into();
                    let (rejecting, others) = &mut placed[table];
                    if check.rejects { rejecting.push(place) } else { others.push(place) }
                }
                Err(problem) => {
                    self.outcomes[place].table = check.table.clone().unwrap_or_default().into();
                    self.misfit(place, problem);
                }
            }
        }
        placed
    }

    /// How many rows may be rejected, if the author bounds it.
    fn allowed(&self) -> Option<u64> {
        self.job.expect.most_rejected.map(|most| allowed(most, self.whole))
    }

    /// Whether more rows are rejected than may be.
    fn is_beyond_bound(&self) -> bool {
        self.allowed().is_some_and(|allowed| self.by_driver + self.by_checks > allowed)
    }

    /// The table that a check is about.
    fn table_of(&self, check: &Check) -> Result<usize, String> {
        let names = || self.tables.iter().map(|table| table.name.as_str());
        match &check.table {
            Some(wanted) => names().position(|name| name == wanted).ok_or_else(|| {
                let near = crate::error::nearest(wanted, names());
                let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                format!("there is no table `{wanted}`; there are: {}{near}", crate::error::listed(names()))
            }),
            None if self.tables.len() == 1 => Ok(0),
            None => names().position(|name| name == "main").ok_or_else(|| {
                format!("there are several tables: {}; say which with `table`", crate::error::listed(names()))
            }),
        }
    }

    /// Notes that a check cannot be made of its table, which counts as failed.
    fn misfit(&mut self, place: usize, problem: String) {
        let told = self.reporter.told(problem);
        let told: String = told.raw().chars().take(MAX_TEXT).collect();
        let outcome = &mut self.outcomes[place];
        (outcome.passed, outcome.problem) = (false, Some(told.into()));
    }

    /// The conditions of checks that find single rows; a check that does not fit its table is noted as failed.
    fn conditions(&mut self, table: usize, places: &[usize]) -> Vec<Condition<'a>> {
        let mut conditions = Vec::new();
        for &place in places {
            let check = &self.job.expect.checks[place];
            let offends = self.fitting(&self.tables[table], check).and_then(|()| {
                let target = |alias: &str| self.engine.source(alias).map(str::to_owned);
                let described = |select: &str| self.engine.described(select).map_err(|error| error.message);
                sql::offends(check, &self.tables[table], &target, &described)
            });
            match offends {
                Ok(offends) => conditions.push(Condition { place, check, offends }),
                Err(problem) => self.misfit(place, problem),
            }
        }
        conditions
    }

    /// Whether a check's SQL can be run over its table, and the columns that it names are there.
    ///
    /// # Errors
    /// Why not.
    fn fitting(&self, table: &Table, check: &Check) -> Result<(), String> {
        if !matches!(check.rule, Rule::Columns { .. }) {
            check.rule.columns().into_iter().try_for_each(|column| sql::column(table, column).map(|_| ()))?;
        }
        sql::fits(self.engine, table, &self.names, check)
    }

    /// Fails the step if a check of severity `error` did not pass.
    fn verdict(&self) -> Result<(), Failure> {
        let checks = self.job.expect.checks.iter().zip(&self.outcomes);
        let failed: Vec<_> = checks.filter(|(check, outcome)| fails(check, outcome)).collect();
        let Some((first, _)) = failed.first() else { return Ok(()) };
        let remedy = if first.rule.finds_rows() {
            "correct such rows where they come from, or set `severity: warn` or `on_violation: reject` beside the check"
        } else {
            "correct what the step reads, or the check, or set `severity: warn` beside it"
        };
        let kept = if self.job.kind.makes_tables() {
            "the step's output was discarded"
        } else {
            "the step's driver was not called, so nothing was written"
        };
        Err(Failure::new(Blame::User, "data", failure_message(failed.iter().copied()))
            .hint(format!("{kept}; {remedy} (line {} of the pipeline)", first.line)))
    }

    /// Fails the step if more rows were rejected than the author allows.
    fn check_bound(&self) -> Result<(), Failure> {
        let Some(most) = self.job.expect.most_rejected.filter(|_| self.is_beyond_bound()) else { return Ok(()) };
        let (rejected, whole) = (self.by_driver + self.by_checks, self.whole);
        let allows = match most {
            MostRejected::Rows(rows) => format!("`rejects: {rows}`"),
            MostRejected::Percent(share) => format!("`rejects: {{max: {share}%}}`"),
        };
        let checks = self.job.expect.checks.iter().zip(&self.outcomes);
        let reasons = checks.filter(|(check, outcome)| check.rejects && !outcome.passed);
        let message = format!("{rejected} of {whole} rows were rejected, more than {allows} allows");
        let message = match failure_message(reasons) {
            reasons if reasons.raw().is_empty() => message,
            reasons => format!("{message}\n{}", reasons.raw()),
        };
        Err(Failure::new(Blame::User, "data", message)
            .hint("correct such rows where they come from, or allow more with `rejects` beside the step's `config`"))
    }

    /// The failure of a step whose checks cannot run at all.
    fn unusable(&self, error: EngineError) -> Failure {
        unusable(self.job, self.engine, error)
    }
}

/// The failure for an error that is not about one check.
fn unusable(job: &Job, engine: &Engine, error: EngineError) -> Failure {
    let out_of = |kind: &str, usage: String| {
        Failure::new(Blame::User, kind, format!("the checks ran out of room: {}", error.message))
            .hint(format!("give the step more with `{usage}`"))
    };
    match error.cause {
        Cause::DiskFull => Failure::disk_full(error.message),
        Cause::TooLarge => Overrun::Output.failure(job, engine.status().ran_authors()),
        Cause::Memory => out_of("memory", Limits::ENGINE_MEMORY.usage()),
        Cause::Spill => out_of("disk", Limits::SPILL.usage()),
        _ => host_fault(anyhow::anyhow!(error).context("cannot check the step's tables")),
    }
}

/// Whether an error is about what a statement says or reads, and not about this machine.
fn is_about_statement(error: &EngineError) -> bool {
    matches!(error.cause, Cause::Statement | Cause::Data | Cause::NotFound | Cause::Denied)
}

fn fails(check: &Check, outcome: &CheckOutcome) -> bool {
    let rejected = check.rejects && outcome.problem.is_none();
    !outcome.passed && !rejected && check.severity == crate::pipeline::expect::Severity::Error
}

/// How many of `whole` rows may be rejected.
fn allowed(most: MostRejected, whole: u64) -> u64 {
    match most {
        MostRejected::Rows(rows) => rows.into(),
        MostRejected::Percent(share) => (whole as f64 * share / 100.0).floor() as u64,
    }
}

/// A name that none of the columns has, from the one that is wanted.
fn free_name(table: &Table, wanted: &str) -> String {
    let mut name = wanted.to_owned();
    while table.columns.iter().any(|(column, _)| column.eq_ignore_ascii_case(&name)) {
        name.insert(0, '_');
    }
    name
}

/// A name for the rows of a table, and the table with that name.
fn row_of(table: &Table) -> (String, String) {
    let row = free_name(table, "osiris_row");
    (row.clone(), format!("{} AS {row}", table.from))
}

/// The number of the first column of `row`.
fn count(row: &[Option<String>], column: usize) -> u64 {
    row.get(column).and_then(Option::as_deref).and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// A column in SQL.
fn quoted(column: &str) -> String {
    quote_name(column)
}
