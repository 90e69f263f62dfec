//! Checks what a worker says of an output. The host never opens a file that others made: a confined process counts.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, ensure};

use crate::engine::InputTable;
use crate::executor::look::{Rows, limits, look};
use crate::executor::supervisor::Supervisor;
use crate::protocol::{Format, Look, Question};

/// How long counting may take, in seconds: DuckDB knows the rows of a table without reading them.
const PATIENCE_SECONDS: u64 = 60;

/// Checks that an output is a DuckDB file with these tables, each with so many rows.
///
/// # Errors
/// If it is not.
pub(super) fn check_rows(output: &Path, tables: &BTreeMap<String, u64>, supervisor: &Supervisor) -> anyhow::Result<()> {
    if tables.is_empty() {
        return Ok(());
    }
    let named: Vec<String> = (0..tables.len()).map(|place| format!("t{place}")).collect();
    let counts: Vec<String> = named.iter().map(|name| format!("(SELECT count(*) FROM {name}) AS {name}")).collect();
    let input = |(alias, table): (&String, &String)| InputTable {
        alias: alias.clone(),
        also: Vec::new(),
        path: output.to_owned(),
        table: table.clone(),
    };
    let question = Question::Select { sql: format!("SELECT {}", counts.join(", ")), format: Format::Json };
    let look_at = Look {
        tables: named.iter().zip(tables.keys()).map(input).collect(),
        question,
        limits: limits(PATIENCE_SECONDS),
        require_confinement: false,
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
