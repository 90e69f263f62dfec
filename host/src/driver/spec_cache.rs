//! The specs read from drivers, stored beside their compiled forms, so that a driver is not read again each time a
//! pipeline starts.
//!
//! An entry is keyed by the digest of the component's bytes and by the version of the code that read them. Its content
//! is checked as if a stranger had written it; if anything is wrong with it or with its folder, the driver is read
//! again.

use std::io::{Read, Write};
use std::path::PathBuf;

use crate::driver::inspect::{self, Description};
use crate::driver::runtime;

/// The longest entry, in bytes.
const MAX_ENTRY: u64 = 4 << 20;

fn entry(sha256: &str) -> anyhow::Result<PathBuf> {
    Ok(runtime::cache_folder()?.join(format!("{sha256}-{}.spec", inspect::version())))
}

/// The stored description of the component with that digest.
pub fn read(sha256: &str) -> Option<Description> {
    let path = entry(sha256).ok()?;
    let file = runtime::open_entry(&path)?;
    let mut text = Vec::new();
    (&file).take(MAX_ENTRY).read_to_end(&mut text).ok()?;
    let described: Description = serde_json::from_slice(&text).ok()?;
    described.spec.check_bounds(sha256).ok()?;
    runtime::mark_used(&file);
    Some(described)
}

/// Stores a description. If that fails, the driver is read again next time.
pub fn write(sha256: &str, described: &Description) {
    let kept = || -> anyhow::Result<()> {
        let path = entry(sha256)?;
        let folder = runtime::cache_folder()?;
        let mut file = tempfile::NamedTempFile::new_in(&folder)?;
        file.write_all(&serde_json::to_vec(described)?)?;
        file.persist(path)?;
        Ok(())
    };
    if let Err(error) = kept() {
        tracing::debug!(%error, "cannot keep what was read of a driver");
    }
}
