//! The step's tables: inputs and readers, output and table writers.

use std::rc::Rc;

use crate::bindings::osiris::driver::tables as raw;
use crate::{Array, Batch, Error, Result, Schema};

/// One input of the step, read-only.
#[derive(Debug)]
pub struct Input(raw::Input);

impl From<raw::Input> for Input {
    fn from(input: raw::Input) -> Self {
        Self(input)
    }
}

impl Input {
    /// The input's name in the pipeline.
    pub fn alias(&self) -> String {
        self.0.alias()
    }

    /// The input's name in SQL, quoted.
    pub fn sql_name(&self) -> String {
        self.0.sql_name()
    }

    /// The number of rows of the input.
    pub fn rows(&self) -> u64 {
        self.0.rows()
    }

    /// The input's columns.
    ///
    /// # Errors
    /// `data` for a column of a type that cannot cross.
    pub fn schema(&self) -> Result<Schema> {
        Ok(Schema::new(self.0.schema()?.fields))
    }

    /// Reads all columns.
    ///
    /// # Errors
    /// As for [`Input::schema`].
    pub fn read(&self) -> Result<Reader> {
        Ok(self.0.read(None)?.into())
    }

    /// Reads the named columns, in that order.
    ///
    /// # Errors
    /// `not-found`, naming the alternatives, for a column that does not exist.
    pub fn read_columns(&self, columns: &[&str]) -> Result<Reader> {
        let columns: Vec<String> = columns.iter().map(|&name| name.to_owned()).collect();
        Ok(self.0.read(Some(&columns))?.into())
    }
}

/// Rows being read, batch by batch.
#[derive(Debug)]
pub struct Reader {
    raw: raw::Reader,
    schema: Rc<Schema>,
}

impl From<raw::Reader> for Reader {
    fn from(raw: raw::Reader) -> Self {
        let schema = Rc::new(Schema::new(raw.schema().fields));
        Self { raw, schema }
    }
}

impl Reader {
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The next rows, or `None` after the last.
    ///
    /// # Errors
    /// `data` if a computed value does not fit its type.
    pub fn next_batch(&mut self) -> Result<Option<Batch>> {
        Ok(self.raw.next()?.map(|batch| Batch::new(Rc::clone(&self.schema), batch)))
    }
}

impl Iterator for Reader {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_batch().transpose()
    }
}

/// The step's output.
#[derive(Debug)]
pub struct Output(raw::Output);

impl From<raw::Output> for Output {
    fn from(output: raw::Output) -> Self {
        Self(output)
    }
}

impl Output {
    /// Creates a table and opens it for writing. Name it `main` unless the step has several.
    ///
    /// # Errors
    /// `data` for an invalid name or schema.
    pub fn create_table(&self, name: &str, schema: &Schema) -> Result<TableWriter> {
        let schema = crate::bindings::osiris::driver::arrow::Schema { fields: schema.fields().to_vec() };
        Ok(TableWriter { raw: self.0.create_table(name, &schema)? })
    }

    /// Creates a table from complete columns.
    ///
    /// # Errors
    /// `internal` for columns of unequal length; `data` as for [`Output::create_table`].
    pub fn write_columns(&self, name: &str, columns: Vec<(&str, Array)>) -> Result<u64> {
        let batch = Batch::from_columns(columns)?;
        let mut writer = self.create_table(name, batch.schema())?;
        if batch.rows() > 0 {
            writer.append(&batch)?;
        }
        writer.finish()
    }

    pub(crate) fn raw(&self) -> &raw::Output {
        &self.0
    }
}

/// A table of the output being written. If [`TableWriter::finish`] is not called, the step fails.
#[derive(Debug)]
pub struct TableWriter {
    raw: raw::TableWriter,
}

impl TableWriter {
    /// Appends rows with the columns that the table was created with.
    ///
    /// # Errors
    /// `data` if the host finds the batch malformed; none of it is kept.
    pub fn append(&mut self, batch: &Batch) -> Result<()> {
        Ok(self.raw.append(batch.raw())?)
    }

    /// Finishes the table; returns its number of rows.
    ///
    /// # Errors
    /// `data` if the rows cannot be stored.
    pub fn finish(self) -> Result<u64> {
        self.raw.finish().map_err(Error::from)
    }
}
