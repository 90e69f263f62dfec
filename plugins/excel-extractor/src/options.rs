//! The driver's options.

use std::collections::BTreeMap;

use input_files::{FileName, OnChangedFile, PathOptions, Paths, SelectionOptions};
use osiris_sdk::{Error, Result};
use serde::Deserialize;

use crate::place::Area;
use crate::workbook::SheetChoice;

#[derive(Debug, Clone, Deserialize)]
pub struct Config {
    pub path: Paths,
    pub sheet: Option<SheetChoice>,
    range: Option<String>,
    pub header: Header,
    pub columns: Option<Vec<String>>,
    pub dtype: BTreeMap<String, String>,
    pub on_error_cell: OnErrorCell,
    pub fill_merged: bool,
    pub skip_blank_rows: bool,
    pub limit: Option<u64>,
    pub union_by_name: bool,
    pub filename: FileName,
    pub hive_partitioning: bool,
    pub new_files_only: bool,
    pub on_changed_file: OnChangedFile,
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

    /// Which files are read.
    pub fn selection(&self) -> SelectionOptions<'_> {
        SelectionOptions {
            path: &self.path,
            new_files_only: self.new_files_only,
            on_changed_file: self.on_changed_file,
            limit: self.limit,
        }
    }

    /// Which columns are made of the files' paths.
    pub fn path_options(&self) -> PathOptions<'_> {
        PathOptions {
            filename: &self.filename,
            hive_partitioning: self.hive_partitioning,
            union_by_name: self.union_by_name,
        }
    }
}
