//! Converts JSON records to a table of typed columns, whose types are those of all records together.
//!
//! Records are [pushed](Records::push) as they arrive, page by page. They are held, compressed, until all have been
//! seen, so that a late page can add a column or widen one. Once a bound is reached, the table is started with the
//! types found so far and the rest is written at once; from then on a record that does not fit ends the step, with an
//! error that shows how to declare its field. So memory stays flat for any number of records.

mod arrow;
mod column;
mod column_names;
mod declared;
mod explain;
mod flatten;
#[cfg(feature = "driver")]
mod hold;
mod kind;
mod members;
mod moment;
#[cfg(feature = "driver")]
mod nulls;
mod number;
#[cfg(feature = "driver")]
mod page;
#[cfg(feature = "driver")]
pub mod path;
#[cfg(feature = "driver")]
mod records;
#[cfg(feature = "driver")]
mod rows;
#[cfg(all(test, feature = "driver"))]
mod tests;
mod text;
mod value;

/// The warning about texts that became null in a declared column.
pub const EMPTY_BECAME_NULL: &str =
    "texts without a character became null, because their column is declared as a type other than VARCHAR";

pub use arrow::{Field, Node};
pub use column::{Fault, Misfit};
pub use column_names::column_names;
pub use declared::{Type, UnknownType};
pub use explain::told;
pub use kind::{Fields, Kind, Style};
pub use members::{MAX_COLUMNS, Member, Members};
pub use moment::timestamp;
#[cfg(feature = "driver")]
pub use nulls::{NullRecords, Nulls};
#[cfg(feature = "driver")]
pub use page::{Page, RecordsPath};
#[cfg(feature = "driver")]
pub use path::Path;
#[cfg(feature = "driver")]
pub use records::{Options, Records};
#[cfg(feature = "driver")]
pub use rows::{Rows, Sink, Table, explain};
pub use text::{Broken, Reader, Token};
