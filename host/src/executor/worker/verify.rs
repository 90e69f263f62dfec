//! Checks what a worker says of an output. The host never opens a file that others made: a confined process counts.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, ensure};

use crate::engine::InputTable;
use crate::executor::look::{Rows, limits, look};
use crate::executor::supervisor::Supervisor;
use crate::protocol::{Format, Look, Question};

/// How long counting may take, in seconds: DuckDB knows the rows of a table without reading them.
const PATIENCE_SECONDS: u64 = 60;

/// The most tables that a step may have.
const MAX_TABLES: usize = 1_000;

/// Where a DuckDB file says what it is, and how.
const MAGIC: (u64, &[u8; 4]) = (8, b"DUCK");

/// Checks that an output is a DuckDB file with these tables, each with so many rows. With `require_confinement`, it is
/// only opened by a process that is fully confined.
///
/// # Errors
/// If it is not.
pub fn check_rows(
    output: &Path,
    tables: &BTreeMap<String, u64>,
    supervisor: &Supervisor,
    require_confinement: bool,
) -> anyhow::Result<()> {
    ensure!(tables.len() <= MAX_TABLES, "it has {} tables, more than {MAX_TABLES}", tables.len());
    if tables.is_empty() {
        // There is nothing that could be counted.
        return is_database(output);
    }
    let named: Vec<String> = (0..tables.len()).map(|place| format!("t{place}")).collect();
    let counts: Vec<String> = named.iter().map(|name| format!("(SELECT count(*) FROM {name}) AS {name}")).collect();
    let input = |(alias, table): (&String, &String)| InputTable::new(alias, output.to_owned(), table);
    let question = Question::Select {
        sql: format!("SELECT {}", counts.join(", ")),
        format: Format::Json,
        width: None,
        total: None,
    };
    let look_at = Look {
        tables: named.iter().zip(tables.keys()).map(input).collect(),
        question,
        limits: limits(PATIENCE_SECONDS),
        require_confinement,
    };
    let mut text = Vec::new();
    look(&look_at, &mut Rows { sink: &mut text, harmless: None }, supervisor).context("it cannot be read")?;
    let counted: BTreeMap<String, u64> = serde_json::from_slice(&text).context("it cannot be counted")?;
    for (name, (table, said)) in named.iter().zip(tables) {
        let found = counted.get(name).copied().unwrap_or_default();
        ensure!(found == *said, "its table `{table}` has {found} rows, not {said}");
    }
    Ok(())
}

/// Checks that a file begins like a DuckDB file, without having anything interpret it.
fn is_database(output: &Path) -> anyhow::Result<()> {
    let mut found = [0; MAGIC.1.len()];
    let is_read = crate::step::open_plain(output, false)?.read_exact_at(&mut found, MAGIC.0).is_ok();
    ensure!(is_read && found == *MAGIC.1, "it is not a DuckDB file");
    Ok(())
}
