//! Writes rows into folders `key=value` with DuckDB's own COPY, below the step's folder of temporary files.

use std::io;
use std::path::{Path, PathBuf};

use super::{Engine, EngineError, Result, quote_name};

/// How many files of partitions DuckDB keeps open. Of a partition whose file it has to close, it writes several.
pub const MAX_OPEN_PARTITIONS: u32 = 800;

/// A file that DuckDB wrote into a partition.
#[derive(Debug)]
pub struct WrittenPartition {
    /// The folders `key=value` that lead to it.
    pub folders: Vec<String>,
    pub name: String,
    pub path: PathBuf,
    pub bytes: u64,
}

/// How rows are divided into partitions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Partitioning {
    /// The columns whose values name the folders, from the outermost.
    pub keys: Vec<String>,
    /// Whether the files have these columns too.
    pub keeps_keys: bool,
}

impl Engine {
    /// Writes the rows of one SELECT into a new folder of temporary files, divided into partitions; returns the folder and the
    /// number of rows.
    ///
    /// # Errors
    /// As for [`Engine::copy`].
    pub fn copy_partitions(
        &self,
        select: &str,
        partitioning: &Partitioning,
        format: &str,
        options: &[(String, String)],
    ) -> Result<(PathBuf, u64)> {
        let temporary = self.temporary_folder();
        let folder = temporary.ok_or_else(|| EngineError::refused("there are no temporary files here"))?.name_folder();
        let keys: Vec<String> = partitioning.keys.iter().map(|key| quote_name(key)).collect();
        let settings = [
            format!("PARTITION_BY ({})", keys.join(", ")),
            format!("WRITE_PARTITION_COLUMNS {}", partitioning.keeps_keys),
        ];
        let rows = self.copy_with(select, &folder, format, options, &settings)?;
        Ok((folder, rows))
    }
}

/// The files below a folder that DuckDB wrote, in the order of their names.
///
/// # Errors
/// If it cannot be read.
pub fn written_partitions(folder: &Path) -> io::Result<Vec<WrittenPartition>> {
    let mut files = Vec::new();
    // Without rows there is no folder.
    if folder.exists() {
        collect(folder, &mut Vec::new(), &mut files)?;
    }
    files.sort_by(|one: &WrittenPartition, other| (&one.folders, &one.name).cmp(&(&other.folders, &other.name)));
    Ok(files)
}

fn collect(folder: &Path, above: &mut Vec<String>, files: &mut Vec<WrittenPartition>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().into_string().map_err(|_| io::Error::other("a name is not UTF-8"))?;
        if entry.file_type()?.is_dir() {
            above.push(name);
            collect(&entry.path(), above, files)?;
            above.pop();
        } else {
            let bytes = entry.metadata()?.len();
            files.push(WrittenPartition { folders: above.clone(), name, path: entry.path(), bytes });
        }
    }
    Ok(())
}
