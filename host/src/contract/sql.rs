//! `osiris:driver/sql`: one SELECT pushed down into DuckDB.

use wasmtime::component::Resource;

use super::bindings::osiris::driver::sql::Host;
use super::tables::{Output, Reader, Tables};
use super::{Answer, View};

impl Host for View<'_, Tables> {
    fn create_table(&mut self, output: Resource<Output>, name: String, select: String) -> Answer<u64> {
        self.handles.get(&output)?;
        if let Err(error) = self.own.count(&name) {
            return Ok(Err(error));
        }
        Ok(self.own.engine.create_table_as(&name, &select).map_err(Into::into))
    }

    fn query(&mut self, select: String) -> Answer<Resource<Reader>> {
        self.open_reader(|engine| engine.query(&select).map_err(Into::into))
    }
}
