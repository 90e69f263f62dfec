//! `osiris:driver/sql`: one SELECT pushed down into DuckDB.

use wasmtime::component::Resource;

use super::bindings::osiris::driver::sql::Host;
use super::tables::{Output, Reader};
use super::{Answer, State};

impl Host for State {
    fn create_table(&mut self, output: Resource<Output>, name: String, select: String) -> Answer<u64> {
        self.handles.get(&output)?;
        Ok(self.engine.create_table_as(&name, &select).map_err(Into::into))
    }

    fn query(&mut self, select: String) -> Answer<Resource<Reader>> {
        match self.engine.query(&select) {
            Ok(query) => Ok(Ok(self.handles.push(Reader::new(query))?)),
            Err(error) => Ok(Err(error.into())),
        }
    }
}
