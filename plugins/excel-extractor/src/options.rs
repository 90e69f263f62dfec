//! The driver's options.

use std::collections::BTreeMap;

use input_files::FileOptions;
use osiris_sdk::{Error, Result};
use serde::Deserialize;

use crate::place::Area;
use crate::workbook::SheetChoice;

#[derive(Debug, Clone, Deserialize)]
pub struct Config {
    #[serde(flatten)]
    pub files: FileOptions,
    pub sheet: Option<SheetChoice>,
    range: Option<String>,
    pub header: Header,
    pub columns: Option<Vec<String>>,
    pub dtype: BTreeMap<String, String>,
    pub on_error_cell: OnErrorCell,
    pub fill_merged: bool,
    pub skip_blank_rows: bool,
}

/// The option `header`: whether the first row has the names of the columns, or the number of the row that has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Header {
    Wanted(bool),
    Row(u32),
}

/// The option `on_error_cell`: what to do with a cell such as `#N/A`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnErrorCell {
    Error,
    Blank,
}

impl Config {
    /// The cells that are read.
    ///
    /// # Errors
    /// `config` for a range that is malformed, or does not have the row of the header.
    pub fn area(&self) -> Result<Area> {
        let mut area = self.range.as_deref().map_or(Ok(Area::WHOLE), Area::parse)?;
        if let Header::Row(row) = self.header {
            if !area.has_row(row) {
                return Err(Error::config(format!(
                    "`header: {row}` is outside of `range`; rows are numbered as in the sheet"
                )));
            }
            area.rows.0 = row;
        }
        Ok(area)
    }
}
