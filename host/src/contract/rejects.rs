//! The rows that a step rejects: counted for all instances of its driver, and stored in a table of its output.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::value::RawValue;

use super::{Answer, Error, ErrorKind, error};
use crate::channel::reporter::Reporter;
use crate::columns::{Field, InNode};
use crate::engine::{Engine, TableWriter};
use crate::protocol::{REJECTED, RejectedRows};
use crate::untrusted::Untrusted;

/// The largest rejected row, as JSON, in bytes.
const MAX_ROW: usize = 16 << 20;

/// The longest reason, in bytes.
const MAX_REASON: usize = 64 << 10;

/// How many bytes of rows are collected before they are stored.
const BUFFER: usize = 1 << 20;

/// How many characters of a row an error quotes.
const EXCERPT: usize = 300;

/// The rejected rows of a step.
pub struct Rejects {
    allowed: u32,
    collected: Mutex<Collected>,
}

#[derive(Default)]
struct Collected {
    table: Option<TableWriter>,
    records: Texts,
    reasons: Texts,
    rows: u64,
    first_reason: Option<Untrusted>,
    /// Why the step must fail: a row that is lost, or one that is beyond what the author allows.
    ended: Option<Ended>,
}

/// Why no further row can be rejected, and the step fails.
#[derive(Debug, Clone)]
pub enum Ended {
    /// More rows were rejected than the author allows.
    TooMany(Untrusted),
    /// A row could not be stored.
    Lost(Error),
}

impl Rejects {
    /// Of a step that may reject no row.
    pub fn none() -> Self {
        Self { allowed: 0, collected: Mutex::default() }
    }

    /// Of a step that may reject `allowed` rows, whose table is created, so that it exists even if none is rejected.
    ///
    /// # Errors
    /// If the table cannot be created.
    pub fn new(engine: &Engine, allowed: u32) -> Result<Self, Error> {
        if allowed == 0 {
            return Ok(Self::none());
        }
        let table = Some(engine.create_table(REJECTED, &fields(), false)?);
        Ok(Self { allowed, collected: Mutex::new(Collected { table, ..Collected::default() }) })
    }

    /// How many rows the step may reject.
    pub fn allowed(&self) -> u32 {
        self.allowed
    }

    fn collected(&self) -> MutexGuard<'_, Collected> {
        self.collected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the step must fail, if it must, whatever its driver returns.
    pub fn ended(&self) -> Option<Ended> {
        self.collected().ended.clone()
    }

    /// Stores a row. Once one could not be stored, every further call fails in the same way.
    pub fn reject(&self, row: String, reason: String, reporter: &Reporter) -> Answer<()> {
        let mut collected = self.collected();
        if collected.ended.is_none() {
            collected.ended = self.take(&mut collected, row, reason, reporter).err();
        }
        Ok(match &collected.ended {
            None => Ok(()),
            Some(Ended::TooMany(message)) => Err(error(ErrorKind::Data, message.raw())),
            Some(Ended::Lost(error)) => Err(error.clone()),
        })
    }

    fn take(&self, collected: &mut Collected, row: String, reason: String, reporter: &Reporter) -> Result<(), Ended> {
        let unusable = |what: String| Ended::Lost(error(ErrorKind::Internal, what));
        if row.len() > MAX_ROW || reason.len() > MAX_REASON {
            return Err(unusable(format!(
                "the driver rejected a row of {} bytes for a reason of {} bytes; at most {MAX_ROW} and {MAX_REASON} are possible",
                row.len(),
                reason.len()
            )));
        }
        if let Err(cause) = serde_json::from_str::<&RawValue>(&row) {
            return Err(unusable(format!("the driver rejected a row that is not JSON: {cause}")));
        }
        collected.rows += 1;
        if collected.rows > u64::from(self.allowed) {
            return Err(Ended::TooMany(self.too_many(collected, row, reason, reporter)));
        }
        collected.first_reason.get_or_insert_with(|| reporter.told(reason.clone()));
        collected.records.push(&row);
        collected.reasons.push(&reason);
        if collected.records.bytes.len() + collected.reasons.bytes.len() < BUFFER {
            return Ok(());
        }
        collected.store().map_err(Ended::Lost)
    }

    /// The error for one row too many; what it quotes is redacted before it is cut.
    fn too_many(&self, collected: &Collected, row: String, reason: String, reporter: &Reporter) -> Untrusted {
        let (reason, row) = (reporter.told(reason), reporter.told(row));
        let row = match row.raw().char_indices().nth(EXCERPT) {
            Some((end, _)) => format!("{}…", &row.raw()[..end]),
            None => row.raw().to_owned(),
        };
        let this = format!("{} (row: {row})", reason.raw());
        match (self.allowed, &collected.first_reason) {
            (0, _) | (_, None) => format!("a row was rejected: {this}").into(),
            (allowed, Some(first)) => format!(
                "more rows were rejected than `rejects: {allowed}` allows; the first: {}; the last: {this}",
                first.raw()
            )
            .into(),
        }
    }

    /// Completes the table; returns what was rejected.
    ///
    /// # Errors
    /// If the rows cannot be stored.
    pub fn finish(&self) -> Result<Option<RejectedRows>, Error> {
        let mut collected = self.collected();
        collected.store()?;
        if let Some(table) = collected.table.take() {
            table.finish()?;
        }
        let rows = collected.rows;
        Ok(collected.first_reason.take().map(|first_reason| RejectedRows { rows, first_reason }))
    }
}

impl Collected {
    /// Passes the collected rows to DuckDB.
    fn store(&mut self) -> Result<(), Error> {
        let (records, reasons) = (std::mem::take(&mut self.records), std::mem::take(&mut self.reasons));
        let Some(table) = self.table.as_mut().filter(|_| !records.ends.is_empty()) else { return Ok(()) };
        let rows = u32::try_from(records.ends.len()).unwrap_or(u32::MAX);
        let ends = [&records, &reasons].map(Texts::offsets);
        let node = |ends, texts| InNode { length: rows, buffers: vec![&[], ends, texts] };
        let nodes = [node(&ends[0], &records.bytes), node(&ends[1], &reasons.bytes)];
        let batch = table.check(rows, &nodes).map_err(|refused| error(ErrorKind::Internal, refused.0))?;
        Ok(table.append(&batch)?)
    }
}

/// A column of texts: where each ends, and their bytes.
#[derive(Default)]
struct Texts {
    ends: Vec<i32>,
    bytes: Vec<u8>,
}

impl Texts {
    fn push(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
        // Less than the buffer and one more row, so far below the bound.
        self.ends.push(i32::try_from(self.bytes.len()).unwrap_or(i32::MAX));
    }

    fn offsets(&self) -> Vec<u8> {
        std::iter::once(&0).chain(&self.ends).flat_map(|end| end.to_le_bytes()).collect()
    }
}

fn fields() -> [Field; 2] {
    let field = |name: &str, metadata: &[(&str, &str)]| Field {
        name: name.to_owned(),
        format: "u".to_owned(),
        nullable: true,
        children: 0,
        metadata: metadata.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    };
    [field("record", &[("ARROW:extension:name", "arrow.json")]), field("reason", &[])]
}
