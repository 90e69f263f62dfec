//! One file of the table: its layout, and the form in which DuckDB reads its rows.

use input_files::{HEAD_BYTES, InputFile, other_columns};
use osiris_sdk::{Error, Result};

use crate::layout::Layout;
use crate::options::Config;
use crate::rewrite::{self, Rewritten};

/// How many bytes of each file after the first are examined for its layout.
const LATER_HEAD_BYTES: usize = 64 << 10;

/// A file whose rows belong to the table.
pub struct Part {
    pub file: InputFile,
    pub layout: Layout,
    /// For each column of the table, its place in the file; `None` if the file does not have it.
    pub places: Vec<Option<usize>>,
    /// What DuckDB reads: the file as a SQL literal, whether it begins with a header, and the length of its longest row in
    /// bytes, if that is known.
    pub literal: String,
    pub header: bool,
    pub longest: Option<u64>,
    rewritten: Option<Rewritten>,
}

impl Part {
    /// Finds the layout of each file, and the columns of the table.
    ///
    /// # Errors
    /// `data` for a file without a header, and for one whose columns differ unless columns are united by name.
    pub fn all(config: &Config, files: Vec<InputFile>) -> Result<(Vec<Self>, Vec<String>)> {
        let mut parts: Vec<Self> = Vec::with_capacity(files.len());
        for file in files {
            let layout = layout(config, &file, parts.is_empty())?;
            parts.push(Self {
                file,
                layout,
                places: Vec::new(),
                literal: String::new(),
                header: false,
                longest: None,
                rewritten: None,
            });
        }
        let columns = columns(config, &parts)?;
        let lower: Vec<String> = columns.iter().map(|name| name.to_lowercase()).collect();
        for part in &mut parts {
            let own: Vec<String> = part.layout.names.iter().map(|name| name.to_lowercase()).collect();
            part.places = lower.iter().map(|name| own.iter().position(|known| known == name)).collect();
        }
        Ok((parts, columns))
    }

    /// Makes the file readable for DuckDB: as it is, if that is possible by its first rows.
    ///
    /// # Errors
    /// As for [`rewrite::rewrite`] and [`InputFile::sql_literal`].
    pub fn prepare(&mut self, config: &Config) -> Result<()> {
        match self.layout.direct {
            Some(header) => {
                (self.literal, self.header) = (self.file.sql_literal()?, header);
                Ok(())
            }
            None => self.rewrite(config),
        }
    }

    /// Whether DuckDB reads the file as it is.
    pub fn is_direct(&self) -> bool {
        self.rewritten.is_none()
    }

    /// Rewrites the rows line by line: afterwards either they are valid, or the error has been located.
    ///
    /// # Errors
    /// As for [`rewrite::rewrite`].
    pub fn rewrite(&mut self, config: &Config) -> Result<()> {
        let rewritten = rewrite::rewrite(config, &self.layout, &self.file)?;
        (self.literal, self.header, self.longest) = (rewritten.literal(), false, Some(rewritten.longest));
        self.rewritten = Some(rewritten);
        Ok(())
    }
}

fn layout(config: &Config, file: &InputFile, is_first: bool) -> Result<Layout> {
    if !is_first {
        let head = file.first(LATER_HEAD_BYTES)?;
        // A header may be longer.
        if let Ok(layout) = Layout::of(config, file.name(), &head, head.len() < LATER_HEAD_BYTES) {
            return Ok(layout);
        }
    }
    let head = file.head()?;
    if head.is_empty() {
        return Err(Error::data(format!("`{}` is empty: it has not even a header", file.name())));
    }
    Layout::of(config, file.name(), &head, head.len() < HEAD_BYTES)
}

/// The columns of the table: those of the first file, or of all files in the order in which they first appear.
fn columns(config: &Config, parts: &[Part]) -> Result<Vec<String>> {
    let mut columns: Vec<String> = Vec::new();
    let Some((first, rest)) = parts.split_first() else { return Ok(columns) };
    columns.clone_from(&first.layout.names);
    let lower = |names: &[String]| names.iter().map(|name| name.to_lowercase()).collect::<Vec<_>>();
    let mut known = lower(&columns);
    for part in rest {
        let names = &part.layout.names;
        if !config.files.union_by_name {
            if lower(names) != known {
                return Err(other_columns(first.file.name(), &columns, part.file.name(), names));
            }
            continue;
        }
        for (name, lower) in names.iter().zip(lower(names)) {
            if !known.contains(&lower) {
                columns.push(name.clone());
                known.push(lower);
            }
        }
    }
    Ok(columns)
}
