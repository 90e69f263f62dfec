//! The options of a driver that reads files: which files, and which columns their paths become.

use serde::Deserialize;

use crate::{FileName, OnChangedFile, PathOptions, Paths, SelectionOptions};

/// The options that all such drivers have; flatten them into the driver's own.
#[derive(Debug, Clone, Deserialize)]
pub struct FileOptions {
    pub path: Paths,
    pub union_by_name: bool,
    pub filename: FileName,
    pub hive_partitioning: bool,
    pub new_files_only: bool,
    pub on_changed_file: OnChangedFile,
    pub limit: Option<u64>,
}

impl FileOptions {
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
    pub fn path_columns(&self) -> PathOptions<'_> {
        PathOptions {
            filename: &self.filename,
            hive_partitioning: self.hive_partitioning,
            union_by_name: self.union_by_name,
        }
    }
}
