//! `osiris:driver/sql`: one SELECT pushed down into DuckDB.

use wasmtime::component::Resource;

use super::bindings::osiris::driver::sql::Host;
use super::tables::{Output, Reader};
use super::{Answer, State};

impl Host for State {
    fn create_table(&mut self, output: Resource<Output>, name: String, select: String) -> Answer<u64> {
        self.handles.get(&output)?;
        if let Err(error) = self.count_table(&name) {
            return Ok(Err(error));
        }
        Ok(self.engine.create_table_as(&name, &select).map_err(Into::into))
    }

    fn query(&mut self, select: String) -> Answer<Resource<Reader>> {
        self.open_reader(|engine| engine.query(&select).map_err(Into::into))
    }
}
