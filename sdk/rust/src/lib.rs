//! Write an Osiris driver in Rust: implement one trait, export it, build for `wasm32-wasip2`.
//!
//! ```ignore
//! use osiris_sdk::{Inputs, Output, Processor, Result, sql};
//!
//! #[derive(serde::Deserialize)]
//! struct Config { limit: u64 }
//!
//! struct Head;
//!
//! impl Processor for Head {
//!     type Config = Config;
//!     fn transform(config: Config, inputs: Inputs, output: Output) -> Result<()> {
//!         let input = inputs.only()?;
//!         sql::create_table(&output, "main", &format!("from {} limit {}", input.sql_name(), config.limit))?;
//!         Ok(())
//!     }
//! }
//!
//! osiris_sdk::export!(Head: processor);
//! ```
//!
//! Three ways to move data, fastest first: [`sql`] (nothing crosses the boundary), columns ([`Input::batches`], [`Array`],
//! [`Output::append`]), and rows ([`Input::rows_as`], [`Output::write_rows`], [`Output::create_json_table`]).
//!
//! Unit tests run a driver natively, against the host of `testing`. The README explains the rest.

mod array;
#[cfg(feature = "arrow")]
mod arrow;
mod batch;
pub mod bindings;
pub mod context;
pub mod databases;
mod driver;
mod error;
pub mod files;
mod host;
#[cfg(feature = "http")]
pub mod http;
mod rows;
#[cfg(feature = "schema")]
pub mod schema;
pub mod sql;
pub mod state;
mod tables;
pub mod tcp;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
mod types;

pub use array::{Array, Builder, ListBuilder, StructBuilder, Value};
pub use batch::{Batch, Booleans, Column, Lists, Primitive, Schema, Strings};
pub use bindings::osiris::driver::arrow::{Batch as RawBatch, Field, Node};
pub use bindings::osiris::driver::catalog::{Column as CatalogColumn, Table as CatalogTable};
pub use bindings::osiris::driver::errors::ErrorKind;
pub use driver::{Check, Discovery, Extractor, Inputs, Processor, Writer};
#[doc(hidden)]
pub use driver::{check, discover, extract, load, transform};
pub use duckdb_text::{DuckdbType, Names, calendar};
pub use error::{Error, Result};
pub use rows::{FromCell, Row};
#[cfg(feature = "schema")]
pub use schemars;
pub use serde;
pub use serde_json;
#[cfg(feature = "schema")]
pub use tables::RowWriter;
pub use tables::{Batches, Input, JsonReader, JsonWriter, Output, Reader, RowReader, TableWriter, Types};
pub use types::{Blob, Date, Decimal, Instant, Time, Timestamp, Uuid};
