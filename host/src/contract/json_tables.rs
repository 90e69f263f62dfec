//! The half of `osiris:driver/tables` that passes rows as JSON records.

use wasmtime::component::{ComponentType, Lift, LinkerInstance, Resource};

use super::faults::Fallible;
use super::shared::Slot;
use super::tables::{Input, Output, Tables, link_resource};
use super::{Answer, Error, ErrorKind, State, View, error};
use crate::engine::{FinishedTable, JsonQuery, JsonTable};
use crate::protocol::LogLevel;

/// Rows being read as JSON records.
pub struct JsonReader {
    query: JsonQuery,
    /// `None` after the last record: a closed reader does not count against the limit.
    slot: Option<Slot>,
}

impl JsonReader {
    pub fn new(query: JsonQuery, slot: Slot) -> Self {
        Self { query, slot: Some(slot) }
    }
}

/// A declared column of a table of JSON records.
#[derive(ComponentType, Lift, Clone, Debug)]
#[component(record)]
pub struct Column {
    name: String,
    #[component(name = "duckdb-type")]
    duckdb_type: String,
}

/// A table of JSON records being written, until it is finished.
pub struct JsonWriter {
    name: String,
    open: Option<JsonTable>,
}

impl JsonWriter {
    fn finished(&self) -> Error {
        error(ErrorKind::Internal, format!("table `{}` is finished; nothing may follow", self.name))
    }
}

/// Links the functions and resources.
pub fn link(tables: &mut LinkerInstance<'_, State>, is_disturbed: bool) -> wasmtime::Result<()> {
    link_resource::<JsonReader>(tables, "json-reader")?;
    link_resource::<JsonWriter>(tables, "json-writer")?;
    let mut calls = Fallible::new(tables, "tables", is_disturbed);
    calls.call("[method]input.read-json", |mut store, (input, columns): (Resource<Input>, Vec<String>)| {
        read_input(store.data_mut(), &input, &columns)
    })?;
    calls.stream(
        "[method]json-reader.next",
        || None,
        |mut store, (reader,): (Resource<JsonReader>,)| next_records(store.data_mut(), &reader),
    )?;
    calls.call(
        "[method]output.create-json-table",
        |mut store, (output, name, columns): (Resource<Output>, String, Vec<Column>)| {
            let state = store.data_mut();
            state.handles.get(&output)?;
            create_table(state, name, columns)
        },
    )?;
    calls.call("[method]json-writer.append", |mut store, (writer, records): (Resource<JsonWriter>, String)| {
        append(store.data_mut(), &writer, &records)
    })?;
    calls.call("[method]json-writer.finish", |mut store, (writer,): (Resource<JsonWriter>,)| {
        finish(store.data_mut(), &writer)
    })
}

fn read_input(state: &mut State, input: &Resource<Input>, columns: &[String]) -> Answer<Resource<JsonReader>> {
    let alias = state.handles.get(input)?.alias.clone();
    state.tables().read(&alias, columns, |engine, select, slot| Ok(JsonReader::new(engine.query_json(select)?, slot)))
}

fn next_records(state: &mut State, reader: &Resource<JsonReader>) -> Answer<Option<String>> {
    let reader = state.handles.get_mut(reader)?;
    match reader.query.next_records() {
        Ok(Some((text, rows))) => {
            state.tables.count_rows_out(rows);
            Ok(Ok(Some(text)))
        }
        Ok(None) => {
            reader.slot = None;
            Ok(Ok(None))
        }
        Err(error) => Ok(Err(error.into())),
    }
}

fn create_table(state: &mut State, name: String, columns: Vec<Column>) -> Answer<Resource<JsonWriter>> {
    let View { own: tables, handles } = state.tables();
    if tables.is_shared {
        let message = format!("table `{name}` of JSON records cannot be shared by several instances of a driver");
        return Ok(Err(error(ErrorKind::Internal, message)));
    }
    if let Err(error) = tables.count(&name) {
        return Ok(Err(error));
    }
    let columns: Vec<(String, String)> = columns.into_iter().map(|column| (column.name, column.duckdb_type)).collect();
    match tables.engine.create_json_table(&name, &columns) {
        Ok(table) => {
            tables.unfinished.push(name.clone());
            Ok(Ok(handles.push(JsonWriter { name, open: Some(table) })?))
        }
        Err(error) => Ok(Err(error.into())),
    }
}

fn append(state: &mut State, writer: &Resource<JsonWriter>, records: &str) -> Answer<()> {
    let writer = state.handles.get_mut(writer)?;
    let Some(table) = &mut writer.open else { return Ok(Err(writer.finished())) };
    match table.append(records) {
        Ok(rows) => {
            state.tables.count_rows_in(rows);
            Ok(Ok(()))
        }
        Err(error) => Ok(Err(error.into())),
    }
}

fn finish(state: &mut State, writer: &Resource<JsonWriter>) -> Answer<u64> {
    let writer = state.handles.get_mut(writer)?;
    let Some(table) = writer.open.take() else { return Ok(Err(writer.finished())) };
    match state.tables.engine.finish_json_table(table) {
        Ok(table) => {
            state.tables.unfinished.retain(|unfinished| *unfinished != writer.name);
            state.tables.warn(&table);
            Ok(Ok(table.rows))
        }
        Err(error) => Ok(Err(error.into())),
    }
}

impl Tables {
    /// Warns about what differs from the records.
    fn warn(&self, table: &FinishedTable) {
        let warn = |message: &str, fields: [(&str, String); 2]| {
            let fields = fields.map(|(name, value)| (name.to_owned(), value)).into();
            self.reporter.log(LogLevel::Warn, message.to_owned(), fields);
        };
        for (member, column) in &table.renamed {
            warn(
                "a member's column has another name, because the member's name is empty or another column has it",
                [("member", member.clone()), ("column", column.clone())],
            );
        }
        for (column, count) in &table.blanks {
            warn(json_records::EMPTY_BECAME_NULL, [("column", column.clone()), ("count", count.to_string())]);
        }
    }
}
