//! The baseline of benchmark (b): the guest's work done natively with the duckdb crate: IN.duckdb OUT.duckdb THREADS.

use std::sync::Arc;

use anyhow::Context;
use duckdb::Connection;
use duckdb::arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch};
use duckdb::arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema};

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().context("write: compute-native IN.duckdb OUT.duckdb THREADS");
    let (input, output, threads) = (next()?, next()?, next()?);
    let connection = Connection::open_in_memory()?;
    connection.execute_batch(&format!(
        "SET threads = {threads}; SET memory_limit = '2GB'; ATTACH '{input}' AS i (READ_ONLY); ATTACH '{output}' AS o;
         CREATE TABLE o.main.main (sum BIGINT, product DOUBLE);"
    ))?;
    let writing = connection.try_clone()?;
    writing.execute_batch("USE o; BEGIN TRANSACTION")?;
    let mut appender = writing.appender_to_catalog_and_db("main", "o", "main")?;
    let mut reading = connection.prepare("SELECT a, b FROM i.main.main")?;
    let schema = Arc::new(Schema::new(vec![
        Field::new("sum", DataType::Int64, true),
        Field::new("product", DataType::Float64, true),
    ]));
    for batch in reading.stream_arrow([])? {
        let (a, b) = (batch.column(0).as_primitive::<Int64Type>(), batch.column(1).as_primitive::<Float64Type>());
        let values = || a.values().iter().zip(b.values());
        let sums: Int64Array =
            values().map(|(a, b)| a.wrapping_mul(3).wrapping_add(*b as i64)).collect::<Vec<_>>().into();
        let products: Float64Array = values().map(|(a, b)| *a as f64 * b + 1.0).collect::<Vec<_>>().into();
        let columns: Vec<ArrayRef> = vec![Arc::new(sums), Arc::new(products)];
        appender.append_record_batch(RecordBatch::try_new(Arc::clone(&schema), columns)?)?;
    }
    appender.flush()?;
    drop(appender);
    writing.execute_batch("COMMIT; CHECKPOINT o")?;
    Ok(())
}
