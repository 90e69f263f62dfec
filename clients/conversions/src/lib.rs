//! Converts DuckDB values to another system's types. All writers share this table, which is independent of any server.
//!
//! [`verdict`] decides for a pair of types: lossless by type, to be checked by value, or refused. [`check_input`] runs
//! the checks of all columns in one SELECT before the first row is sent, and applies the option `on_loss`. A value
//! *survives* if the target, read back, gives the same value. The rules:
//!
//! | from | into | survives |
//! |---|---|---|
//! | whole numbers | whole numbers, decimals | in range |
//! | | floating point | the nearest float is exactly the number |
//! | DECIMAL | decimals, whole numbers | no digit other than 0 is cut off, and in range |
//! | | floating point | the shortest digits that identify the nearest float are those of the decimal (always true up to 15, or 6, digits) |
//! | DOUBLE, FLOAT | whole numbers | whole and in range |
//! | | decimals | the float nearest to the decimal is the value |
//! | | FLOAT | the nearest FLOAT is exactly the value |
//! | text | lists | as the server parses them; refused if it would round the items |
//! | text | numbers, dates, times, UUIDs | the text has the target's own form, without leading zeros, signs or blanks; trailing zeros of a fraction, `T` between date and time, and omitted seconds are allowed |
//! | | text | if it fits in characters, bytes and character set |
//! | | JSON, enums of a server, ranges and other types | the server's own text input decides |
//! | timestamps | fewer digits of a second, dates | the digits, or the time of day, are zero |
//! | | times | never: the date is lost |
//! | TIMESTAMPTZ | timestamps without a zone, dates, times | never: the zone is lost |
//! | INTERVAL | times | no days, and less than one day; with fewer fields: the truncated part is zero |
//! | TIMETZ | times without an offset | never: the offset is lost |
//! | any scalar | text | as DuckDB or the server prints it |
//! | lists | lists | every item survives |
//!
//! `on_loss: round` writes the nearest value (half away from zero; a time of day, bits and texts are truncated), and
//! still refuses a value that is out of range. `on_loss: null` writes null. Both are counted and reported.

mod check;
mod input;
mod jsonb;
mod moments;
mod numbers;
#[cfg(test)]
mod page;
mod policy;
mod repertoire;
mod source;
mod table;
mod target;
#[cfg(test)]
mod tests;
mod texts;
mod verdict;

pub use check::Check;
pub use input::{Column, Conversion, check_input, first_null, input_columns, key_of_rows};
pub use jsonb::loss as jsonb_loss;
pub use policy::{LossPolicy, OnLoss};
pub use repertoire::{characters, check_characters};
pub use source::SourceType;
pub use table::{Row, sources, table, targets};
pub use target::{Blanks, Characters, IntervalPart, Range, TargetType, Text};
pub use verdict::{Verdict, verdict};
