//! What every attack uses: the raw bindings, and functions to build batches.

use serde::Deserialize;

wit_bindgen::generate!({ path: "../../../wit", world: "processor", pub_export_macro: true });

pub use exports::osiris::driver::transform::{Error, Guest, Input, Output};
pub use osiris::driver::arrow::{Batch, Field, Node, Schema};
pub use osiris::driver::errors::ErrorKind;
pub use osiris::driver::tables::{Column as JsonColumn, Reader, Types};
pub use osiris::driver::{context, files, secrets, sql};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub attack: String,
    #[serde(default)]
    pub sql: String,
    #[serde(default, rename = "file")]
    _file: String,
}

/// The inputs, the output and the config of an attack.
pub struct Step<'a> {
    pub inputs: &'a [Input],
    pub output: &'a Output,
    pub config: Config,
}

/// Success means that the attacker succeeded.
pub type Outcome = Result<(), String>;

pub fn told(error: Error) -> String {
    error.message
}

pub fn field(name: &str, format: &str, children: u32) -> Field {
    Field { name: name.to_owned(), format: format.to_owned(), nullable: true, children, metadata: Vec::new() }
}

/// A schema of one column.
pub fn column(format: &str) -> Schema {
    Schema { fields: vec![field("c", format, 0)] }
}

pub fn node(length: u32, buffers: Vec<Vec<u8>>) -> Node {
    Node { length, buffers }
}

/// A batch of one column.
pub fn batch(rows: u32, length: u32, buffers: Vec<Vec<u8>>) -> Batch {
    Batch { rows, nodes: vec![node(length, buffers)] }
}

pub fn offsets(values: &[i32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Writes a table of one batch. A refusal by the host is returned as the end of the attack; traps end it anyway.
pub fn append(step: &Step, schema: &Schema, batch: &Batch) -> Outcome {
    let writer = step.output.create_table("main", schema).map_err(told)?;
    writer.append(batch).map_err(told)?;
    writer.finish().map(drop).map_err(told)
}

pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |triple: u32, place: u32| char::from(DIGITS[(triple >> (18 - 6 * place)) as usize & 63]);
    bytes
        .chunks(3)
        .flat_map(|chunk| {
            let triple =
                chunk.iter().enumerate().fold(0, |sum, (place, byte)| sum | u32::from(*byte) << (16 - 8 * place));
            (0..=chunk.len() as u32).map(move |place| digit(triple, place))
        })
        .collect()
}
