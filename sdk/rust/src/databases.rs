//! The tables of DuckDB files that the step was granted, by the paths in its config. The driver's spec must request
//! `databases`.

use crate::host::databases as raw;
use crate::{CatalogTable, Result};

pub use raw::{Delivery, Mode, Obsolete};

/// The tables in the file, by schema and name, without its views.
///
/// # Errors
/// `denied` for a file that was not granted.
pub fn tables(path: &str) -> Result<Vec<CatalogTable>> {
    Ok(raw::tables(path)?)
}

/// Makes the tables of the file available to SELECTs under their own names, and returns them.
///
/// # Errors
/// As for [`tables`], and `data` if a table has the name of another one that the step reads.
pub fn open(path: &str) -> Result<Vec<CatalogTable>> {
    Ok(raw::open(path)?)
}

/// Writes rows into a table of a file that the step may update; returns how many.
///
/// # Errors
/// `not-found` if the schema does not exist, `data` if the table refuses a row.
pub fn deliver(path: &str, delivery: &Delivery) -> Result<u64> {
    Ok(raw::deliver(path, delivery)?)
}

/// Deletes the rows that the new ones supersede, and writes the new ones as [`deliver`] does with [`Mode::Append`].
///
/// # Errors
/// As for [`deliver`].
pub fn supersede(path: &str, delivery: &Delivery, obsolete: &Obsolete) -> Result<u64> {
    Ok(raw::supersede(path, delivery, obsolete)?)
}
