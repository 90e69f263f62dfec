//! `osiris:driver/files`: folders of partitions, which a driver writes with one `copy`.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use super::{Error, ErrorKind, error};
use crate::engine::{Engine, Partitioning, written_partitions};
use crate::protocol::partitions::{Index, MAX_KEYS, PartitionFile, Replace};

/// The options of COPY that are about partitions, apart from those of DuckDB's writer for the format.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct PartitionOptions {
    partitioning: Partitioning,
    replace: Replace,
    /// The rest.
    pub others: Vec<(String, String)>,
}

impl PartitionOptions {
    /// # Errors
    /// `config`, if one has no value that it may have.
    pub fn of(options: Vec<(String, String)>) -> Result<Self, Error> {
        let mut own = Self::default();
        for (name, value) in options {
            match (name.to_lowercase().as_str(), value.as_str()) {
                ("partition_by", _) => own.partitioning.keys.push(value),
                ("write_partition_columns", "true") => own.partitioning.keeps_keys = true,
                ("write_partition_columns", "false") => own.partitioning.keeps_keys = false,
                ("replace", "partitions") => own.replace = Replace::Partitions,
                ("replace", "all") => own.replace = Replace::All,
                ("write_partition_columns" | "replace", _) => {
                    return Err(error(ErrorKind::Config, format!("the COPY option `{name}` cannot be `{value}`")));
                }
                _ => own.others.push((name, value)),
            }
        }
        match own.partitioning.keys.len() {
            0 => Err(error(ErrorKind::Config, "the granted folder is written with the COPY option `partition_by`")),
            1..=MAX_KEYS => Ok(own),
            _ => Err(error(ErrorKind::Config, format!("a folder is partitioned by at most {MAX_KEYS} columns"))),
        }
    }

    /// Writes the rows of one SELECT as partitions, and these into the one file that stands for the folder; returns the number of
    /// rows.
    pub fn copy(&self, engine: &Engine, select: &str, format: &str, file: &mut File) -> Result<u64, Copied> {
        let (folder, rows) = engine
            .copy_partitions(select, &self.partitioning, format, &self.others)
            .map_err(|error| Copied::Engine(error.into()))?;
        pack(&folder, self.replace, file).map_err(Copied::Io)?;
        Ok(rows)
    }
}

/// Why partitions could not be written.
#[derive(Debug)]
pub enum Copied {
    Engine(Error),
    Io(io::Error),
}

/// Moves the files of a folder into one file.
#[expect(clippy::disallowed_methods, reason = "opens what DuckDB has just written to the step's own folder")]
fn pack(folder: &Path, replace: Replace, file: &mut File) -> io::Result<()> {
    let written = written_partitions(folder)?;
    let listed = written.iter().map(|one| PartitionFile {
        folders: one.folders.clone(),
        name: one.name.clone(),
        bytes: one.bytes,
    });
    Index { replace, files: listed.collect() }.write(file)?;
    for one in &written {
        let copied = io::copy(&mut File::open(&one.path)?, file)?;
        if copied != one.bytes {
            return Err(io::Error::other("a file changed while it was read"));
        }
        // The space is needed for what follows.
        std::fs::remove_file(&one.path)?;
    }
    file.flush()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parsed(options: &[(&str, &str)]) -> Result<PartitionOptions, Error> {
        PartitionOptions::of(options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn options_about_partitions_are_taken_out() {
        let options = parsed(&[
            ("compression", "zstd"),
            ("PARTITION_BY", "y"),
            ("partition_by", "m"),
            ("replace", "all"),
            ("write_partition_columns", "true"),
        ]);
        let options = options.unwrap();
        assert_eq!(options.partitioning, Partitioning { keys: vec!["y".to_owned(), "m".to_owned()], keeps_keys: true });
        assert_eq!((options.replace, options.others.len()), (Replace::All, 1));
    }

    #[test]
    fn a_folder_has_keys_and_known_values() {
        for (options, why) in [
            (&[("compression", "zstd")][..], "partition_by"),
            (&[("partition_by", "a"), ("replace", "everything")], "cannot be `everything`"),
            (&[("partition_by", "a"); 9], "at most 8"),
        ] {
            assert!(parsed(options).unwrap_err().message.contains(why), "{options:?}");
        }
    }
}
