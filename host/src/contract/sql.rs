//! `osiris:driver/sql`: one SELECT pushed down into DuckDB.

use wasmtime::component::Resource;

use super::bindings::osiris::driver::sql::Host;
use super::tables::{JsonReader, Output, Reader, Tables, Types};
use super::{Answer, View};

impl Host for View<'_, Tables> {
    fn create_table(&mut self, output: Resource<Output>, name: String, select: String) -> Answer<u64> {
        self.handles.get(&output)?;
        if let Err(error) = self.own.count(&name) {
            return Ok(Err(error));
        }
        Ok(self.own.engine.create_table_as(&name, &select).map_err(Into::into))
    }

    fn query(&mut self, select: String, types: Types) -> Answer<Resource<Reader>> {
        self.open_reader(|engine, slot| Ok(Reader::new(engine.query(&select, types.into())?, slot)))
    }

    fn query_json(&mut self, select: String) -> Answer<Resource<JsonReader>> {
        self.open_reader(|engine, slot| Ok(JsonReader::new(engine.query_json(&select)?, slot)))
    }
}
