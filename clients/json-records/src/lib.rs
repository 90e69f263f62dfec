//! JSON records to a table of typed columns, whose types are those of all records together.
//!
//! Records are [pushed](Records::push) as they come, page by page. They are held, compressed, until all were seen,
//! so that a late page can add a column or widen one. Beyond a bound the table is started with the types found so
//! far and the rest goes through at once; from then on a record that does not fit ends the step and says how to
//! declare its field. So memory stays flat whatever the number of records.

mod column;
mod declared;
mod flatten;
mod hold;
mod kind;
pub mod path;
mod records;
#[cfg(test)]
mod tests;

pub use declared::{Declared, timestamp};
pub use kind::Kind;
pub use path::Path;
pub use records::{Options, Records, Sink};
