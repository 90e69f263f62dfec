//! Shows that the contract alone, without the SDK, is enough to pass a table through a Rust guest.

use exports::osiris::driver::transform::{Error, Guest, Input, Output};
use osiris::driver::tables::Types;

wit_bindgen::generate!({ path: "../../../wit", world: "processor" });

struct PassThrough;

impl Guest for PassThrough {
    fn run(inputs: Vec<Input>, output: Output) -> Result<(), Error> {
        for (position, input) in inputs.iter().enumerate() {
            let reader = input.read(&[], Types::Exact)?;
            let writer = output.create_table(&table_name(position, input), &reader.schema())?;
            while let Some(batch) = reader.next()? {
                writer.append(&batch)?;
            }
            writer.finish()?;
        }
        Ok(())
    }
}

/// The first input fills `main`; each further one fills a table named after its alias.
fn table_name(position: usize, input: &Input) -> String {
    if position == 0 { "main".to_owned() } else { input.alias() }
}

#[expect(unsafe_code, reason = "what `export!` declares: the functions that the host calls")]
mod exported {
    use super::PassThrough;

    super::export!(PassThrough with_types_in super);
}
