//! What can be seen of a driver's run from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use cap_std::fs::Dir;

use super::harness::STEP;
use crate::engine::InputTable;
use crate::error::{Blame, Failure, Report};
use crate::executor::look::{Rows, limits, look};
use crate::executor::supervisor::Supervisor;
use crate::plan::PlannedStep;
use crate::protocol::{LogLevel, Look, Question, TableContents};
use crate::recordings::{MAX_COUNT, Seen};
use crate::run::Observer;
use crate::secrets::scrubber::Scrubbed;
use crate::session::{Base, Status, StepRecord, plain};
use crate::untrusted::Untrusted;
use crate::warning::Warning;

/// The most rows of a table that are read; its digest covers all of them.
pub const MOST_ROWS: u64 = 10_000;

/// The most bytes of all tables of a run that are read.
const MOST_BYTES: usize = 64 << 20;

/// The longest written file that is read.
const MOST_FILE_BYTES: u64 = 64 << 20;

/// The time in which a run's tables are read.
const SECONDS: u64 = 600;

/// What came of one run of a driver. All text is redacted; it comes from the driver, so it is untrusted.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Whether the run succeeded.
    pub error: Option<Failure>,
    /// Whether the run was refused before the driver was called, because of its config.
    pub is_refused: bool,
    /// The output tables by name; those of a failed run are discarded.
    pub tables: BTreeMap<String, Table>,
    /// Rows that a writer delivered, or rows of all tables.
    pub rows: u64,
    /// The state for the next run, as the driver wrote it, if the run set one.
    pub state: Option<String>,
    pub log: Vec<LogLine>,
    /// Names and values in the order in which the driver reported them.
    pub metrics: Vec<(String, f64)>,
    pub warnings: Vec<Warning>,
    /// The HTTP requests of the driver, if they were recorded or replayed.
    pub exchanges: Vec<Seen>,
    /// Whether there were more, or some that are not understood.
    pub lost_exchanges: bool,
    /// The calls of the driver that can fail, in order, if the trial's disturbance observes them.
    pub calls: Vec<String>,
    /// The most memory that the driver had, likewise.
    pub guest_memory_bytes: u64,
    /// The files that the driver wrote, by their names in the config.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The DuckDB files that the driver updated, likewise. The same tables may be other bytes.
    pub databases: BTreeSet<String>,
    /// The tables that other drivers read from them, by the names of the trial's `read_back`, or why they could not.
    pub read_back: BTreeMap<String, Result<Table, String>>,
    /// How often the driver was called.
    pub attempts: u32,
    pub duration: Duration,
}

/// A line of a driver's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    pub level: LogLevel,
    pub message: Untrusted,
    pub fields: BTreeMap<Untrusted, Untrusted>,
}

/// An output table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Names and types, as DuckDB spells them.
    pub columns: Vec<(String, String)>,
    /// The number of rows.
    pub count: u64,
    /// Equal for equal rows, whatever their order.
    pub digest: String,
    /// The first rows, each as a JSON object with all digits of its numbers. Values of types that JSON lacks are texts.
    pub rows: Vec<String>,
}

impl Outcome {
    /// The outcome of a run that was refused before anything ran.
    pub(super) fn refused(report: Report) -> Self {
        let Report { message, hint, .. } = report;
        let failure = Failure { hint: hint.map(Untrusted::from), ..Failure::new(Blame::User, "config", message) };
        Self { error: Some(failure), is_refused: true, ..Self::default() }
    }

    /// The outcome that a step's record and what was heard of the step describe, without its tables, state and files.
    pub(super) fn of(record: &StepRecord, heard: Heard) -> Self {
        let failure = || Failure::new(Blame::Host, "internal", format!("the step is {}", record.status));
        let is_success = record.status == Status::Success;
        Self {
            error: (!is_success).then(|| record.error.clone().unwrap_or_else(failure)),
            rows: record.rows.unwrap_or_default(),
            log: heard.log,
            metrics: heard.metrics,
            exchanges: heard.exchanges,
            lost_exchanges: heard.lost_exchanges,
            calls: heard.calls,
            guest_memory_bytes: heard.guest_memory_bytes,
            warnings: record.warnings.clone(),
            attempts: record.attempts,
            duration: Duration::from_millis(record.duration_ms.unwrap_or_default()),
            ..Self::default()
        }
    }

    pub fn is_success(&self) -> bool {
        self.error.is_none()
    }

    /// How the run ended, in one line.
    pub fn words(&self) -> String {
        match &self.error {
            None => "it succeeded".to_owned(),
            Some(error) => format!("it failed: {} ({})", error.message, error.kind),
        }
    }
}

/// What a step reports while it runs.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) log: Vec<LogLine>,
    pub(super) metrics: Vec<(String, f64)>,
    pub(super) calls: Vec<String>,
    pub(super) guest_memory_bytes: u64,
    pub(super) exchanges: Vec<Seen>,
    pub(super) lost_exchanges: bool,
}

impl Heard {
    fn line(&mut self, level: LogLevel, line: &Scrubbed<Warning>) {
        let Warning { message, fields } = (**line).clone();
        self.log.push(LogLine { level, message, fields });
    }

    fn keep_exchange(&mut self, seen: Option<Seen>) {
        match seen.filter(|_| self.exchanges.len() <= MAX_COUNT) {
            Some(seen) => self.exchanges.push(seen),
            None => self.lost_exchanges = true,
        }
    }
}

/// Remembers what the step under test reports.
impl Observer for Heard {
    fn compiling(&mut self, _driver: &str) {}

    fn started(&mut self, _step: &str) {}

    fn progress(&mut self, _step: &str, _done: u64, _total: Option<u64>) {}

    fn log(&mut self, step: &str, level: LogLevel, line: &Scrubbed<Warning>) {
        if step == STEP {
            Self::line(self, level, line);
        }
    }

    fn metric(&mut self, step: &str, name: &Scrubbed<String>, value: f64) {
        if step == STEP {
            self.metrics.push(((**name).clone(), value));
        }
    }

    fn observed(&mut self, step: &str, calls: Vec<String>, guest_memory_bytes: u64) {
        if step == STEP {
            (self.calls, self.guest_memory_bytes) = (calls, guest_memory_bytes);
        }
    }

    fn exchange(&mut self, step: &str, seen: Option<Seen>) {
        if step == STEP {
            self.keep_exchange(seen);
        }
    }

    fn ended(&mut self, _step: &StepRecord) {}
}

/// Reads tables in a confined process.
///
/// # Errors
/// If they are damaged, or too large to be read.
pub(super) fn read_tables(
    tables: Vec<InputTable>,
    require_confinement: bool,
    supervisor: &Supervisor,
) -> anyhow::Result<BTreeMap<String, Table>> {
    let question = Question::Contents { most_rows: MOST_ROWS };
    let job = Look { tables, question, limits: limits(SECONDS), require_confinement };
    let mut bytes = Bounded(Vec::new());
    look(&job, &mut Rows { sink: &mut bytes, harmless: None }, supervisor)?;
    let mut found = BTreeMap::new();
    let mut lines = bytes.0.lines();
    while let Some(line) = lines.next().transpose()? {
        let TableContents { table, columns, rows: count, digest, shown } =
            serde_json::from_str(&line).context("cannot understand what the tables contain")?;
        let rows = (&mut lines).take(usize::try_from(shown)?).collect::<Result<Vec<_>, _>>()?;
        ensure!(rows.len() as u64 == shown, "the rows of table `{table}` are cut off");
        found.insert(table, Table { columns, count, digest, rows });
    }
    Ok(found)
}

/// The files that a step wrote, by their names in the config; those of a folder of partitions by their paths below its name.
///
/// # Errors
/// If one cannot be read.
pub(super) fn written_files(base: &Base, step: &PlannedStep) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for wish in &step.grants.write {
        match collect_file(&base.dir, &wish.below, &wish.name, &mut files) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot read the written file `{}`", wish.name));
            }
            _ => {}
        }
    }
    Ok(files)
}

fn collect_file(dir: &Dir, path: &Path, name: &str, files: &mut BTreeMap<String, Vec<u8>>) -> std::io::Result<()> {
    if !dir.symlink_metadata(path)?.is_dir() {
        files.insert(name.to_owned(), plain::read_bytes(dir, path, MOST_FILE_BYTES)?);
        return Ok(());
    }
    for entry in dir.read_dir(path)? {
        let entry = entry?.file_name();
        collect_file(dir, &path.join(&entry), &format!("{name}/{}", entry.to_string_lossy()), files)?;
    }
    Ok(())
}

/// Bytes up to a bound.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > MOST_BYTES {
            let most = crate::size::spell(MOST_BYTES as u64);
            return Err(std::io::Error::other(format!(
                "the tables have more than {most} as JSON, too much for a test"
            )));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
