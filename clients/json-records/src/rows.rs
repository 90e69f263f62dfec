//! Rows of known types, written to a table batch by batch.

use std::rc::Rc;

use osiris_sdk::{Batch, Error, Output, RawBatch, Result, Schema, TableWriter, context};

use crate::arrow::Field;
use crate::column::Fault;
use crate::explain::told;
use crate::members::Members;
use crate::text::{Reader, Token};

/// The number of rows after which a batch is written, and the size in bytes of JSON at which it is written earlier.
const BATCH_ROWS: usize = 8192;
const BATCH_BYTES: usize = 8 << 20;

/// The destination of batches: a table of the output, or a test.
pub trait Sink {
    /// # Errors
    /// As for [`Output::create_table`].
    fn create(&mut self, schema: &Schema) -> Result<()>;
    /// # Errors
    /// As for [`TableWriter::append`].
    fn append(&mut self, batch: &Batch) -> Result<()>;
    /// # Errors
    /// As for [`TableWriter::finish`].
    fn finish(&mut self) -> Result<u64>;
    /// Reports a change that was made on the way.
    fn warn(&mut self, message: &str, fields: &[(&str, &dyn std::fmt::Display)]) {
        context::warn(message, fields);
    }
}

/// A table of the output.
pub struct Table {
    output: Output,
    name: String,
    writer: Option<TableWriter>,
}

impl Table {
    pub fn new(output: Output, name: &str) -> Self {
        Self { output, name: name.to_owned(), writer: None }
    }
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

/// The rows of the current batch.
pub struct Rows {
    members: Members,
    bytes: usize,
}

impl Rows {
    /// Creates the table with the columns of `members`.
    ///
    /// # Errors
    /// As for [`Sink::create`].
    pub fn create(mut members: Members, sink: &mut impl Sink) -> Result<Self> {
        let (fields, _) = members.take();
        sink.create(&schema(fields))?;
        Ok(Self { members, bytes: 0 })
    }

    /// Appends a record, which is an object, or null for a row without values. A record that does not fit leaves
    /// nothing behind.
    ///
    /// # Errors
    /// The inner error if the record does not fit, the outer one as for [`Sink::append`].
    pub fn push(&mut self, record: &str, sink: &mut impl Sink) -> Result<Result<(), Fault>> {
        let rows = self.members.rows();
        if let Err(fault) = self.take(record) {
            self.members.truncate(rows);
            return Ok(Err(fault));
        }
        self.bytes += record.len();
        if self.members.rows() >= BATCH_ROWS || self.bytes >= BATCH_BYTES {
            self.send(sink)?;
        }
        Ok(Ok(()))
    }

    fn take(&mut self, record: &str) -> Result<(), Fault> {
        let mut reader = Reader::new(record);
        match reader.token()? {
            Token::Object => self.members.push(&mut reader)?,
            Token::Null => self.members.push_null(),
            _ => return Err(reader.broken("expected an object").into()),
        }
        Ok(reader.end()?)
    }

    fn send(&mut self, sink: &mut impl Sink) -> Result<()> {
        let rows = self.members.rows() as u32;
        if rows == 0 {
            return Ok(());
        }
        self.bytes = 0;
        let (fields, nodes) = self.members.take();
        let nodes = nodes.into_iter().map(Into::into).collect();
        sink.append(&Batch::new(Rc::new(schema(fields)), RawBatch { rows, nodes }))
    }

    /// Finishes the table; returns its number of rows.
    ///
    /// # Errors
    /// As for [`Sink::append`].
    pub fn finish(mut self, sink: &mut impl Sink) -> Result<u64> {
        self.send(sink)?;
        for column in self.members.columns().iter().filter(|column| column.blanks > 0) {
            sink.warn(crate::EMPTY_BECAME_NULL, &[("column", &column.name), ("count", &column.blanks)]);
        }
        sink.finish()
    }
}

fn schema(fields: Vec<Field>) -> Schema {
    Schema::new(fields.into_iter().map(Into::into).collect())
}

/// The error for a record that does not fit; `record` names it, such as `record 3`.
pub fn explain(fault: &Fault, record: &str) -> Error {
    Error::data(told(fault, record, " under `dtype`"))
}
