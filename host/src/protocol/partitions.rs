//! The files of a folder of partitions inside one file: what a step hands to its host, which puts each partition in place.
//!
//! A step writes one granted file, on this machine or on a worker, and that file is what limits, digests and exchanges know. So it
//! begins with the length of an index (eight bytes, little-endian), then come the index as JSON and the files' bytes in its order.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

/// The most columns that a folder is partitioned by.
pub const MAX_KEYS: usize = 8;

/// The most files in a folder: those of 5,000 partitions, some of which have several.
const MAX_FILES: usize = 20_000;

/// The longest index, in bytes.
const MAX_INDEX: u64 = 64 << 20;

/// The longest name of a file or a folder, in bytes, on any usual file system.
const MAX_NAME: usize = 255;

/// What a step wrote for a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    pub replace: Replace,
    pub files: Vec<PartitionFile>,
}

/// What the files of an [`Index`] replace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Replace {
    /// Those partitions that have a file here, each as a whole; others stay as they are.
    #[default]
    Partitions,
    /// The whole folder.
    All,
}

/// A file of a partition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartitionFile {
    /// The folders `key=value` that lead to it, from the outermost.
    pub folders: Vec<String>,
    pub name: String,
    pub bytes: u64,
}

impl Index {
    /// Writes the index; the files' bytes follow.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, file: &mut impl Write) -> io::Result<()> {
        let text = serde_json::to_vec(self)?;
        file.write_all(&(text.len() as u64).to_le_bytes())?;
        file.write_all(&text)
    }

    /// Reads the index of a file of that size, which a step wrote: nothing in it leads out of a folder.
    ///
    /// # Errors
    /// If it is malformed, or a name in it is not that of a partition or a Parquet file.
    pub fn read(file: &mut impl Read, size: u64) -> anyhow::Result<Self> {
        let mut length = [0; 8];
        file.read_exact(&mut length).context("it has no index")?;
        let length = u64::from_le_bytes(length);
        ensure!(length <= MAX_INDEX && length.saturating_add(8) <= size, "its index is longer than it may be");
        let mut text = vec![0; usize::try_from(length)?];
        file.read_exact(&mut text).context("its index is cut short")?;
        let index: Self = serde_json::from_slice(&text).context("its index is malformed")?;
        index.check()?;
        let mut end = Some(length + 8);
        for file in &index.files {
            end = end.and_then(|end| end.checked_add(file.bytes));
        }
        ensure!(end == Some(size), "its files have another size than its index says");
        Ok(index)
    }

    fn check(&self) -> anyhow::Result<()> {
        ensure!(self.files.len() <= MAX_FILES, "it has {} files, more than {MAX_FILES}", self.files.len());
        let mut seen = BTreeSet::new();
        for file in &self.files {
            ensure!((1..=MAX_KEYS).contains(&file.folders.len()), "a file lies outside of all partitions");
            ensure!(file.folders.iter().all(|folder| is_partition(folder)), "a folder in it is not `key=value`");
            ensure!(is_data_file(&file.name), "a file in it has no name of a Parquet file");
            ensure!(seen.insert((&file.folders, &file.name)), "it has a file twice");
            let first = &self.files[0].folders;
            let is_alike = file.folders.len() == first.len()
                && file.folders.iter().zip(first).all(|(one, other)| key(one) == key(other));
            ensure!(is_alike, "its files are partitioned by different keys");
        }
        Ok(())
    }
}

/// The key of a folder `key=value`.
pub fn key(folder: &str) -> &str {
    folder.split_once('=').map_or(folder, |(key, _)| key)
}

/// Whether a name is one of a partition: `key=value`, which leads nowhere else.
pub fn is_partition(name: &str) -> bool {
    is_plain(name) && name.split_once('=').is_some_and(|(key, _)| !key.is_empty())
}

/// Whether a name is one of a Parquet file in a partition.
pub fn is_data_file(name: &str) -> bool {
    is_plain(name) && name.len() > ".parquet".len() && name.ends_with(".parquet")
}

fn is_plain(name: &str) -> bool {
    name.len() <= MAX_NAME && !name.starts_with('.') && !name.chars().any(|c| c == '/' || c.is_control())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn file(folders: &[&str], name: &str) -> PartitionFile {
        PartitionFile {
            folders: folders.iter().map(|&folder| folder.to_owned()).collect(),
            name: name.to_owned(),
            bytes: 3,
        }
    }

    /// What the host reads of a file that a step wrote like this.
    fn read(files: Vec<PartitionFile>, content: &[u8]) -> anyhow::Result<Index> {
        let mut written = Vec::new();
        Index { replace: Replace::All, files }.write(&mut written).unwrap();
        written.extend_from_slice(content);
        Index::read(&mut written.as_slice(), written.len() as u64)
    }

    #[test]
    fn an_index_is_read_as_it_was_written() {
        let files = vec![file(&["y=2024", "m=.."], "data_0.parquet"), file(&["y=2024", "m=1"], "data_0.parquet")];
        let index = read(files.clone(), b"abcdef").unwrap();
        assert_eq!((index.replace, index.files), (Replace::All, files));
        assert_eq!(read(Vec::new(), b"").unwrap().files, []);
    }

    #[test]
    fn no_name_leads_out_of_the_folder() {
        let long = format!("y={}", "x".repeat(254));
        for folders in [
            &[".."][..],
            &["y=1", ".."],
            &["y=1/../.."],
            &["=x"],
            &["y"],
            &[".y=1"],
            &["y=\0"],
            &["y=\n"],
            &[&long],
            &[],
            &["y=1"; 9],
        ] {
            assert!(read(vec![file(folders, "data_0.parquet")], b"abc").is_err(), "{folders:?}");
        }
        for name in ["..", "../x.parquet", "x.csv", ".parquet", ".x.parquet", "a/b.parquet", "", "x\0.parquet"] {
            assert!(read(vec![file(&["y=1"], name)], b"abc").is_err(), "{name:?}");
        }
    }

    #[test]
    fn an_index_that_lies_is_refused() {
        let one = || file(&["y=1"], "a.parquet");
        assert!(read(vec![one()], b"abc").is_ok());
        for (files, content) in [
            (vec![one()], &b"ab"[..]),
            (vec![one()], b"abcd"),
            (vec![one(), one()], b"abcdef"),
            (vec![one(), file(&["m=1"], "a.parquet")], b"abcdef"),
            (vec![one(), file(&["y=1", "m=1"], "a.parquet")], b"abcdef"),
            (vec![PartitionFile { bytes: u64::MAX, ..one() }, file(&["y=2"], "a.parquet")], b"abcdef"),
        ] {
            assert!(read(files.clone(), content).is_err(), "{files:?}");
        }
        for text in [&b""[..], b"\xff\xff\xff\xff\xff\xff\xff\xff", b"\x02\0\0\0\0\0\0\0{}"] {
            assert!(Index::read(&mut &*text, text.len() as u64).is_err());
        }
    }
}
