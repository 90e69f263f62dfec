//! Files on their way to and from an exchange: in parts, several at once, checked against their digest.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use bytes::Bytes;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};
use jiff::Timestamp;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};
use tokio::task::{JoinHandle, JoinSet};

use super::{Exchange, ExchangeError, Location, OBJECTS, StoredFile};
use crate::digest::{Digest, Hasher};
use crate::session::noise;

/// The smallest part, in bytes; S3 wants at least 5 MiB.
const PART: u64 = 8 << 20;

/// The most parts of an upload.
const MOST_PARTS: u64 = 9_000;

/// How old an object may be that need not be stored again, in seconds. Objects that nobody refers to are removed after an hour.
const FRESH: u64 = 1800;

/// How many parts travel at once.
const AT_ONCE: usize = 4;

/// Who is told of a transfer, and may end it.
#[derive(Clone, Copy)]
pub struct Transfer<'a> {
    pub is_ended: &'a dyn Fn() -> bool,
    /// A part has moved.
    pub moved: &'a dyn Fn(),
}

impl<'a> Transfer<'a> {
    /// Nobody is told of it.
    pub fn until(is_ended: &'a dyn Fn() -> bool) -> Self {
        Self { is_ended, moved: &|| () }
    }
}

impl Exchange {
    /// Stores a file, unless it is there already.
    ///
    /// # Errors
    /// If the file cannot be read, the store cannot be used, or it is ended.
    pub fn store(&self, file: &File, stored: &StoredFile, transfer: Transfer<'_>) -> Result<(), ExchangeError> {
        let path = self.object(&stored.digest);
        if let Location::Folder(folder) = self.location() {
            if !self.wait(transfer.is_ended, self.is_fresh(&path, stored.bytes))? {
                copy_into(folder, file, stored, transfer)?;
            }
            return Ok(());
        }
        self.wait(transfer.is_ended, async {
            if self.is_fresh(&path, stored.bytes).await? {
                return Ok(());
            }
            if stored.bytes <= PART {
                let payload = read_part(file, 0, stored.bytes)?;
                return self.0.objects.put(&path, payload).await.map(|_| ()).map_err(|error| self.error(&error));
            }
            let mut upload = self.0.objects.put_multipart(&path).await.map_err(|error| self.error(&error))?;
            let sent = self.send_parts(&mut *upload, file, stored.bytes, transfer.moved).await;
            if sent.is_err() {
                // What cannot be removed, or was ended, is removed by the store's own rules.
                let _ = upload.abort().await;
            }
            sent
        })
    }

    /// Whether a file is there, and was stored so lately that nobody removes it for want of a reference.
    async fn is_fresh(&self, path: &Path, bytes: u64) -> Result<bool, ExchangeError> {
        match self.0.objects.head(path).await {
            Ok(found) => {
                let age = Timestamp::now().as_second().saturating_sub(found.last_modified.timestamp());
                Ok(found.size == bytes && age.unsigned_abs() < FRESH)
            }
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(self.error(&error)),
        }
    }

    async fn size(&self, path: &Path) -> Result<Option<u64>, ExchangeError> {
        match self.0.objects.head(path).await {
            Ok(found) => Ok(Some(found.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.error(&error)),
        }
    }

    async fn send_parts(
        &self,
        upload: &mut dyn MultipartUpload,
        file: &File,
        bytes: u64,
        moved: &dyn Fn(),
    ) -> Result<(), ExchangeError> {
        let part = PART.max(bytes.div_ceil(MOST_PARTS));
        let (mut travelling, mut at) = (JoinSet::new(), 0);
        while at < bytes || !travelling.is_empty() {
            if at < bytes && travelling.len() < AT_ONCE {
                let length = part.min(bytes - at);
                travelling.spawn(upload.put_part(read_part(file, at, length)?));
                at += length;
            } else if let Some(arrived) = travelling.join_next().await {
                arrived.map_err(Into::into).flatten().map_err(|error| self.error(&error))?;
                moved();
            }
        }
        upload.complete().await.map(|_| ()).map_err(|error| self.error(&error))
    }

    /// Removes what whoever died while storing a file left in a shared folder, if it is older than an hour. An object store does
    /// so by its own rules.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn remove_parts(&self) -> io::Result<()> {
        match self.location() {
            Location::Folder(folder) => remove_parts(&Dir::open_ambient_dir(folder, ambient_authority())?),
            Location::S3 { .. } => Ok(()),
        }
    }

    /// Whether a file is there; its content is checked by whoever fetches it.
    ///
    /// # Errors
    /// If it is not, has another size, or the store cannot be used.
    pub fn confirm(&self, stored: &StoredFile) -> Result<(), ExchangeError> {
        match self.wait(&|| false, self.size(&self.object(&stored.digest)))? {
            Some(bytes) if bytes == stored.bytes => Ok(()),
            Some(bytes) => Err(self.damaged(&stored.digest, format!("has {bytes} bytes, not {}", stored.bytes))),
            None => Err(self.damaged(&stored.digest, "is missing".to_owned())),
        }
    }

    /// Fetches a file in order; `sink` has to discard what it got if this fails. It gets the last part only if the whole is what
    /// its digest says.
    ///
    /// # Errors
    /// If it is not there, not what its digest says, cannot be written, the store cannot be used, or it is ended.
    pub fn fetch(
        &self,
        stored: &StoredFile,
        sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
        transfer: Transfer<'_>,
    ) -> Result<(), ExchangeError> {
        self.confirm(stored)?;
        let path = Arc::new(self.object(&stored.digest));
        let mut hashing = Some(Hashing::start()?);
        self.wait(transfer.is_ended, async {
            let (mut travelling, mut at) = (VecDeque::new(), 0);
            while at < stored.bytes || !travelling.is_empty() {
                if at < stored.bytes && travelling.len() < AT_ONCE {
                    let range = at..(at + PART).min(stored.bytes);
                    let (store, path) = (Arc::clone(&self.0.objects), Arc::clone(&path));
                    at = range.end;
                    let length = range.end - range.start;
                    let part = tokio::spawn(async move { store.get_range(&path, range).await });
                    travelling.push_back((length, part));
                } else if let Some((length, part)) = travelling.pop_front() {
                    let part = self.arrived(stored, length, part).await?;
                    if let Some(hashing) = &hashing {
                        hashing.update(part.clone());
                    }
                    if at == stored.bytes && travelling.is_empty() {
                        self.check_digest(stored, hashing.take())?;
                    }
                    sink(&part)?;
                    (transfer.moved)();
                }
            }
            if stored.bytes == 0 { self.check_digest(stored, hashing.take()) } else { Ok(()) }
        })
    }

    fn check_digest(&self, stored: &StoredFile, hashing: Option<Hashing>) -> Result<(), ExchangeError> {
        match hashing.map(Hashing::finish).transpose()? {
            Some(found) if found == stored.digest => Ok(()),
            Some(found) => Err(self.damaged(&stored.digest, format!("has the digest {found}"))),
            None => Err(self.damaged(&stored.digest, "was not checked".to_owned())),
        }
    }

    async fn arrived(
        &self,
        stored: &StoredFile,
        length: u64,
        part: JoinHandle<object_store::Result<Bytes>>,
    ) -> Result<Bytes, ExchangeError> {
        let part = part.await.map_err(Into::into).flatten().map_err(|error| match error {
            object_store::Error::NotFound { .. } => self.damaged(&stored.digest, "is missing".to_owned()),
            error => self.error(&error),
        })?;
        if part.len() as u64 == length {
            Ok(part)
        } else {
            Err(self.damaged(&stored.digest, format!("gave {} bytes instead of {length}", part.len())))
        }
    }

    fn damaged(&self, digest: &Digest, why: String) -> ExchangeError {
        ExchangeError::Damaged { digest: digest.clone(), place: self.location().clone(), why }
    }
}

/// Copies a file to its place in a shared folder, as the kernel does it best.
fn copy_into(
    folder: &std::path::Path,
    mut file: &File,
    stored: &StoredFile,
    transfer: Transfer<'_>,
) -> Result<(), ExchangeError> {
    let folder = Dir::open_ambient_dir(folder, ambient_authority())?;
    folder.create_dir_all(OBJECTS)?;
    let objects = folder.open_dir(OBJECTS)?;
    let part = format!("{}#{:016x}", stored.digest, noise());
    let copied = (|| -> Result<(), ExchangeError> {
        let mut target = objects.open_with(&part, OpenOptions::new().write(true).create_new(true))?.into_std();
        file.rewind()?;
        while io::copy(&mut file.take(PART), &mut target)? > 0 {
            if (transfer.is_ended)() {
                return Err(ExchangeError::Ended);
            }
            (transfer.moved)();
        }
        Ok(objects.rename(&part, &objects, stored.digest.as_str())?)
    })();
    if copied.is_err() {
        // What cannot be removed is removed by `remove_parts`.
        let _ = objects.remove_file(&part);
    }
    copied
}

/// A digest that is computed on a separate thread, while what was hashed is written.
struct Hashing {
    feed: SyncSender<Bytes>,
    thread: std::thread::JoinHandle<Digest>,
}

impl Hashing {
    fn start() -> io::Result<Self> {
        let (feed, fed) = sync_channel::<Bytes>(AT_ONCE);
        let hash = move || {
            let mut hasher = Hasher::default();
            fed.iter().for_each(|part| hasher.update(&part));
            hasher.finish()
        };
        let thread = std::thread::Builder::new().name("hash".to_owned()).spawn(hash)?;
        Ok(Self { feed, thread })
    }

    fn update(&self, part: Bytes) {
        // If the thread has ended, `finish` says so.
        let _ = self.feed.send(part);
    }

    fn finish(self) -> io::Result<Digest> {
        drop(self.feed);
        self.thread.join().map_err(|_| io::Error::other("the digest cannot be computed"))
    }
}

/// Removes old files in a folder, and in folders in it, that were not stored whole; their names have a `#`, which no other has.
fn remove_parts(folder: &Dir) -> io::Result<()> {
    for entry in folder.entries()? {
        let entry = entry?;
        let found = entry.metadata()?;
        if found.is_dir() {
            remove_parts(&entry.open_dir()?)?;
            continue;
        }
        let age = found.modified()?.into_std().elapsed().unwrap_or_default();
        if entry.file_name().to_string_lossy().contains('#') && age > 2 * Duration::from_secs(FRESH) {
            folder.remove_file(entry.file_name())?;
        }
    }
    Ok(())
}

fn read_part(file: &File, at: u64, length: u64) -> io::Result<PutPayload> {
    let mut part = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_exact_at(&mut part, at)?;
    Ok(part.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods)]
    use super::*;
    use crate::exchange::Creation;

    fn file(folder: &std::path::Path, bytes: &[u8]) -> (File, StoredFile) {
        let path = folder.join("file");
        std::fs::write(&path, bytes).unwrap();
        let mut file = File::open(path).unwrap();
        let (digest, bytes) = Digest::of_file(&mut file).unwrap();
        (file, StoredFile { digest, bytes })
    }

    fn fetched(exchange: &Exchange, stored: &StoredFile) -> Result<Vec<u8>, String> {
        let mut all = Vec::new();
        let mut sink = |part: &[u8]| {
            all.extend_from_slice(part);
            Ok(())
        };
        exchange.fetch(stored, &mut sink, Transfer::until(&|| false)).map_err(|error| error.to_string())?;
        Ok(all)
    }

    #[test]
    fn a_file_comes_back_as_it_was_whatever_its_size() {
        let (folder, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let exchange = Exchange::in_folder(folder.path());
        exchange.check().unwrap();
        for size in [0, 1, PART - 1, PART, PART + 1, 3 * PART + 17, 6 * PART] {
            let bytes: Vec<u8> = (0..size).map(|at| ((at * 2_654_435_761) >> 13) as u8).collect();
            let (source, stored) = file(here.path(), &bytes);
            exchange.store(&source, &stored, Transfer::until(&|| false)).unwrap();
            let moved = || panic!("it is there already");
            exchange.store(&source, &stored, Transfer { is_ended: &|| false, moved: &moved }).unwrap();
            assert!(fetched(&exchange, &stored).unwrap() == bytes, "{size}");
        }
        let (source, stored) = file(here.path(), &vec![7; 2 * PART as usize]);
        assert!(fetched(&exchange, &stored).unwrap_err().ends_with("is missing"));
        let parts = std::cell::Cell::new(0);
        let moved = || parts.set(parts.get() + 1);
        exchange.store(&source, &stored, Transfer { is_ended: &|| false, moved: &moved }).unwrap();
        assert_eq!(parts.get(), 2);
    }

    #[test]
    fn an_object_that_is_not_what_its_digest_says_is_refused() {
        let (folder, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let exchange = Exchange::in_folder(folder.path());
        let (source, stored) = file(here.path(), b"hello");
        exchange.store(&source, &stored, Transfer::until(&|| false)).unwrap();
        let object = folder.path().join(OBJECTS).join(stored.digest.as_str());
        for (bytes, why) in
            [(b"hell".as_slice(), "has 4 bytes, not 5"), (b"hallo", "has the digest"), (b"hello!", "has 6")]
        {
            std::fs::write(&object, bytes).unwrap();
            let error = fetched(&exchange, &stored).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn an_object_is_created_once() {
        let folder = tempfile::tempdir().unwrap();
        let exchange = Exchange::in_folder(folder.path());
        assert_eq!(exchange.create("sessions/a/steps/x.json", b"1".to_vec()).unwrap(), Creation::Created);
        assert_eq!(exchange.create("sessions/a/steps/x.json", b"2".to_vec()).unwrap(), Creation::Taken);
        // The request may have been repeated because its answer was lost.
        assert_eq!(exchange.create("sessions/a/steps/x.json", b"1".to_vec()).unwrap(), Creation::Created);
        assert_eq!(exchange.read("sessions/a/steps/x.json").unwrap().as_deref(), Some(b"1".as_slice()));
        assert_eq!(exchange.list("sessions/a").unwrap().1, ["steps"]);
        assert_eq!(exchange.list("sessions/a/steps").unwrap().0[0].bytes, 1);
        exchange.delete("sessions/a/steps/x.json").unwrap();
        exchange.delete("sessions/a/steps/x.json").unwrap();
        assert_eq!(exchange.read("sessions/a/steps/x.json").unwrap(), None);
        assert!(exchange.list("nothing").unwrap().0.is_empty());
    }
}
