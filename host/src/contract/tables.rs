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
use super::shared::{Shared, Slot, Slots};
use super::{Answer, DriverCall, Error, ErrorKind, State, View, error};
use crate::channel::reporter::Reporter;
use crate::columns::{self, Field, InNode};
use crate::engine::{self, Engine, Query, quote_name};

/// The step's tables: its inputs and its output.
pub struct Tables {
    pub engine: Arc<Engine>,
    reporter: Reporter,
    inputs: Vec<Input>,
    /// Whether other instances write to the same tables.
    is_shared: bool,
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
        let inputs = call.job.inputs.iter().map(|input| &input.alias).map(input).collect::<Result<_, _>>();
        Ok(Self {
            engine: Arc::clone(call.engine),
            reporter: call.reporter.clone(),
            inputs: inputs.context("cannot count the step's inputs")?,
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
    /// `denied` if the limit is reached.
    pub fn count(&mut self, name: &str) -> Result<(), Error> {
        let Some(place) = self.places.take() else {
            let most = self.places.most();
            let message = format!("table `{name}` is one more than the {most} that a step may create");
            return Err(error(ErrorKind::Denied, message));
        };
        self.taken.push(place);
        Ok(())
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
    pub fn open_reader(&mut self, query: impl FnOnce(&Engine) -> Result<Query, Error>) -> Answer<Resource<Reader>> {
        let Some(slot) = self.own.readers.take() else {
            let most = self.own.readers.most();
            let message = format!("the driver has {most} readers open, as many as it may; drop one first");
            return Ok(Err(error(ErrorKind::Denied, message)));
        };
        match query(&self.own.engine) {
            Ok(query) => Ok(Ok(self.handles.push(Reader { query, _slot: slot })?)),
            Err(error) => Ok(Err(error)),
        }
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
    _slot: Slot,
}

/// The step's output.
pub struct Output;

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
    rows: u64,
    nodes: Vec<OutNode>,
}

#[derive(ComponentType, Lower)]
#[component(record)]
struct OutNode {
    length: u64,
    #[component(name = "null-count")]
    null_count: u64,
    buffers: Vec<Bytes>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct InBatch {
    rows: u64,
    nodes: Vec<GuestNode>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct GuestNode {
    length: u64,
    #[component(name = "null-count")]
    null_count: u64,
    buffers: Vec<WasmList<u8>>,
}

/// Links the interface.
pub fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut tables = linker.instance("osiris:driver/tables@0.1.0")?;
    link_input(&mut tables)?;
    link_reader(&mut tables)?;
    link_output(&mut tables)?;
    link_table_writer(&mut tables)
}

type Call<'a> = StoreContextMut<'a, State>;

fn link_input(tables: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    tables.resource("input", ResourceType::host::<Input>(), |mut store, handle| {
        store.data_mut().handles.delete(Resource::<Input>::new_own(handle))?;
        Ok(())
    })?;
    tables.func_wrap("[method]input.alias", |store: Call<'_>, (input,): (Resource<Input>,)| {
        Ok((store.data().handles.get(&input)?.alias.clone(),))
    })?;
    tables.func_wrap("[method]input.sql-name", |store: Call<'_>, (input,): (Resource<Input>,)| {
        Ok((quote_name(&store.data().handles.get(&input)?.alias),))
    })?;
    tables.func_wrap("[method]input.rows", |store: Call<'_>, (input,): (Resource<Input>,)| {
        Ok((store.data().handles.get(&input)?.rows,))
    })?;
    tables.func_wrap("[method]input.schema", |store: Call<'_>, (input,): (Resource<Input>,)| {
        Ok((input_schema(store.data(), &input)?,))
    })?;
    tables.func_wrap(
        "[method]input.read",
        |mut store: Call<'_>, (input, columns): (Resource<Input>, Option<Vec<String>>)| {
            Ok((read_input(store.data_mut(), &input, columns.as_deref())?,))
        },
    )
}

fn input_schema(state: &State, input: &Resource<Input>) -> Answer<Schema> {
    let alias = quote_name(&state.handles.get(input)?.alias);
    Ok(state.tables.engine.schema(&format!("FROM {alias}")).map(|fields| wire_schema(&fields)).map_err(Error::from))
}

fn read_input(state: &mut State, input: &Resource<Input>, columns: Option<&[String]>) -> Answer<Resource<Reader>> {
    let alias = state.handles.get(input)?.alias.clone();
    let wanted = match columns {
        None => "*".to_owned(),
        Some([]) => return Ok(Err(error(ErrorKind::Data, format!("no columns of input `{alias}` are asked for")))),
        Some(names) => names.iter().map(|name| quote_name(name)).collect::<Vec<_>>().join(", "),
    };
    let select = format!("SELECT {wanted} FROM {}", quote_name(&alias));
    state.tables().open_reader(|engine| {
        engine.query(&select).map_err(|cause| missing_column(engine, &alias, columns).unwrap_or_else(|| cause.into()))
    })
}

/// Reports which of the requested columns the input lacks, and which it has.
fn missing_column(engine: &Engine, alias: &str, columns: Option<&[String]>) -> Option<Error> {
    let known = engine.column_names(&format!("FROM {}", quote_name(alias))).ok()?;
    let missing = columns?.iter().find(|name| !known.iter().any(|column| column.eq_ignore_ascii_case(name)))?;
    let known = crate::error::listed(known.iter().map(String::as_str));
    Some(error(ErrorKind::NotFound, format!("input `{alias}` has no column `{missing}`; its columns: {known}")))
}

fn link_reader(tables: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    tables.resource("reader", ResourceType::host::<Reader>(), |mut store, handle| {
        store.data_mut().handles.delete(Resource::<Reader>::new_own(handle))?;
        Ok(())
    })?;
    tables.func_wrap("[method]reader.schema", |store: Call<'_>, (reader,): (Resource<Reader>,)| {
        Ok((wire_schema(&store.data().handles.get(&reader)?.query.fields),))
    })?;
    tables.func_wrap("[method]reader.next", |mut store: Call<'_>, (reader,): (Resource<Reader>,)| {
        Ok((next_batch(store.data_mut(), &reader)?,))
    })
}

fn next_batch(state: &mut State, reader: &Resource<Reader>) -> Answer<Option<OutBatch>> {
    let batch = match state.handles.get_mut(reader)?.query.next_batch() {
        Ok(Some(batch)) => batch,
        Ok(None) => return Ok(Ok(None)),
        Err(error) => return Ok(Err(error.into())),
    };
    let rows = batch.len() as u64;
    let tables = &mut state.tables;
    tables.rows_out += rows;
    let total: u64 = tables.inputs.iter().map(|input| input.rows).sum();
    tables.reporter.progress(tables.rows_out, (total >= tables.rows_out).then_some(total));
    Ok(columns::flatten_batch(&batch)
        .map(|nodes| {
            let nodes = nodes
                .into_iter()
                .map(|node| OutNode { length: node.length, null_count: node.null_count, buffers: node.buffers })
                .collect();
            Some(OutBatch { rows, nodes })
        })
        .map_err(|refused| error(ErrorKind::Internal, refused.0)))
}

fn link_output(tables: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    tables.resource("output", ResourceType::host::<Output>(), |mut store, handle| {
        store.data_mut().handles.delete(Resource::<Output>::new_own(handle))?;
        Ok(())
    })?;
    tables.func_wrap(
        "[method]output.create-table",
        |mut store: Call<'_>, (output, name, schema): (Resource<Output>, String, Schema)| {
            let state = store.data_mut();
            state.handles.get(&output)?;
            Ok((create_table(state, name, schema)?,))
        },
    )
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

fn link_table_writer(tables: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    tables.resource("table-writer", ResourceType::host::<TableWriter>(), |mut store, handle| {
        store.data_mut().handles.delete(Resource::<TableWriter>::new_own(handle))?;
        Ok(())
    })?;
    tables.func_wrap(
        "[method]table-writer.append",
        |mut store: Call<'_>, (writer, batch): (Resource<TableWriter>, InBatch)| {
            Ok((append(&mut store, &writer, &batch)?,))
        },
    )?;
    tables.func_wrap("[method]table-writer.finish", |mut store: Call<'_>, (writer,): (Resource<TableWriter>,)| {
        Ok((finish(store.data_mut(), &writer)?,))
    })
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
            null_count: node.null_count,
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
    let tables = &mut state.tables;
    if tables.rows_out == 0 {
        // The progress of a driver that reads no table is what it has written.
        tables.rows_in += batch.len() as u64;
        tables.reporter.progress(tables.rows_in, None);
    }
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
