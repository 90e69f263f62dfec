//! The blobs of a worker: bytes that are named by their digest, checked as they arrive, and kept for later attempts as
//! long as there is room.

use std::collections::{BTreeMap, BTreeSet};
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
    /// How many attempts need each blob, whether it is here or not.
    pins: BTreeMap<Digest, usize>,
    /// Counts uses, so that the blob that was used longest ago is known.
    clock: u64,
}

#[derive(Debug)]
struct Whole {
    bytes: u64,
    used: u64,
}

#[derive(Debug)]
struct Arriving {
    file: File,
    /// `None` if whoever brings it checks its digest.
    hasher: Option<Hasher>,
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

    /// Reserves `blobs` for an attempt; returns which of them are not here. Room is made for them, and from now on they may
    /// arrive. None of them is removed before [`release`](Self::release).
    ///
    /// # Errors
    /// If there is no room for them; nothing is reserved then.
    pub fn reserve(&self, blobs: &[Blob]) -> anyhow::Result<Vec<Digest>> {
        let mut held = self.held();
        let needed: BTreeSet<&Digest> = blobs.iter().map(|blob| &blob.digest).collect();
        for digest in &needed {
            *held.pins.entry((*digest).clone()).or_default() += 1;
        }
        let lacking = self.expect(&mut held, blobs);
        if lacking.is_err() {
            self.unpin(&mut held, needed);
        }
        lacking
    }

    /// Has those of `blobs` arrive that are not here.
    fn expect(&self, held: &mut Held, blobs: &[Blob]) -> anyhow::Result<Vec<Digest>> {
        let mut lacking = Vec::new();
        for Blob { digest, bytes } in blobs {
            let now = held.use_now();
            if let Some(blob) = held.whole.get_mut(digest) {
                blob.used = now;
            } else if !lacking.contains(digest) {
                // What arrived of it before its host gave up begins anew.
                held.arriving.remove(digest);
                self.make_room(held, *bytes)?;
                let name = arriving(digest);
                let mut options = OpenOptions::new();
                let file = self.dir.open_with(&name, options.write(true).create(true).truncate(true));
                let file = file.with_context(|| format!("cannot create blob `{digest}`"))?;
                let new = Arriving { file, hasher: Some(Hasher::default()), bytes: 0, expected: *bytes };
                held.arriving.insert(digest.clone(), new);
                lacking.push(digest.clone());
            }
        }
        // An empty blob has no part that could arrive.
        for digest in &lacking {
            self.finish(held, digest)?;
        }
        Ok(lacking)
    }

    /// Lets go of what was reserved for an attempt. What has arrived only in part is removed.
    pub fn release(&self, blobs: &[Blob]) {
        self.unpin(&mut self.held(), blobs.iter().map(|blob| &blob.digest).collect());
    }

    fn unpin(&self, held: &mut Held, digests: BTreeSet<&Digest>) {
        for digest in digests {
            let left = held.pins.get(digest).map_or(0, |pins| pins.saturating_sub(1));
            if left > 0 {
                held.pins.insert(digest.clone(), left);
                continue;
            }
            held.pins.remove(digest);
            if held.arriving.remove(digest).is_some() {
                // What cannot be removed goes with the worker's folder.
                let _ = self.dir.remove_file(arriving(digest));
            }
        }
    }

    /// Removes the blobs that were used longest ago, until `bytes` more fit.
    fn make_room(&self, held: &mut Held, bytes: u64) -> anyhow::Result<()> {
        while held.bytes().saturating_add(bytes) > self.room {
            let is_free = |(digest, _): &(&Digest, &Whole)| !held.pins.contains_key(*digest);
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
        self.take(digest, at, part, |blob| {
            if let Some(hasher) = &mut blob.hasher {
                hasher.update(part);
            }
        })
    }

    /// Like [`Self::arrived`], for whoever brings the last part only once the whole is what its digest says.
    ///
    /// # Errors
    /// If it is not the next part of a blob that was lacking.
    pub fn arrived_checked(&self, digest: &Digest, at: u64, part: &[u8]) -> anyhow::Result<()> {
        self.take(digest, at, part, |blob| blob.hasher = None)
    }

    fn take(&self, digest: &Digest, at: u64, part: &[u8], note: impl FnOnce(&mut Arriving)) -> anyhow::Result<()> {
        let mut held = self.held();
        let stored = (|| {
            let blob = held.arriving.get_mut(digest).context("it was not asked for")?;
            ensure!(blob.bytes == at, "its parts do not follow one another");
            blob.bytes += part.len() as u64;
            ensure!(blob.bytes <= blob.expected, "it is longer than announced");
            blob.file.write_all(part)?;
            note(blob);
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
        if let Some(hasher) = hasher {
            let found = hasher.clone().finish();
            ensure!(found == *digest, "its digest is {found}");
        }
        let bytes = *bytes;
        self.dir.rename(arriving(digest), &self.dir, digest.as_str())?;
        held.arriving.remove(digest);
        let used = held.use_now();
        held.whole.insert(digest.clone(), Whole { bytes, used });
        Ok(())
    }

    /// Whether all these blobs are here.
    pub fn has<'a>(&self, digests: impl IntoIterator<Item = &'a Digest>) -> bool {
        let held = self.held();
        digests.into_iter().all(|digest| held.whole.contains_key(digest))
    }

    /// Takes the file `name` of a folder as a blob, if there is room for it; it is moved.
    pub fn keep(&self, folder: &Dir, name: &str, digest: &Digest, bytes: u64) {
        let mut held = self.held();
        if held.whole.contains_key(digest) || self.make_room(&mut held, bytes).is_err() {
            return;
        }
        // It is only a copy of what the host has: without it, the host sends it again.
        if folder.rename(name, &self.dir, digest.as_str()).is_ok() {
            let used = held.use_now();
            held.whole.insert(digest.clone(), Whole { bytes, used });
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

    fn send(store: &Store, bytes: &[u8]) -> anyhow::Result<Blob> {
        let blob = blob(bytes);
        for lacking in store.reserve(std::slice::from_ref(&blob))? {
            for (place, part) in bytes.chunks(4).enumerate() {
                store.arrived(&lacking, 4 * place as u64, part)?;
            }
        }
        Ok(blob)
    }

    #[test]
    fn a_blob_is_there_once_all_of_it_has_arrived_as_its_digest_says() {
        let (store, folder) = store(100);
        let Blob { digest, .. } = send(&store, b"hello world").unwrap();
        assert_eq!(store.dir.read(digest.as_str()).unwrap(), b"hello world");
        assert!(store.reserve(&[blob(b"hello world")]).unwrap().is_empty());
        assert!(store.has([&send(&store, b"").unwrap().digest, &digest]));
        // It is asked for, in order, no longer than announced, and as its digest says; or else nothing of it remains.
        let wrong = |at, part: &[u8]| {
            store.reserve(&[blob(b"12345")]).unwrap();
            store.arrived(&blob(b"12345").digest, at, part).unwrap_err().root_cause().to_string()
        };
        assert_eq!(wrong(1, b"2345"), "its parts do not follow one another");
        assert_eq!(wrong(0, b"123456"), "it is longer than announced");
        assert!(wrong(0, b"54321").starts_with("its digest is "));
        assert_eq!(store.arrived(&digest, 0, b"x").unwrap_err().root_cause().to_string(), "it was not asked for");
        assert!(!store.has([&digest, &blob(b"12345").digest]));
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2);
        // What arrived in part begins anew.
        store.reserve(&[blob(b"12345")]).unwrap();
        store.arrived(&blob(b"12345").digest, 0, b"123").unwrap();
        send(&store, b"12345").unwrap();
    }

    #[test]
    fn what_was_used_longest_ago_makes_room_unless_an_attempt_needs_it() {
        let (store, folder) = store(10);
        let [first, second] = [b"1111", b"2222"].map(|bytes| send(&store, bytes).unwrap());
        store.release(std::slice::from_ref(&second));
        let third = send(&store, b"3333").unwrap();
        assert!(!store.has([&second.digest]), "it made room");
        assert!(store.has([&first.digest, &third.digest]));
        let full = store.reserve(&[blob(b"44444")]).unwrap_err().to_string();
        assert_eq!(full, "the worker has no room for 5 B of data more");
        store.release(&[first]);
        send(&store, b"44444").unwrap();
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2);
        // An output becomes a blob if there is room.
        store.release(&[third, blob(b"44444")]);
        store.dir.write("output", b"5555").unwrap();
        let made = blob(b"5555");
        store.keep(&store.dir, "output", &made.digest, 4);
        assert!(store.has([&made.digest]) && !store.dir.exists("output"));
    }

    #[test]
    fn what_is_no_longer_needed_takes_no_room_even_if_it_has_not_arrived() {
        let (store, folder) = store(10);
        let half = blob(b"12345678");
        store.reserve(std::slice::from_ref(&half)).unwrap();
        store.arrived(&half.digest, 0, b"1234").unwrap();
        assert!(store.reserve(&[blob(b"abc")]).is_err());
        // Of those that do not fit, none is expected.
        assert!(store.reserve(&[blob(b"a"), blob(b"abc")]).is_err());
        assert!(store.arrived(&blob(b"a").digest, 0, b"a").is_err());
        store.release(&[half]);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
        send(&store, b"abcdefghij").unwrap();
    }
}
