//! The DuckDB files whose tables a step may read or update.

use serde::{Deserialize, Serialize};

use super::capability::{Capability, SpecRequest, StepGrant};
use super::files::{Access, FileTemplate, FileWish, allowed_files, places};
use super::grant::GrantRequest;
use super::template::Template;
use crate::error::Report;

/// Reading and updating the tables of DuckDB files. A step never gets the file itself: a file to update is a copy, which
/// replaces the file once the step has succeeded.
pub struct Databases;

/// The DuckDB files that a spec asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WantedDatabases {
    /// Files whose tables are read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub read: Vec<FileTemplate>,
    /// Files whose tables are read and written; a missing one is created.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub update: Vec<FileTemplate>,
}

impl WantedDatabases {
    /// The templates of all files.
    pub fn files(&self) -> impl Iterator<Item = &FileTemplate> {
        self.read.iter().chain(&self.update)
    }

    pub fn is_empty(&self) -> bool {
        self.read.is_empty() && self.update.is_empty()
    }
}

impl SpecRequest for WantedDatabases {
    fn templates(&self) -> Vec<&Template> {
        self.files().map(FileTemplate::template).collect()
    }
}

/// The DuckDB files that a step may use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct GrantedDatabases {
    pub read: Vec<FileWish>,
    pub update: Vec<FileWish>,
}

impl GrantedDatabases {
    /// The names of all files.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.read.iter().chain(&self.update).map(|file| file.name.clone())
    }
}

impl StepGrant for GrantedDatabases {
    fn is_given(&self) -> bool {
        !self.read.is_empty() || !self.update.is_empty()
    }
}

impl Capability for Databases {
    type Wanted = WantedDatabases;
    type Granted = GrantedDatabases;
    const IMPORTS: &'static [&'static str] = &["osiris:driver/databases"];

    fn wanted_words(wanted: &WantedDatabases) -> Vec<String> {
        let words = |verb: &str, files: &[FileTemplate]| -> Vec<String> {
            let words = |file: &FileTemplate| {
                format!("{verb} the DuckDB file `{}`", crate::untrusted::line(file.template().text()))
            };
            files.iter().map(words).collect()
        };
        [words("read", &wanted.read), words("update", &wanted.update)].concat()
    }

    fn grant(wanted: &WantedDatabases, request: &GrantRequest<'_>) -> Result<GrantedDatabases, Report> {
        // The present file is read before it is replaced.
        allowed_files(request, Access::Read, &wanted.update)?;
        Ok(GrantedDatabases {
            read: allowed_files(request, Access::Read, &wanted.read)?,
            update: allowed_files(request, Access::Write, &wanted.update)?,
        })
    }

    fn words(granted: &GrantedDatabases, _note: &dyn Fn(&str) -> &'static str) -> Vec<String> {
        [places("read the DuckDB file", &granted.read), places("update the DuckDB file", &granted.update)].concat()
    }
}
