//! The step's tables: inputs and readers, output and table writers.

use std::cell::RefCell;
use std::rc::Rc;

use serde::Serialize;

use crate::host::tables as raw;
use crate::{Array, Batch, Error, Result, Schema};
use serde::de::DeserializeOwned;

pub use raw::Types;

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

    /// The input's columns, as [`Input::read`] gives them.
    ///
    /// # Errors
    /// `data` for a column of a type that cannot cross.
    pub fn schema(&self) -> Result<Schema> {
        Ok(Schema::new(self.0.schema(Types::Exact)?.fields))
    }

    /// Reads all columns.
    ///
    /// # Errors
    /// As for [`Input::schema`].
    pub fn read(&self) -> Result<Reader> {
        self.read_as(&[], Types::Exact)
    }

    /// Reads all columns in batches, of which there is at least one: for an input without rows it has the columns and no row,
    /// so that a table made of it has its columns.
    ///
    /// # Errors
    /// As for [`Input::schema`].
    pub fn batches(&self) -> Result<Batches> {
        Ok(Batches { reader: self.read()?, has_begun: false })
    }

    /// Reads the named columns, in that order; all of them for an empty list.
    ///
    /// # Errors
    /// `not-found`, naming the alternatives, for a column that does not exist.
    pub fn read_columns(&self, columns: &[&str]) -> Result<Reader> {
        self.read_as(columns, Types::Exact)
    }

    /// As for [`Input::read_columns`], with exact or [`Types::Plain`] types.
    ///
    /// # Errors
    /// As for [`Input::read_columns`].
    pub fn read_as(&self, columns: &[&str], types: Types) -> Result<Reader> {
        Ok(self.0.read(&owned(columns), types)?.into())
    }

    /// Reads the rows as values of a type, by the names of its members; numbers keep all their digits. For columns of types
    /// that JSON lacks there are [`Date`](crate::Date), [`Instant`](crate::Instant) and others.
    ///
    /// # Errors
    /// As for [`Input::read_columns`].
    pub fn rows_as<R: DeserializeOwned>(&self) -> Result<RowReader<R>> {
        Ok(self.read_json(&[])?.rows_as())
    }

    /// Reads the named columns, or all of them, as JSON records.
    ///
    /// # Errors
    /// As for [`Input::read_columns`].
    pub fn read_json(&self, columns: &[&str]) -> Result<JsonReader> {
        Ok(self.0.read_json(&owned(columns))?.into())
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
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

/// Batches being read, at least one.
#[derive(Debug)]
pub struct Batches {
    reader: Reader,
    has_begun: bool,
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.reader.next_batch().transpose();
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        next.or_else(|| is_first.then(|| Ok(Batch::empty(Rc::clone(&self.reader.schema)))))
    }
}

impl Iterator for Reader {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_batch().transpose()
    }
}

/// Rows being read as JSON records: texts of one or more JSON objects, each on a line of its own.
#[derive(Debug)]
pub struct JsonReader(raw::JsonReader);

impl From<raw::JsonReader> for JsonReader {
    fn from(reader: raw::JsonReader) -> Self {
        Self(reader)
    }
}

impl Iterator for JsonReader {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map_err(Error::from).transpose()
    }
}

impl JsonReader {
    /// The records as values of a type.
    pub fn rows_as<R: DeserializeOwned>(self) -> RowReader<R> {
        RowReader { texts: self, rows: Vec::new().into_iter() }
    }
}

/// Rows being read as values of a type.
#[derive(Debug)]
pub struct RowReader<R> {
    texts: JsonReader,
    rows: std::vec::IntoIter<R>,
}

impl<R: DeserializeOwned> RowReader<R> {
    fn next_rows(&mut self) -> Result<Option<R>> {
        loop {
            if let Some(row) = self.rows.next() {
                return Ok(Some(row));
            }
            let Some(text) = self.texts.next().transpose()? else { return Ok(None) };
            let rows: serde_json::Result<Vec<R>> = serde_json::Deserializer::from_str(&text).into_iter().collect();
            self.rows = rows.map_err(|error| Error::data(format!("a row has another shape: {error}")))?.into_iter();
        }
    }
}

/// `data` for a row that has another shape.
impl<R: DeserializeOwned> Iterator for RowReader<R> {
    type Item = Result<R>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_rows().transpose()
    }
}

/// The step's output.
#[derive(Debug)]
pub struct Output {
    raw: raw::Output,
    /// The tables that [`Output::append`] writes, each with its columns.
    open: OpenTables,
}

/// Tables that are finished once the driver has returned.
#[derive(Debug, Clone, Default)]
pub(crate) struct OpenTables(Rc<RefCell<Vec<(String, Schema, TableWriter)>>>);

impl OpenTables {
    pub(crate) fn finish(&self) -> Result<()> {
        self.0.take().into_iter().try_for_each(|(_, _, table)| table.finish().map(drop))
    }
}

impl From<raw::Output> for Output {
    fn from(output: raw::Output) -> Self {
        Self { raw: output, open: OpenTables::default() }
    }
}

impl Output {
    /// Creates a table and opens it for writing. Name it `main` unless the step has several.
    ///
    /// # Errors
    /// `data` for an invalid name or schema.
    pub fn create_table(&self, name: &str, schema: &Schema) -> Result<TableWriter> {
        let schema = crate::bindings::osiris::driver::arrow::Schema { fields: schema.fields().to_vec() };
        Ok(TableWriter { raw: self.raw.create_table(name, &schema)? })
    }

    /// Creates a table of JSON records. `columns` are names with DuckDB types; the types of all other members are decided
    /// over all records.
    ///
    /// # Errors
    /// `data` for a name that a table cannot have; `config` for a type that a column cannot be declared as.
    pub fn create_json_table(&self, name: &str, columns: &[(&str, &str)]) -> Result<JsonWriter> {
        let column = |&(name, kind): &(&str, &str)| raw::Column { name: name.to_owned(), duckdb_type: kind.to_owned() };
        let columns: Vec<raw::Column> = columns.iter().map(column).collect();
        Ok(JsonWriter { raw: self.raw.create_json_table(name, &columns)?, pending: Vec::new() })
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

    /// Appends a batch to a table, which the first batch creates. It is finished when the driver returns without an error.
    ///
    /// # Errors
    /// `data` as for [`Output::create_table`], and for a batch with other columns than the first.
    pub fn append(&self, table: &str, batch: &Batch) -> Result<()> {
        let mut open = self.open.0.borrow_mut();
        let place = match open.iter().position(|(name, ..)| name == table) {
            Some(place) => place,
            None => {
                open.push((table.to_owned(), batch.schema().clone(), self.create_table(table, batch.schema())?));
                open.len() - 1
            }
        };
        let (_, schema, writer) = &mut open[place];
        if !schema.is_like(batch.schema()) {
            return Err(Error::data(format!("a batch for table `{table}` has other columns than the first one")));
        }
        if batch.rows() == 0 { Ok(()) } else { writer.append(batch) }
    }

    /// The tables of [`Output::append`].
    pub(crate) fn open_tables(&self) -> OpenTables {
        self.open.clone()
    }

    /// Creates a table of rows, whose columns are the members of their type: a `struct` that derives `Serialize` and
    /// [`JsonSchema`](crate::schemars::JsonSchema). Numbers, texts, `bool`, [`Date`](crate::Date),
    /// [`Instant`](crate::Instant), [`Decimal`](crate::Decimal) and others, `Option`, `Vec` and structs have the DuckDB type
    /// that fits; the host decides that of a `serde_json::Value` over all rows.
    ///
    /// # Errors
    /// As for [`Output::create_json_table`].
    #[cfg(feature = "schema")]
    pub fn create_rows<R: Serialize + schemars::JsonSchema>(&self, name: &str) -> Result<RowWriter<R>> {
        let columns = crate::schema::columns::<R>();
        let columns: Vec<(&str, &str)> = columns.iter().map(|(name, kind)| (name.as_str(), kind.as_str())).collect();
        Ok(RowWriter { records: self.create_json_table(name, &columns)?, rows: std::marker::PhantomData })
    }

    /// Creates a table from rows; returns their number. See [`Output::create_rows`].
    ///
    /// # Errors
    /// As for [`RowWriter::push`] and [`RowWriter::finish`].
    #[cfg(feature = "schema")]
    pub fn write_rows<R: Serialize + schemars::JsonSchema>(
        &self,
        name: &str,
        rows: impl IntoIterator<Item = R>,
    ) -> Result<u64> {
        let mut table = self.create_rows(name)?;
        rows.into_iter().try_for_each(|row| table.push(&row))?;
        table.finish()
    }

    pub(crate) fn raw(&self) -> &raw::Output {
        &self.raw
    }
}

/// The size at which collected records are passed to the host, in bytes.
const PENDING_BYTES: usize = 1 << 20;

/// A table of JSON records being written. If [`JsonWriter::finish`] is not called, the step fails.
#[derive(Debug)]
pub struct JsonWriter {
    raw: raw::JsonWriter,
    pending: Vec<u8>,
}

impl JsonWriter {
    /// Appends a record: anything that serialises to a JSON object.
    ///
    /// # Errors
    /// `data` if it is not an object, or if the records before it are malformed.
    pub fn write(&mut self, record: &impl Serialize) -> Result<()> {
        let before = self.pending.len();
        if let Err(error) = serde_json::to_writer(&mut self.pending, record) {
            // A part of a record would spoil those around it.
            self.pending.truncate(before);
            return Err(error.into());
        }
        self.end()
    }

    /// Appends records as JSON text: objects, or arrays of them, separated by white space.
    ///
    /// # Errors
    /// `data` for any other text.
    pub fn append(&mut self, records: &str) -> Result<()> {
        self.pending.extend_from_slice(records.as_bytes());
        self.end()
    }

    /// Ends a record, and passes the collected ones to the host if there are enough.
    fn end(&mut self) -> Result<()> {
        self.pending.push(b'\n');
        if self.pending.len() < PENDING_BYTES { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<()> {
        let text = std::str::from_utf8(&self.pending).map_err(|_| Error::internal("the records are not UTF-8"))?;
        if !text.is_empty() {
            self.raw.append(text)?;
        }
        self.pending.clear();
        Ok(())
    }

    /// Decides the types and writes the table; returns its number of rows.
    ///
    /// # Errors
    /// `data` if a value does not fit its declared type; the message names the record and the member.
    pub fn finish(mut self) -> Result<u64> {
        self.flush()?;
        Ok(self.raw.finish()?)
    }
}

/// A table of rows of a type being written. If [`RowWriter::finish`] is not called, the step fails.
#[cfg(feature = "schema")]
#[derive(Debug)]
pub struct RowWriter<R> {
    records: JsonWriter,
    rows: std::marker::PhantomData<fn(R)>,
}

#[cfg(feature = "schema")]
impl<R: Serialize> RowWriter<R> {
    /// Appends a row.
    ///
    /// # Errors
    /// `data` for a value that JSON cannot represent.
    pub fn push(&mut self, row: &R) -> Result<()> {
        self.records.write(row)
    }

    /// Appends rows.
    ///
    /// # Errors
    /// As for [`push`](Self::push).
    pub fn extend<'a>(&mut self, rows: impl IntoIterator<Item = &'a R>) -> Result<()>
    where
        R: 'a,
    {
        rows.into_iter().try_for_each(|row| self.push(row))
    }

    /// Finishes the table; returns its number of rows.
    ///
    /// # Errors
    /// As for [`JsonWriter::finish`].
    pub fn finish(self) -> Result<u64> {
        self.records.finish()
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
