//! Converts JSON records to a table of typed columns, whose types are those of all records together.
//!
//! Records are [pushed](Records::push) as they arrive, page by page. They are held, compressed, until all have been
//! seen, so that a late page can add a column or widen one. Once a bound is reached, the table is started with the
//! types found so far and the rest is written at once; from then on a record that does not fit ends the step, with an
//! error that shows how to declare its field. So memory stays flat for any number of records.

mod column;
mod declared;
mod flatten;
mod hold;
mod kind;
mod members;
mod moment;
mod nulls;
mod number;
mod page;
pub mod path;
mod records;
mod rows;
#[cfg(test)]
mod tests;
mod text;
mod value;

pub use column::{Fault, Misfit};
pub use declared::Type;
pub use kind::{Fields, Kind, Style};
pub use members::{Member, Members};
pub use moment::timestamp;
pub use nulls::{NullRecords, Nulls};
pub use page::{Page, RecordsPath};
pub use path::Path;
pub use records::{MAX_COLUMNS, Options, Records};
pub use rows::{Rows, Sink, Table, explain};
pub use text::{Broken, Reader, Token};
