//! The worker protocol from both sides: what a host reads of a worker, and a worker of its host.

use std::path::Path;
use std::sync::mpsc::{channel, sync_channel};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use osiris::executor::worker::Digests;
use osiris::executor::worker::attempts::{Attempts, Hosted, LastWords, Link, Progress};
use osiris::executor::worker::receive::{Expected, Received, Receiving};
use osiris::protocol::LocalFiles;
use osiris::protocol::worker::{Answer, Command, Line, LineReader, MAX_CHUNK, Read};

/// The most bytes of an output.
const LIMIT: u64 = 64;

/// A folder that is emptied before each case.
static FOLDER: LazyLock<Option<tempfile::TempDir>> = LazyLock::new(|| tempfile::tempdir().ok());

fn read_all<T: Line>(data: &[u8]) {
    let mut lines = LineReader::new(data);
    while let Ok(Some(Read { size, bytes, .. })) = lines.read::<T>() {
        assert!(size <= T::MOST && bytes.len() <= MAX_CHUNK as usize);
    }
}

/// Lines and frames, as either side reads them.
pub fn wire(data: &[u8]) {
    read_all::<Command>(data);
    read_all::<Answer>(data);
}

/// A worker's answers to a host that has attempts 1 and 2 on it, the second with an exchange: nothing is written but the output
/// of the first, up to its limit.
pub fn answers(data: &[u8]) {
    let Some(folder) = &*FOLDER else { return };
    let outputs = [1, 2].map(|number| (number, folder.path().join(number.to_string())));
    for (_, output) in &outputs {
        let _ = std::fs::remove_file(output);
    }
    let (say, heard) = sync_channel(64);
    let unchecked = Box::new(|_: &Path, _: &_| anyhow::bail!("it is not counted"));
    let attempts = Arc::new(Attempts::new("worker".to_owned(), say, Digests::default(), unchecked));
    let (orders, _ordered) = channel();
    for (number, output) in &outputs {
        let files = LocalFiles {
            compiled: None,
            inputs: Vec::new(),
            scratch: folder.path().to_owned(),
            output: Some(output.clone()),
            read: Vec::new(),
            write: Vec::new(),
            databases: std::collections::BTreeSet::new(),
            folders: std::collections::BTreeSet::new(),
        };
        attempts.host(
            *number,
            Hosted {
                received: Some(match number {
                    1 => Receiving::Here(Received::new(&files, LIMIT)),
                    _ => Receiving::Elsewhere(Expected::new(&files, LIMIT)),
                }),
                stored: None,
                ready: None,
                may_connect: false,
                time_limit: Duration::from_secs(1),
                link: Some(Link { number: 1, orders: orders.clone() }),
                progress: Progress::default(),
                ending: None,
            },
        );
    }
    let mut lines = LineReader::new(data);
    let last_words = LastWords::new();
    while let Ok(Some(Read { line, size, bytes })) = lines.read::<Answer>() {
        attempts.hear(1, line, size, bytes, &last_words);
        heard.try_iter().for_each(drop);
    }
    for entry in std::fs::read_dir(folder.path()).into_iter().flatten().flatten() {
        assert!(outputs[0].1 == entry.path(), "{:?}", entry.path());
        assert!(entry.metadata().is_ok_and(|found| found.len() <= LIMIT));
    }
}
