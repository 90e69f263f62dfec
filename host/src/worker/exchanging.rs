//! What a worker's attempts fetch from the exchange of its host, and store there.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use cap_std::fs::File;

use super::store::Store;
use crate::digest::Digest;
use crate::error::{Blame, Failure};
use crate::exchange::{Access, Directions, Exchange, StoredFile, Transfer};
use crate::protocol::worker::{Blob, SentFile, Through};

/// How much of a file is put into the store at once, so that others are not kept waiting.
const PIECE: usize = 1 << 20;

/// The exchanges of a worker; clones share them.
#[derive(Debug, Clone)]
pub(super) struct Exchanges {
    /// The folder that it shares with its host, if it was told of one.
    shared: Option<PathBuf>,
    /// The exchange that was used last, and how it is reached. Held while something is fetched: attempts may need the same.
    last: Arc<Mutex<Option<(Directions, Exchange)>>>,
}

impl Exchanges {
    pub(super) fn new(shared: Option<PathBuf>) -> Self {
        Self { shared, last: Arc::default() }
    }

    /// Fetches the inputs of an attempt that are not here; adds what it reserves to `reserved`.
    ///
    /// # Errors
    /// If the exchange cannot be reached, or one of them is not there.
    pub(super) fn fetch(
        &self,
        through: &Through,
        store: &Store,
        reserved: &mut Vec<Blob>,
        transfer: Transfer<'_>,
    ) -> Result<Exchange, Failure> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let known = last.as_ref().filter(|(directions, _)| *directions == through.directions);
        let exchange = match known {
            Some((_, exchange)) => exchange.clone(),
            None => {
                let access = Access::directed(&through.directions, self.shared.as_deref());
                let opened = access.map_err(anyhow::Error::from).and_then(Exchange::open);
                let exchange = opened.map_err(|error| Failure::new(Blame::User, "config", format!("{error:#}")))?;
                *last = Some((through.directions.clone(), exchange.clone()));
                exchange
            }
        };
        let lacking = store.reserve(&through.inputs).map_err(|error| Failure::disk_full(format!("{error:#}")))?;
        reserved.extend_from_slice(&through.inputs);
        for input in through.inputs.iter().filter(|input| lacking.contains(&input.digest)) {
            let mut at = 0;
            let mut sink = |part: &[u8]| {
                for piece in part.chunks(PIECE) {
                    store.arrived_checked(&input.digest, at, piece).map_err(as_io)?;
                    at += piece.len() as u64;
                }
                Ok(())
            };
            exchange
                .fetch(input, &mut sink, transfer)
                .map_err(|error| error.failure("cannot fetch an input of the step"))?;
        }
        Ok(exchange)
    }
}

/// The error of the operating system inside an error, so that whoever can fix it is told.
fn as_io(error: anyhow::Error) -> io::Error {
    let of_system = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>()?.raw_os_error());
    of_system.map_or_else(|| io::Error::other(format!("{error:#}")), io::Error::from_raw_os_error)
}

/// Stores a file that an attempt made; returns what was stored.
pub(super) fn store_file(
    name: Option<String>,
    file: File,
    exchange: &Exchange,
    transfer: Transfer<'_>,
) -> anyhow::Result<SentFile> {
    let mut file = file.into_std();
    let (digest, bytes) = Digest::of_file(&mut file).context("cannot read what the attempt made")?;
    exchange.store(&file, &StoredFile { digest: digest.clone(), bytes }, transfer)?;
    Ok(SentFile { name, bytes, digest })
}
