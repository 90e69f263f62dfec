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
        let mut table = Table::create(&config, reader.schema(), &output)?;
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
        table.writer.finish()?;
        Ok(())
    }
}

struct Table {
    writer: TableWriter,
    bug: Bug,
    /// The columns with one value that are added besides the number.
    constants: Vec<(&'static str, i64)>,
    next: i64,
}

impl Table {
    fn create(config: &Config, input: &Schema, output: &Output) -> Result<Self> {
        let names =
            if config.bug == Bug::ColumnsInHashOrder { &["a", "b", "c", "d", "e", "f", "g", "h"][..] } else { &[] };
        let constants: HashMap<&str, i64> = names.iter().copied().zip(0..).collect();
        let (bug, constants, next) = (config.bug, constants.into_iter().collect(), config.first);
        let added = Self::added(bug, &constants, next, 0)?;
        let schema = Schema::new([input.fields(), added.schema().fields()].concat());
        Ok(Self { writer: output.create_table("main", &schema)?, bug, constants, next })
    }

    fn added(bug: Bug, constants: &Vec<(&'static str, i64)>, first: i64, rows: usize) -> Result<Batch> {
        let number = |row: i64| first + if bug == Bug::HugeBatchOverflow { row % 65_536 } else { row };
        let numbers: Vec<i64> = (0..rows as i64).map(number).collect();
        let name = if bug == Bug::OtherColumn { "row" } else { "number" };
        let mut added = vec![(name, Array::from(numbers))];
        added.extend(constants.iter().map(|(name, value)| (*name, Array::from(vec![*value; rows]))));
        Batch::from_columns(added)
    }

    fn append(&mut self, batch: &Batch) -> Result<()> {
        if self.bug == Bug::TrapsOnNull {
            let columns = 0..batch.schema().columns().len();
            let nulls: usize = columns.map(|at| batch.column_at(at).null_count()).sum();
            assert_eq!(nulls, 0, "a value is missing");
        }
        let added = Self::added(self.bug, &self.constants, self.next, batch.rows())?;
        self.next += batch.rows() as i64;
        self.writer.append(&with_columns(batch, added))
    }
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
