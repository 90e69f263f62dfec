//! The blobs of a worker: bytes that are named by their digest, checked as they arrive, and kept for later attempts as
//! long as there is room.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, bail, ensure};
use cap_std::fs::{Dir, File, OpenOptions};

use crate::digest::{Digest, Hasher};
use crate::protocol::worker::Blob;

/// Blobs in a folder; clones share them.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
    dir: Arc<Dir>,
    /// The most bytes that all blobs may have.
    room: u64,
    held: Arc<Mutex<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    whole: BTreeMap<Digest, Whole>,
    arriving: BTreeMap<Digest, Arriving>,
    /// Counts uses, so that the blob that was used longest ago is known.
    clock: u64,
}

#[derive(Debug)]
struct Whole {
    bytes: u64,
    used: u64,
    /// How many attempts need it now.
    pins: usize,
}

#[derive(Debug)]
struct Arriving {
    file: File,
    hasher: Hasher,
    bytes: u64,
    expected: u64,
}

impl Held {
    fn bytes(&self) -> u64 {
        let whole = self.whole.values().map(|blob| blob.bytes);
        whole.chain(self.arriving.values().map(|blob| blob.expected)).fold(0, u64::saturating_add)
    }

    fn use_now(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }
}

impl Store {
    /// An empty store in `folder`, which exists.
    pub fn new(folder: PathBuf, dir: Dir, room: u64) -> Self {
        Self { folder, dir: Arc::new(dir), room, held: Arc::default() }
    }

    /// The file of a blob that is here.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(digest.as_str())
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which of `blobs` are not here. Room is made for them, and from now on they may arrive.
    ///
    /// # Errors
    /// If there is no room for them.
    pub fn lacking(&self, blobs: &[Blob]) -> anyhow::Result<Vec<Digest>> {
        let mut held = self.held();
        let mut lacking = Vec::new();
        for Blob { digest, bytes } in blobs {
            if held.whole.contains_key(digest) {
                let now = held.use_now();
                held.whole.entry(digest.clone()).and_modify(|blob| blob.used = now);
            } else if !lacking.contains(digest) {
                // What arrived of it before its host gave up begins anew.
                held.arriving.remove(digest);
                self.make_room(&mut held, *bytes, blobs)?;
                let name = arriving(digest);
                let mut options = OpenOptions::new();
                let file = self.dir.open_with(&name, options.write(true).create(true).truncate(true));
                let file = file.with_context(|| format!("cannot create blob `{digest}`"))?;
                let new = Arriving { file, hasher: Hasher::default(), bytes: 0, expected: *bytes };
                held.arriving.insert(digest.clone(), new);
                lacking.push(digest.clone());
            }
        }
        // An empty blob has no part that could arrive.
        for digest in &lacking {
            self.finish(&mut held, digest)?;
        }
        Ok(lacking)
    }

    /// Removes the blobs that were used longest ago, until `bytes` more fit.
    fn make_room(&self, held: &mut Held, bytes: u64, needed: &[Blob]) -> anyhow::Result<()> {
        while held.bytes().saturating_add(bytes) > self.room {
            let is_free = |(digest, blob): &(&Digest, &Whole)| {
                blob.pins == 0 && !needed.iter().any(|needed| needed.digest == **digest)
            };
            let Some((oldest, _)) = held.whole.iter().filter(is_free).min_by_key(|(_, blob)| blob.used) else {
                bail!("the worker has no room for {} of data more", crate::size::spell(bytes));
            };
            let oldest = oldest.clone();
            held.whole.remove(&oldest);
            self.dir.remove_file(oldest.as_str()).with_context(|| format!("cannot remove blob `{oldest}`"))?;
        }
        Ok(())
    }

    /// Stores a part of a blob that was lacking.
    ///
    /// # Errors
    /// If it is not the next part of one, or the whole is not what its digest says; it is then lacking again.
    pub fn arrived(&self, digest: &Digest, at: u64, part: &[u8]) -> anyhow::Result<()> {
        let mut held = self.held();
        let stored = (|| {
            let blob = held.arriving.get_mut(digest).context("it was not asked for")?;
            ensure!(blob.bytes == at, "its parts do not follow one another");
            blob.bytes += part.len() as u64;
            ensure!(blob.bytes <= blob.expected, "it is longer than announced");
            blob.file.write_all(part)?;
            blob.hasher.update(part);
            self.finish(&mut held, digest)
        })();
        stored.map_err(|error| {
            held.arriving.remove(digest);
            let _ = self.dir.remove_file(arriving(digest));
            error.context(format!("cannot take blob `{digest}`"))
        })
    }

    /// Puts a blob in place if it is complete.
    fn finish(&self, held: &mut Held, digest: &Digest) -> anyhow::Result<()> {
        let Some(Arriving { hasher, bytes, expected, .. }) = held.arriving.get(digest) else { return Ok(()) };
        if bytes < expected {
            return Ok(());
        }
        let (found, bytes) = (hasher.clone().finish(), *bytes);
        ensure!(found == *digest, "its digest is {found}");
        self.dir.rename(arriving(digest), &self.dir, digest.as_str())?;
        held.arriving.remove(digest);
        let used = held.use_now();
        held.whole.insert(digest.clone(), Whole { bytes, used, pins: 0 });
        Ok(())
    }

    /// Keeps blobs until they are unpinned; returns false, and pins none, if one is not here.
    pub fn pin(&self, digests: &[Digest]) -> bool {
        let mut held = self.held();
        if !digests.iter().all(|digest| held.whole.contains_key(digest)) {
            return false;
        }
        let now = held.use_now();
        for digest in digests {
            held.whole.entry(digest.clone()).and_modify(|blob| (blob.used, blob.pins) = (now, blob.pins + 1));
        }
        true
    }

    pub fn unpin(&self, digests: &[Digest]) {
        let mut held = self.held();
        for digest in digests {
            held.whole.entry(digest.clone()).and_modify(|blob| blob.pins = blob.pins.saturating_sub(1));
        }
    }

    /// Takes the file `name` of a folder as a blob, if there is room for it; it is moved.
    pub fn keep(&self, folder: &Dir, name: &str, digest: &Digest, bytes: u64) {
        let mut held = self.held();
        if held.whole.contains_key(digest) || self.make_room(&mut held, bytes, &[]).is_err() {
            return;
        }
        // It is only a copy of what the host has: without it, the host sends it again.
        if folder.rename(name, &self.dir, digest.as_str()).is_ok() {
            let used = held.use_now();
            held.whole.insert(digest.clone(), Whole { bytes, used, pins: 0 });
        }
    }
}

fn arriving(digest: &Digest) -> String {
    format!("{digest}.part")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::digest::sha256_of;

    fn blob(bytes: &[u8]) -> Blob {
        Blob { digest: Digest::try_from(sha256_of(bytes)).unwrap(), bytes: bytes.len() as u64 }
    }

    fn store(room: u64) -> (Store, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(folder.path(), cap_std::ambient_authority()).unwrap();
        (Store::new(folder.path().to_owned(), dir, room), folder)
    }

    fn send(store: &Store, bytes: &[u8]) -> anyhow::Result<Digest> {
        let blob = blob(bytes);
        for lacking in store.lacking(std::slice::from_ref(&blob))? {
            for (place, part) in bytes.chunks(4).enumerate() {
                store.arrived(&lacking, 4 * place as u64, part)?;
            }
        }
        Ok(blob.digest)
    }

    #[test]
    fn a_blob_is_there_once_all_of_it_has_arrived_as_its_digest_says() {
        let (store, folder) = store(100);
        let digest = send(&store, b"hello world").unwrap();
        assert_eq!(store.dir.read(digest.as_str()).unwrap(), b"hello world");
        assert!(store.lacking(&[blob(b"hello world")]).unwrap().is_empty());
        assert!(store.pin(&[send(&store, b"").unwrap(), digest.clone()]));
        // It is asked for, in order, no longer than announced, and as its digest says; or else nothing of it remains.
        let wrong = |at, part: &[u8]| {
            store.lacking(&[blob(b"12345")]).unwrap();
            store.arrived(&blob(b"12345").digest, at, part).unwrap_err().root_cause().to_string()
        };
        assert_eq!(wrong(1, b"2345"), "its parts do not follow one another");
        assert_eq!(wrong(0, b"123456"), "it is longer than announced");
        assert!(wrong(0, b"54321").starts_with("its digest is "));
        assert_eq!(store.arrived(&digest, 0, b"x").unwrap_err().root_cause().to_string(), "it was not asked for");
        assert!(!store.pin(&[digest, blob(b"12345").digest]));
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2);
        // What arrived in part begins anew.
        store.lacking(&[blob(b"12345")]).unwrap();
        store.arrived(&blob(b"12345").digest, 0, b"123").unwrap();
        send(&store, b"12345").unwrap();
    }

    #[test]
    fn what_was_used_longest_ago_makes_room_unless_it_is_needed() {
        let (store, folder) = store(10);
        let [first, second] = [b"1111", b"2222"].map(|bytes| send(&store, bytes).unwrap());
        assert!(store.pin(std::slice::from_ref(&first)));
        let third = send(&store, b"3333").unwrap();
        assert!(!store.pin(std::slice::from_ref(&second)), "it made room");
        assert!(store.pin(std::slice::from_ref(&third)));
        let full = store.lacking(&[blob(b"44444")]).unwrap_err().to_string();
        assert_eq!(full, "the worker has no room for 5 B of data more");
        store.unpin(&[first]);
        send(&store, b"44444").unwrap();
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2);
        // An output becomes a blob if there is room.
        store.dir.write("output", b"5555").unwrap();
        let made = blob(b"5555");
        store.keep(&store.dir, "output", &made.digest, 4);
        assert!(store.pin(&[made.digest]) && !store.dir.exists("output"));
    }
}
