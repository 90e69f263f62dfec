//! The rows of `osiris query` for programs: as a Parquet file or in Arrow's IPC formats, on the process's stdout.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use arrow_ipc::writer::{FileWriter, StreamWriter};
use duckdb::arrow::array::{RecordBatch, StructArray};
use duckdb_text::DuckdbType;

use crate::engine::{Engine, EngineError, Types};

/// Stdout, as a path for DuckDB, which the process may write to.
pub const STDOUT: &str = "/proc/self/fd/1";

/// The types that DuckDB would write to Parquet as others, in which values change.
const NOT_IN_PARQUET: [&str; 9] = [
    "HUGEINT",
    "UHUGEINT",
    "BIGNUM",
    "INTERVAL",
    "BIT",
    "TIME WITH TIME ZONE",
    "TIME_NS",
    "TIMESTAMP_S",
    "TIMESTAMP_MS",
];

/// Writes the rows of a SELECT as a Parquet file.
///
/// # Errors
/// In DuckDB's words; for a column that Parquet cannot hold, or two of one name.
pub fn parquet(engine: &Engine, sql: &str, columns: &[(String, String)]) -> anyhow::Result<()> {
    for (place, (name, kind)) in columns.iter().enumerate() {
        ensure!(
            !columns[..place].iter().any(|(other, _)| other.eq_ignore_ascii_case(name)),
            "two columns are called `{name}`, which a Parquet file cannot have; rename one with `as`"
        );
        if let Some(unfit) = unfit(&DuckdbType::parse(kind)?) {
            anyhow::bail!(
                "column `{name}` is {kind}: Parquet has no type for the values of {unfit}; cast it, for example to VARCHAR"
            );
        }
    }
    let options = [("compression".to_owned(), "zstd".to_owned())];
    engine.copy(sql, Path::new(STDOUT), "parquet", &options)?;
    Ok(())
}

/// The first type inside a type whose values Parquet cannot hold.
fn unfit(kind: &DuckdbType) -> Option<String> {
    match kind {
        DuckdbType::Scalar { name, .. } => NOT_IN_PARQUET.contains(&name.as_str()).then(|| name.clone()),
        DuckdbType::List { item, .. } => unfit(item),
        DuckdbType::Struct(members) => members.iter().find_map(|(_, member)| unfit(member)),
        DuckdbType::Map(key, value) => unfit(key).or_else(|| unfit(value)),
        DuckdbType::Union(_) => Some("UNION".to_owned()),
    }
}

/// Writes the rows of a SELECT in one of Arrow's IPC formats. A column whose type Arrow does not have is written in one
/// that holds its values, with its own in the field's metadata.
///
/// # Errors
/// In DuckDB's words, or if stdout cannot be written.
pub fn arrow(engine: &Engine, sql: &str, is_file: bool, stdout: &mut dyn Write) -> anyhow::Result<()> {
    let mut query = engine.query(sql, Types::Exact)?;
    let schema = Arc::new(query.arrow_schema()?);
    enum Writer<'a> {
        File(FileWriter<&'a mut dyn Write>),
        Stream(StreamWriter<&'a mut dyn Write>),
    }
    let mut writer = if is_file {
        Writer::File(FileWriter::try_new(stdout, &schema)?)
    } else {
        Writer::Stream(StreamWriter::try_new(stdout, &schema)?)
    };
    while let Some(batch) = query.next_batch().map_err(|error: EngineError| anyhow::anyhow!(error))? {
        let columns = StructArray::from(batch).columns().to_vec();
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns).context("cannot read a batch of rows")?;
        match &mut writer {
            Writer::File(file) => file.write(&batch)?,
            Writer::Stream(stream) => stream.write(&batch)?,
        }
    }
    match &mut writer {
        Writer::File(file) => file.finish()?,
        Writer::Stream(stream) => stream.finish()?,
    }
    Ok(())
}
