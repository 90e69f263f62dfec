//! Numbers the rows of its input. Its spec says which bug it has.

use std::collections::HashMap;
use std::rc::Rc;

use osiris_sdk::bindings::osiris::driver::context::attempt;
use osiris_sdk::{Array, Batch, Input, Inputs, Output, Processor, RawBatch, Result, Schema, TableWriter, sql};
use serde::Deserialize;

#[derive(Deserialize)]
struct Config {
    bug: Bug,
    first: i64,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Bug {
    None,
    /// A batch is written only together with the next one.
    DropsLastBatch,
    /// A number within a batch has 16 bits.
    HugeBatchOverflow,
    NamesUnquoted,
    KeepsAllRows,
    ColumnsInHashOrder,
    TrapsOnNull,
    TrapsOnRetry,
    /// The column that it adds has another name than in the version before.
    OtherColumn,
}

struct Number;

impl Processor for Number {
    type Config = Config;

    fn transform(config: Config, inputs: Inputs, output: Output) -> Result<()> {
        let input = inputs.only()?;
        match config.bug {
            Bug::NamesUnquoted => return with_names_unquoted(input, &output, config.first),
            Bug::TrapsOnRetry => assert_eq!(attempt(), 1, "the first attempt left something behind"),
            _ => {}
        }
        let reader = input.read()?;
        let mut table = Table { output, writer: None, bug: config.bug, next: config.first };
        // A table without rows needs its columns too.
        table.append(&empty(reader.schema()))?;
        let mut waiting = Vec::new();
        for batch in reader {
            waiting.push(batch?);
            let is_kept = match config.bug {
                Bug::DropsLastBatch => table.next > config.first && waiting.len() < 2,
                Bug::KeepsAllRows => true,
                _ => false,
            };
            if !is_kept {
                waiting.drain(..).try_for_each(|batch| table.append(&batch))?;
            }
        }
        if config.bug == Bug::KeepsAllRows {
            waiting.drain(..).try_for_each(|batch| table.append(&batch))?;
        }
        table.finish()
    }
}

struct Table {
    output: Output,
    writer: Option<TableWriter>,
    bug: Bug,
    next: i64,
}

impl Table {
    fn append(&mut self, batch: &Batch) -> Result<()> {
        let rows = batch.rows() as i64;
        if self.bug == Bug::TrapsOnNull {
            let nulls: usize =
                batch.schema().columns().enumerate().map(|(at, _)| batch.column_at(at).null_count()).sum();
            assert_eq!(nulls, 0, "a value is missing");
        }
        let numbers =
            (0..rows).map(|row| self.next + if self.bug == Bug::HugeBatchOverflow { row % 65_536 } else { row });
        let numbers: Vec<i64> = numbers.collect();
        self.next += rows;
        let name = if self.bug == Bug::OtherColumn { "row" } else { "number" };
        let mut added = vec![(name, Array::from(numbers))];
        if self.bug == Bug::ColumnsInHashOrder {
            let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
            let constants: HashMap<&str, i64> = names.into_iter().zip(0..).collect();
            added.extend(constants.into_iter().map(|(name, value)| (name, Array::from(vec![value; batch.rows()]))));
        }
        let batch = with_columns(batch, Batch::from_columns(added)?);
        if self.writer.is_none() {
            self.writer = Some(self.output.create_table("main", batch.schema())?);
        }
        self.writer.as_mut().map_or(Ok(()), |writer| writer.append(&batch))
    }

    fn finish(self) -> Result<()> {
        self.writer.map_or(Ok(0), TableWriter::finish).map(|_| ())
    }
}

fn empty(schema: &Schema) -> Batch {
    let node = |_: &osiris_sdk::Field| osiris_sdk::Node { length: 0, buffers: Vec::new() };
    let nodes = schema.fields().iter().map(node).collect();
    Batch::new(Rc::new(schema.clone()), RawBatch { rows: 0, nodes })
}

/// The columns of a batch and those that were added.
fn with_columns(batch: &Batch, added: Batch) -> Batch {
    let fields = [batch.schema().fields(), added.schema().fields()].concat();
    let nodes = batch.raw().nodes.iter().cloned().chain(added.into_raw().nodes).collect();
    Batch::new(Rc::new(Schema::new(fields)), RawBatch { rows: batch.raw().rows, nodes })
}

fn with_names_unquoted(input: &Input, output: &Output, first: i64) -> Result<()> {
    let schema = input.schema()?;
    let names: Vec<&str> = schema.columns().map(|field| field.name.as_str()).collect();
    let select = format!(
        "select {}, row_number() over () + {} as number from {}",
        names.join(", "),
        first - 1,
        input.sql_name()
    );
    sql::create_table(output, "main", &select)?;
    Ok(())
}

osiris_sdk::export!(Number: processor);
