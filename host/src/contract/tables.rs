//! `osiris:driver/tables`: handles to a step's inputs and output, and columns through them.
//!
//! Linked by hand because of the two calls that move data: a batch goes out as the buffers that DuckDB made (`Bytes`)
//! with one copy into the guest's memory, and comes in as views of that memory (`WasmList`) with one copy into checked,
//! aligned buffers.

use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, LinkerInstance, Lower, Resource, ResourceType, WasmList};

use super::bindings::osiris::driver::arrow::{Field as WireField, Schema};
use super::faults::Fallible;
pub use super::json_tables::JsonReader;
use super::rejects::Rejects;
use super::shared::{Shared, Slot, Slots};
use super::{Answer, DriverCall, Error, ErrorKind, State, View, coded, error, json_tables};
use crate::channel::reporter::Reporter;
use crate::columns::{self, Field, InNode};
use crate::driver::spec::interface;
use crate::engine::{self, Engine, EngineError, Query, quote_name};
use crate::protocol::REJECTED;

/// The step's tables: its inputs and its output.
pub struct Tables {
    pub engine: Arc<Engine>,
    pub reporter: Reporter,
    inputs: Vec<Input>,
    rejects: Arc<Rejects>,
    /// Whether other instances write to the same tables.
    pub is_shared: bool,
    readers: Slots,
    places: Slots,
    /// The slots of the tables that were created.
    pub taken: Vec<Slot>,
    /// Tables that this instance created.
    created: Vec<String>,
    /// Tables that were created but not finished.
    pub unfinished: Vec<String>,
    /// Rows that went to the guest as columns.
    pub rows_out: u64,
    /// Rows that came from the guest as columns, while none went to it.
    rows_in: u64,
}

impl Tables {
    /// The tables of one instance.
    ///
    /// # Errors
    /// If the rows of an input cannot be counted.
    pub fn new(call: &DriverCall<'_>, shared: &Shared) -> anyhow::Result<Self> {
        let input = |alias: &String| anyhow::Ok(Input { alias: alias.clone(), rows: call.engine.input_rows(alias)? });
        let inputs = call.job.files.inputs.iter().filter(|input| !input.is_reference);
        let inputs = inputs.map(|input| &input.alias).map(input).collect::<Result<_, _>>();
        Ok(Self {
            engine: Arc::clone(call.engine),
            reporter: call.reporter.clone(),
            inputs: inputs.context("cannot count the step's inputs")?,
            rejects: Arc::clone(&shared.rejects),
            is_shared: call.job.instances > 1,
            readers: shared.readers.clone(),
            places: shared.tables.clone(),
            taken: Vec::new(),
            created: Vec::new(),
            unfinished: Vec::new(),
            rows_out: 0,
            rows_in: 0,
        })
    }

    /// Counts a table that the driver creates, unless the step has reached its limit of tables.
    ///
    /// # Errors
    /// `limit` if it is reached; `config` if the table is the host's own.
    pub fn count(&mut self, name: &str) -> Result<(), Error> {
        if self.rejects.allowed() > 0 && name.eq_ignore_ascii_case(REJECTED) {
            let message = format!("table `{name}` cannot be created: it has the step's rejected rows");
            return Err(error(ErrorKind::Config, message));
        }
        let Some(place) = self.places.take() else {
            let most = self.places.most();
            let message = format!("table `{name}` is one more than the {most} that a step may create");
            return Err(coded(ErrorKind::Limit, "tables", message));
        };
        self.taken.push(place);
        Ok(())
    }

    /// Counts rows that go to the guest, and reports the progress.
    pub fn count_rows_out(&mut self, rows: u64) {
        self.rows_out += rows;
        let total: u64 = self.inputs.iter().map(|input| input.rows).sum();
        self.reporter.progress(self.rows_out, (total >= self.rows_out).then_some(total));
    }

    /// Counts rows that come from the guest. The progress of a driver that reads no table is what it has written.
    pub fn count_rows_in(&mut self, rows: u64) {
        if self.rows_out == 0 {
            self.rows_in += rows;
            self.reporter.progress(self.rows_in, None);
        }
    }
}

impl View<'_, Tables> {
    /// Adds the step's inputs to the handle table, for the call of the driver's export.
    pub fn input_handles(&mut self) -> wasmtime::Result<Vec<Resource<Input>>> {
        self.own.inputs.iter().map(|input| Ok(self.handles.push(input.clone())?)).collect()
    }

    /// Adds the step's output to the handle table.
    pub fn output_handle(&mut self) -> wasmtime::Result<Resource<Output>> {
        Ok(self.handles.push(Output)?)
    }

    /// Opens a reader, unless the step has reached its limit of open readers.
    pub fn open_reader<R: Send + 'static>(
        &mut self,
        open: impl FnOnce(&Engine, Slot) -> Result<R, Error>,
    ) -> Answer<Resource<R>> {
        let Some(slot) = self.own.readers.take() else {
            let most = self.own.readers.most();
            let message =
                format!("the driver has {most} readers open, as many as it may; read one to its end or drop it first");
            return Ok(Err(coded(ErrorKind::Limit, "readers", message)));
        };
        match open(&self.own.engine, slot) {
            Ok(reader) => Ok(Ok(self.handles.push(reader)?)),
            Err(error) => Ok(Err(error)),
        }
    }

    /// Opens a reader of some columns of an input, or of all for an empty list.
    pub fn read<R: Send + 'static>(
        &mut self,
        alias: &str,
        columns: &[String],
        open: impl FnOnce(&Engine, &str, Slot) -> Result<R, EngineError>,
    ) -> Answer<Resource<R>> {
        let names: Vec<String> = columns.iter().map(|name| quote_name(name)).collect();
        let wanted = if names.is_empty() { "*".to_owned() } else { names.join(", ") };
        let select = format!("SELECT {wanted} FROM {}", quote_name(alias));
        self.open_reader(|engine, slot| {
            let missing = |cause: EngineError| missing_column(engine, alias, columns).unwrap_or_else(|| cause.into());
            open(engine, &select, slot).map_err(missing)
        })
    }
}

/// One input of the step.
#[derive(Clone)]
pub struct Input {
    pub alias: String,
    pub rows: u64,
}

/// Rows being read.
pub struct Reader {
    query: Query,
    /// `None` after the last row: a closed reader does not count against the limit.
    slot: Option<Slot>,
}

impl Reader {
    pub fn new(query: Query, slot: Slot) -> Self {
        Self { query, slot: Some(slot) }
    }
}

/// The step's output.
pub struct Output;

/// The types of a reader's columns.
#[derive(ComponentType, Lift, Lower, Clone, Copy, PartialEq, Eq, Debug)]
#[component(enum)]
#[repr(u8)]
pub enum Types {
    #[component(name = "exact")]
    Exact,
    #[component(name = "plain")]
    Plain,
}

impl From<Types> for engine::Types {
    fn from(types: Types) -> Self {
        match types {
            Types::Exact => Self::Exact,
            Types::Plain => Self::Plain,
        }
    }
}

/// A table being written, until it is finished. The handle outlives it: a freed entry of the handle table could pass to
/// another resource while the guest still has the number.
pub struct TableWriter {
    name: String,
    open: Option<engine::TableWriter>,
}

impl TableWriter {
    fn finished(&self) -> Error {
        error(ErrorKind::Internal, format!("table `{}` is finished; nothing may follow", self.name))
    }
}

#[derive(ComponentType, Lower)]
#[component(record)]
struct OutBatch {
    rows: u32,
    nodes: Vec<OutNode>,
}

#[derive(ComponentType, Lower)]
#[component(record)]
struct OutNode {
    length: u32,
    buffers: Vec<Bytes>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct InBatch {
    rows: u32,
    nodes: Vec<GuestNode>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct GuestNode {
    length: u32,
    buffers: Vec<WasmList<u8>>,
}

/// Links the interface.
pub fn link(linker: &mut Linker<State>, is_disturbed: bool) -> wasmtime::Result<()> {
    let mut tables = linker.instance(&interface("tables"))?;
    link_resources(&mut tables)?;
    link_facts(&mut tables)?;
    let mut calls = Fallible::new(&mut tables, "tables", is_disturbed);
    link_calls(&mut calls)?;
    json_tables::link(&mut tables, is_disturbed)
}

pub(super) type Call<'a> = StoreContextMut<'a, State>;

/// Links what frees the guest's handles.
fn link_resources(tables: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    link_resource::<Input>(tables, "input")?;
    link_resource::<Reader>(tables, "reader")?;
    link_resource::<Output>(tables, "output")?;
    link_resource::<TableWriter>(tables, "table-writer")
}

pub(super) fn link_resource<R: Send + 'static>(
    tables: &mut LinkerInstance<'_, State>,
    name: &str,
) -> wasmtime::Result<()> {
    tables.resource(name, ResourceType::host::<R>(), |mut store, handle| {
        store.data_mut().handles.delete(Resource::<R>::new_own(handle))?;
        Ok(())
    })
}

/// Links the functions that cannot fail.
fn link_facts(tables: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    tables.func_wrap("[method]input.alias", |store: Call<'_>, (input,): (Resource<Input>,)| {
        Ok((store.data().handles.get(&input)?.alias.clone(),))
    })?;
    tables.func_wrap("[method]input.sql-name", |store: Call<'_>, (input,): (Resource<Input>,)| {
        Ok((quote_name(&store.data().handles.get(&input)?.alias),))
    })?;
    tables.func_wrap("[method]input.rows", |store: Call<'_>, (input,): (Resource<Input>,)| {
        Ok((store.data().handles.get(&input)?.rows,))
    })?;
    tables.func_wrap("[method]reader.schema", |store: Call<'_>, (reader,): (Resource<Reader>,)| {
        Ok((wire_schema(&store.data().handles.get(&reader)?.query.fields),))
    })
}

fn link_calls(tables: &mut Fallible<'_, '_>) -> wasmtime::Result<()> {
    tables.call("[method]input.schema", |store, (input, types): (Resource<Input>, Types)| {
        input_schema(store.data(), &input, types)
    })?;
    tables.call(
        "[method]input.read",
        |mut store, (input, columns, types): (Resource<Input>, Vec<String>, Types)| {
            read_input(store.data_mut(), &input, &columns, types)
        },
    )?;
    tables.stream(
        "[method]reader.next",
        || None,
        |mut store, (reader,): (Resource<Reader>,)| next_batch(store.data_mut(), &reader),
    )?;
    tables.call(
        "[method]output.create-table",
        |mut store, (output, name, schema): (Resource<Output>, String, Schema)| {
            let state = store.data_mut();
            state.handles.get(&output)?;
            create_table(state, name, schema)
        },
    )?;
    tables.call("[method]table-writer.append", |mut store, (writer, batch): (Resource<TableWriter>, InBatch)| {
        append(&mut store, &writer, &batch)
    })?;
    tables.call("[method]table-writer.finish", |mut store, (writer,): (Resource<TableWriter>,)| {
        finish(store.data_mut(), &writer)
    })
}

fn input_schema(state: &State, input: &Resource<Input>, types: Types) -> Answer<Schema> {
    let alias = quote_name(&state.handles.get(input)?.alias);
    let schema = state.tables.engine.schema(&format!("FROM {alias}"), types.into());
    Ok(schema.map(|fields| wire_schema(&fields)).map_err(Error::from))
}

fn read_input(
    state: &mut State,
    input: &Resource<Input>,
    columns: &[String],
    types: Types,
) -> Answer<Resource<Reader>> {
    let alias = state.handles.get(input)?.alias.clone();
    state
        .tables()
        .read(&alias, columns, |engine, select, slot| Ok(Reader::new(engine.query(select, types.into())?, slot)))
}

/// Reports which of the requested columns the input lacks, and which it has.
fn missing_column(engine: &Engine, alias: &str, columns: &[String]) -> Option<Error> {
    let known = engine.column_names(&format!("FROM {}", quote_name(alias))).ok()?;
    let missing = columns.iter().find(|name| !known.iter().any(|column| column.eq_ignore_ascii_case(name)))?;
    let known = crate::error::listed(known.iter().map(String::as_str));
    Some(error(ErrorKind::NotFound, format!("input `{alias}` has no column `{missing}`; its columns: {known}")))
}

fn next_batch(state: &mut State, reader: &Resource<Reader>) -> Answer<Option<OutBatch>> {
    let batch = match state.handles.get_mut(reader)?.query.next_batch() {
        Ok(Some(batch)) => batch,
        Ok(None) => {
            state.handles.get_mut(reader)?.slot = None;
            return Ok(Ok(None));
        }
        Err(error) => return Ok(Err(error.into())),
    };
    state.tables.count_rows_out(batch.len() as u64);
    let booleans = &state.handles.get(reader)?.query.booleans;
    let nodes = columns::flatten_batch(&batch).map(|mut nodes| {
        columns::pack_booleans(&mut nodes, booleans);
        nodes
    });
    let rows = u32::try_from(batch.len()).map_err(wasmtime::Error::from)?;
    let wire = |node: columns::OutNode| OutNode { length: node.length, buffers: node.buffers };
    Ok(nodes
        .map(|nodes| Some(OutBatch { rows, nodes: nodes.into_iter().map(wire).collect() }))
        .map_err(|refused| error(ErrorKind::Internal, refused.0)))
}

fn create_table(state: &mut State, name: String, schema: Schema) -> Answer<Resource<TableWriter>> {
    let fields: Vec<Field> = schema.fields.into_iter().map(own_field).collect();
    let View { own: tables, handles } = state.tables();
    if let Err(error) = tables.count(&name) {
        return Ok(Err(error));
    }
    // Another instance may have created it, but this one may do so only once.
    let joins = tables.is_shared && !tables.created.contains(&name);
    match tables.engine.create_table(&name, &fields, joins) {
        Ok(writer) => {
            tables.created.push(name.clone());
            tables.unfinished.push(name.clone());
            Ok(Ok(handles.push(TableWriter { name, open: Some(writer) })?))
        }
        Err(error) => Ok(Err(error.into())),
    }
}

fn finish(state: &mut State, writer: &Resource<TableWriter>) -> Answer<u64> {
    let writer = state.handles.get_mut(writer)?;
    let Some(open) = writer.open.take() else { return Ok(Err(writer.finished())) };
    let outcome = open.finish();
    if outcome.is_ok() {
        state.tables.unfinished.retain(|unfinished| *unfinished != writer.name);
    }
    Ok(outcome.map_err(Error::from))
}

fn append(store: &mut Call<'_>, writer: &Resource<TableWriter>, batch: &InBatch) -> Answer<()> {
    let nodes: Vec<InNode<'_>> = batch
        .nodes
        .iter()
        .map(|node| InNode {
            length: node.length,
            buffers: node.buffers.iter().map(|buffer| buffer.as_le_slice(&*store)).collect(),
        })
        .collect();
    let target = store.data().handles.get(writer)?;
    let Some(open) = &target.open else { return Ok(Err(target.finished())) };
    let name = &target.name;
    let checked = open
        .check(batch.rows, &nodes)
        .map_err(|refused| error(ErrorKind::Data, format!("a batch for table `{name}` is malformed: {refused}")));
    drop(nodes);
    let batch = match checked {
        Ok(batch) => batch,
        Err(error) => return Ok(Err(error)),
    };
    let state = store.data_mut();
    state.tables.count_rows_in(batch.len() as u64);
    let target = state.handles.get_mut(writer)?;
    match &mut target.open {
        Some(open) => Ok(open.append(&batch).map_err(Error::from)),
        None => Ok(Err(target.finished())),
    }
}

fn wire_schema(fields: &[Field]) -> Schema {
    let fields = fields
        .iter()
        .map(|field| WireField {
            name: field.name.clone(),
            format: field.format.clone(),
            nullable: field.nullable,
            children: field.children,
            metadata: field.metadata.clone(),
        })
        .collect();
    Schema { fields }
}

fn own_field(field: WireField) -> Field {
    Field {
        name: field.name,
        format: field.format,
        nullable: field.nullable,
        children: field.children,
        metadata: field.metadata,
    }
}

/// `bindgen!` expects these names for an interface that is linked by hand; `link` does their work.
pub trait Host {}
impl<T: ?Sized> Host for T {}
pub trait HostWithStore<T> {}
impl<S: ?Sized, T> HostWithStore<T> for S {}
pub fn add_to_linker<T, D: wasmtime::component::HasData>(
    _linker: &mut Linker<T>,
    _state: fn(&mut T) -> D::Data<'_>,
) -> wasmtime::Result<()> {
    Ok(())
}
