//! `osiris:driver/tables` for a driver that runs natively.

use std::collections::VecDeque;

use super::{Content, Error, ErrorKind, Map, RefCell, Rows, Table, Value, demand, error, with};
use crate::bindings::osiris::driver::arrow::{Batch, Schema};
pub use crate::bindings::osiris::driver::tables::{Column, Types};
use crate::testing::values;

#[derive(Debug)]
pub struct Input {
    pub(in crate::testing) alias: String,
    pub(in crate::testing) rows: Rows,
}

impl Input {
    pub fn alias(&self) -> String {
        self.alias.clone()
    }

    pub fn sql_name(&self) -> String {
        duckdb_text::quote_name(&self.alias)
    }

    pub fn rows(&self) -> u64 {
        self.rows.rows.len() as u64
    }

    pub fn schema(&self, _: Types) -> Result<Schema, Error> {
        Ok(self.rows.batches(&[])?.0)
    }

    pub fn read(&self, columns: &[String], _: Types) -> Result<Reader, Error> {
        Reader::new(&self.rows, columns)
    }

    pub fn read_json(&self, columns: &[String]) -> Result<JsonReader, Error> {
        JsonReader::new(&self.rows, columns)
    }
}

#[derive(Debug)]
pub struct Reader {
    schema: Schema,
    batches: RefCell<VecDeque<Batch>>,
}

impl Reader {
    pub(super) fn new(rows: &Rows, columns: &[String]) -> Result<Self, Error> {
        let (schema, batches) = rows.batches(columns)?;
        Ok(Self { schema, batches: RefCell::new(batches.into()) })
    }

    pub fn schema(&self) -> Schema {
        self.schema.clone()
    }

    pub fn next(&self) -> Result<Option<Batch>, Error> {
        Ok(self.batches.borrow_mut().pop_front())
    }
}

#[derive(Debug)]
pub struct JsonReader(RefCell<VecDeque<String>>);

impl JsonReader {
    pub(super) fn new(rows: &Rows, columns: &[String]) -> Result<Self, Error> {
        Ok(Self(RefCell::new(rows.texts(columns)?.into())))
    }

    pub fn next(&self) -> Result<Option<String>, Error> {
        Ok(self.0.borrow_mut().pop_front())
    }
}

#[derive(Debug)]
pub struct Output(pub(in crate::testing) ());

impl Output {
    pub fn create_table(&self, name: &str, schema: &Schema) -> Result<TableWriter, Error> {
        create(name, Content::Columns { fields: schema.fields.clone(), batches: Vec::new() })?;
        Ok(TableWriter(name.to_owned()))
    }

    pub fn create_json_table(&self, name: &str, columns: &[Column]) -> Result<JsonWriter, Error> {
        let declared = columns.iter().map(|column| (column.name.clone(), column.duckdb_type.clone())).collect();
        create(name, Content::Records { declared, records: Vec::new() })?;
        Ok(JsonWriter(name.to_owned()))
    }
}

pub(super) fn create(name: &str, content: Content) -> Result<(), Error> {
    demand("create a table", |host| {
        if host.tables.contains_key(name) {
            return Err(error(ErrorKind::Data, format!("table `{name}` exists already")));
        }
        host.tables.insert(name.to_owned(), Table { content, finished: false });
        Ok(())
    })?
}

pub(super) fn finish(name: &str) -> Result<u64, Error> {
    let count = |table: &mut Table| {
        table.finished = true;
        match &table.content {
            Content::Columns { batches, .. } => batches.iter().map(|batch| u64::from(batch.rows)).sum(),
            Content::Records { records, .. } => records.len() as u64,
        }
    };
    let rows = with(|host| host.tables.get_mut(name).map(count)).flatten();
    rows.ok_or_else(|| error(ErrorKind::Internal, format!("there is no table `{name}`")))
}

#[derive(Debug)]
pub struct TableWriter(String);

impl TableWriter {
    pub fn append(&self, batch: &Batch) -> Result<(), Error> {
        demand("append rows", |host| {
            let Some(Table { content: Content::Columns { fields, batches }, finished: false }) =
                host.tables.get_mut(&self.0)
            else {
                return Err(error(ErrorKind::Internal, format!("table `{}` is finished", self.0)));
            };
            // Reading it is the check: the host refuses what cannot be read.
            values::rows(fields, batch).map_err(|what| {
                error(ErrorKind::Data, format!("a batch for table `{}` is malformed: {what}", self.0))
            })?;
            batches.push(batch.clone());
            Ok(())
        })?
    }

    pub fn finish(&self) -> Result<u64, Error> {
        finish(&self.0)
    }
}

#[derive(Debug)]
pub struct JsonWriter(String);

impl JsonWriter {
    pub fn append(&self, text: &str) -> Result<(), Error> {
        let found: Result<Vec<Map<String, Value>>, _> = serde_json::Deserializer::from_str(text).into_iter().collect();
        let found = found
            .map_err(|cause| error(ErrorKind::Data, format!("table `{}`: a record is malformed: {cause}", self.0)))?;
        demand("append records", |host| match host.tables.get_mut(&self.0) {
            Some(Table { content: Content::Records { records, .. }, finished: false }) => {
                records.extend(found);
                Ok(())
            }
            _ => Err(error(ErrorKind::Internal, format!("table `{}` is finished", self.0))),
        })?
    }

    pub fn finish(&self) -> Result<u64, Error> {
        match with(|host| host.tables.get(&self.0).and_then(misfit)).flatten() {
            Some(misfit) => Err(error(ErrorKind::Data, format!("table `{}`, {misfit}", self.0))),
            None => finish(&self.0),
        }
    }
}

/// The first value that its declared type does not have.
fn misfit(table: &Table) -> Option<String> {
    let Content::Records { declared, records } = &table.content else { return None };
    declared.iter().find_map(|(name, text)| {
        let kind = duckdb_text::DuckdbType::parse(text).ok()?;
        let numbered = (1..).zip(records.iter().map(|record| record.get(name).unwrap_or(&Value::Null)));
        let (number, value) = numbered.into_iter().find(|(_, value)| values::cannot_be(&kind, value))?;
        Some(format!("record {number}: `{name}` is {value}, which is no {text}"))
    })
}
