//! Records on their way to a table.

use std::collections::BTreeMap;
use std::rc::Rc;

use osiris_sdk::{Batch, Error, Output, RawBatch, Result, Schema, TableWriter, context};
use serde_json::{Map, Value};

use crate::column::{Members, Misfit};
use crate::declared::Declared;
use crate::flatten::Flatten;
use crate::hold::Hold;
use crate::kind::{Fields, Kind};

/// Rows kept before a batch goes out, and the size at which it goes out before that.
const BATCH_ROWS: usize = 8192;
const BATCH_BYTES: usize = 8 << 20;

/// The most columns that a table gets.
const MAX_COLUMNS: usize = 4096;

/// How records become columns.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// What joins the names of nested objects to columns; `None` makes STRUCTs of them.
    pub flatten: Option<String>,
    /// Types that the user declared, by column.
    pub dtype: BTreeMap<String, String>,
    /// The memory in which records wait for their types, in bytes.
    pub hold_bytes: u64,
}

/// Where batches go: a table of the output, or a test.
pub trait Sink {
    /// # Errors
    /// As [`Output::create_table`].
    fn create(&mut self, schema: &Schema) -> Result<()>;
    /// # Errors
    /// As [`TableWriter::append`].
    fn append(&mut self, batch: &Batch) -> Result<()>;
    /// # Errors
    /// As [`TableWriter::finish`].
    fn finish(&mut self) -> Result<u64>;
}

struct Table {
    output: Output,
    name: String,
    writer: Option<TableWriter>,
}

impl Sink for Table {
    fn create(&mut self, schema: &Schema) -> Result<()> {
        self.writer = Some(self.output.create_table(&self.name, schema)?);
        Ok(())
    }

    fn append(&mut self, batch: &Batch) -> Result<()> {
        self.writer.as_mut().map_or(Ok(()), |writer| writer.append(batch))
    }

    fn finish(&mut self) -> Result<u64> {
        self.writer.take().map_or(Ok(0), TableWriter::finish)
    }
}

/// Takes records and makes a table of them.
pub struct Records<S> {
    sink: S,
    flatten: Option<Flatten>,
    hold_bytes: u64,
    fields: Fields,
    records: u64,
    stage: Stage,
}

enum Stage {
    /// Types may still change.
    Held(Hold),
    /// The table was started.
    Started(Box<Growing>),
}

/// Rows of the batch being built.
struct Growing {
    members: Members,
    rows: usize,
    bytes: usize,
}

impl Records<()> {
    /// Records for the table `name` of `output`. `known` are the types that an earlier run found.
    ///
    /// # Errors
    /// `config`, for a type that does not exist.
    pub fn into_table(
        output: Output,
        name: &str,
        options: &Options,
        known: Option<Kind>,
    ) -> Result<Records<impl Sink>> {
        Records::into_sink(Table { output, name: name.to_owned(), writer: None }, options, known)
    }
}

impl<S: Sink> Records<S> {
    /// Records for a sink of one's own.
    ///
    /// # Errors
    /// `config`, for a type that does not exist.
    pub fn into_sink(sink: S, options: &Options, known: Option<Kind>) -> Result<Self> {
        let mut fields = match known {
            Some(Kind::Struct(fields)) => fields,
            _ => Fields::default(),
        };
        // What was declared and is declared no more is found again.
        fields.kinds_mut().filter(|kind| matches!(kind, Kind::Declared(_))).for_each(|kind| *kind = Kind::Null);
        for (name, kind) in &options.dtype {
            let declared = Declared::parse(kind).map_err(|error| error.context(format_args!("`dtype` of `{name}`")))?;
            *fields.at(name) = Kind::Declared(declared);
        }
        Ok(Self {
            sink,
            flatten: options.flatten.as_deref().map(Flatten::new),
            hold_bytes: options.hold_bytes,
            fields,
            records: 0,
            stage: Stage::Held(Hold::default()),
        })
    }

    /// Takes a record. What is no object becomes one of the single member `value`.
    ///
    /// # Errors
    /// `data`, for a record that does not fit once the table was started, or has too many members.
    pub fn push(&mut self, record: Value) -> Result<()> {
        let record = match record {
            Value::Object(record) => record,
            other => Map::from_iter([("value".to_owned(), other)]),
        };
        let record = match &mut self.flatten {
            Some(flatten) => flatten.apply(record),
            None => record,
        };
        self.records += 1;
        match &mut self.stage {
            Stage::Started(growing) => grow(&mut self.sink, growing, &record, &self.fields, self.records),
            Stage::Held(hold) => {
                record.iter().for_each(|(name, value)| self.fields.at(name).see(value));
                if self.fields.len() > MAX_COLUMNS {
                    return Err(Error::data(format!(
                        "the records have more than {MAX_COLUMNS} columns; `flatten: false` keeps nested objects together"
                    )));
                }
                hold.push(&record)?;
                if hold.size() > self.hold_bytes { self.start() } else { Ok(()) }
            }
        }
    }

    /// How many records were pushed.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Settles the types and gives the sink what was held.
    fn start(&mut self) -> Result<()> {
        let Stage::Held(hold) = &mut self.stage else { return Ok(()) };
        let hold = std::mem::take(hold);
        if let Some(flatten) = &self.flatten {
            self.fields.retain(|name, kind| !(*kind == Kind::Null && flatten.is_parent(name)));
        }
        let mut settled = self.fields.clone();
        settled.kinds_mut().for_each(Kind::settle);
        if settled.is_empty() {
            *settled.at("record") = Kind::Json;
        }
        let mut growing = Box::new(Growing { members: Members::new(&settled), rows: 0, bytes: 0 });
        let (schema, _) = Members::new(&settled).finish();
        self.sink.create(&Schema::new(schema))?;
        let mut number = 0;
        hold.release(|record| {
            number += 1;
            grow(&mut self.sink, &mut growing, &record, &settled, number)
        })?;
        self.fields = settled;
        self.stage = Stage::Started(growing);
        Ok(())
    }

    /// Ends the table; says how many rows it has, and the types for the next run.
    ///
    /// # Errors
    /// As [`push`](Self::push), and what the sink says.
    pub fn finish(mut self) -> Result<(u64, Kind)> {
        // Before they are settled: a column of nothing but nulls may be of any type next time.
        let found = Kind::Struct(self.fields.clone());
        if self.fields.is_empty() {
            context::warn(
                "there are no records, so the table has no columns but `record`; name them under `dtype`",
                &[],
            );
        }
        self.start()?;
        if let Stage::Started(growing) = &mut self.stage {
            send(&mut self.sink, growing, &self.fields)?;
        }
        Ok((self.sink.finish()?, found))
    }
}

fn grow(
    sink: &mut impl Sink,
    growing: &mut Growing,
    record: &Map<String, Value>,
    fields: &Fields,
    number: u64,
) -> Result<()> {
    growing.members.push(record).map_err(|misfit| explain(&misfit, number))?;
    growing.rows += 1;
    growing.bytes += weight(record);
    if growing.rows >= BATCH_ROWS || growing.bytes >= BATCH_BYTES { send(sink, growing, fields) } else { Ok(()) }
}

fn send(sink: &mut impl Sink, growing: &mut Growing, fields: &Fields) -> Result<()> {
    if growing.rows == 0 {
        return Ok(());
    }
    let full = std::mem::replace(growing, Growing { members: Members::new(fields), rows: 0, bytes: 0 });
    let (fields, nodes) = full.members.finish();
    sink.append(&Batch::new(Rc::new(Schema::new(fields)), RawBatch { rows: full.rows as u64, nodes }))
}

/// About how many bytes a record takes in columns.
fn weight(record: &Map<String, Value>) -> usize {
    fn of(value: &Value) -> usize {
        match value {
            Value::String(text) => text.len() + 4,
            Value::Array(items) => 4 + items.iter().map(of).sum::<usize>(),
            Value::Object(members) => members.iter().map(|(name, value)| name.len() + of(value)).sum(),
            _ => 16,
        }
    }
    record.values().map(of).sum()
}

fn explain(misfit: &Misfit, number: u64) -> Error {
    let path = misfit.path.join(".");
    let column = misfit.path.first().map_or("", String::as_str);
    match &misfit.kind {
        Some(kind) => Error::data(format!(
            "record {number} has {} in `{path}`, which does not fit its column's type, {kind}; declare it under `dtype`, \
             such as `{column}: VARCHAR`",
            misfit.found
        )),
        None => Error::data(format!(
            "record {number} has `{path}`, which none of the records before had that the columns were made from; \
             declare it under `dtype`, such as `{column}: JSON`, or raise `hold_mb`"
        )),
    }
}
