//! A driver streams: its memory does not grow with the data.

use super::batches::with_rows;
use super::{GoodRun, Subject, Verdict};
use crate::kit::harness::Trial;
use crate::size::spell;

/// The rows of the smaller run; the larger one has ten times as many.
const ROWS: u64 = 40_000;

/// The bytes of the file of the smaller run of an extractor.
const FILE_BYTES: usize = 2 << 20;

/// By how much the memory may grow, in bytes: runtimes with a garbage collector let some rubbish pile up.
const GROWTH: u64 = 8 << 20;

/// Why nothing is measured.
const NOTHING_TO_GROW: &str =
    "no test of the driver that succeeds has an input, or a file of lines, that can be made larger";

/// Ten times the rows need about the same memory.
pub fn memory(subject: &Subject<'_>) -> anyhow::Result<Verdict> {
    let mut runs = 0;
    for run in subject.some() {
        let Some([small, large]) = sizes(run)? else { continue };
        let outcomes = subject.run_all(&[small, large])?;
        let [small, large] = outcomes.as_slice() else { continue };
        if small.is_success() && !large.is_success() {
            let message = format!("with ten times the data, test `{}` fails: {}", run.name, large.words());
            return Ok(Verdict::Failed(message));
        }
        // The data may be wrong once it is repeated, for example because of a key that must be unique.
        if !small.is_success() {
            continue;
        }
        runs += 1;
        let [before, after] = [small, large].map(|outcome| outcome.guest_memory_bytes);
        if after > before + before / 2 + GROWTH {
            let message = format!(
                "with ten times the data of test `{}`, the driver has {} of memory instead of {}",
                run.name,
                spell(after),
                spell(before)
            );
            return Ok(Verdict::Failed(message));
        }
    }
    Ok(Verdict::of(runs, NOTHING_TO_GROW))
}

/// A run with much data, and with ten times as much.
fn sizes(run: &GoodRun) -> anyhow::Result<Option<[Trial; 2]>> {
    if let (Some(small), Some(large)) = (with_rows(run, ROWS)?, with_rows(run, 10 * ROWS)?) {
        return Ok(Some([small, large]));
    }
    let Some((name, lines)) = run.trial.files.iter().find_map(|(name, bytes)| Some((name, Lines::of(name, bytes)?)))
    else {
        return Ok(None);
    };
    let with_bytes = |bytes| {
        let mut trial = run.trial.clone();
        trial.files.insert(name.clone(), lines.repeated(bytes));
        trial
    };
    Ok(Some([with_bytes(FILE_BYTES), with_bytes(10 * FILE_BYTES)]))
}

/// A file of records in lines.
pub struct Lines<'a> {
    /// The line that names the columns, or nothing.
    pub header: &'a [u8],
    pub records: Vec<&'a [u8]>,
}

impl<'a> Lines<'a> {
    /// The lines of a file, if its name says that it has some.
    pub fn of(name: &str, bytes: &'a [u8]) -> Option<Self> {
        let extension = std::path::Path::new(name).extension()?.to_str()?;
        let has_header = match extension {
            "csv" | "tsv" => true,
            "jsonl" | "ndjson" => false,
            _ => return None,
        };
        let mut records: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
        let is_whole = records.last().is_some_and(|line| line.ends_with(b"\n"));
        let header = if has_header && !records.is_empty() { records.remove(0) } else { &[] };
        (is_whole && !records.is_empty()).then_some(Self { header, records })
    }

    /// A file with the first so many records.
    pub fn first(&self, count: usize) -> Vec<u8> {
        [self.header, &self.records[..count.min(self.records.len())].concat()].concat()
    }

    /// A file of about so many bytes.
    fn repeated(&self, bytes: usize) -> Vec<u8> {
        let records = self.records.concat();
        [self.header, &records.repeat(bytes.div_ceil(records.len().max(1)))].concat()
    }
}
