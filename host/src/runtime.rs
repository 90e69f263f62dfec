//! Wasmtime as Osiris configures it, and the cache of compiled components.

use std::fs::{self, DirBuilder};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use sha2::{Digest, Sha256};
pub use wasmtime::component::Component;
use wasmtime::{Config, Engine};

use crate::error::Report;

/// The engine of host and step processes: they must agree, since one compiles what the other runs.
pub fn engine() -> anyhow::Result<Engine> {
    let mut config = Config::new();
    config.epoch_interruption(true);
    config.max_wasm_stack(1 << 20);
    Engine::new(&config).map_err(anyhow::Error::from).context("cannot start the WebAssembly runtime")
}

/// The compiled form of the component at `wasm`, compiling it if the cache has none.
///
/// The key is the component's own digest, wasmtime's version and its configuration, so an entry
/// never goes stale. Entries appear whole, by a rename: processes may race.
///
/// # Errors
/// When the component is no longer the one of `sha256`, does not compile, or the cache folder cannot
/// be used safely.
pub fn compiled(engine: &Engine, wasm: &Path, sha256: &str, compiling: impl FnOnce()) -> anyhow::Result<PathBuf> {
    compiled_in(&cache_folder()?, engine, wasm, sha256, compiling)
}

fn compiled_in(
    folder: &Path,
    engine: &Engine,
    wasm: &Path,
    sha256: &str,
    compiling: impl FnOnce(),
) -> anyhow::Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    let entry = folder.join(format!("{sha256}-{:016x}.cwasm", hasher.finish()));
    if entry.is_file() {
        return Ok(entry);
    }
    compiling();
    let bytes = fs::read(wasm).with_context(|| format!("cannot read `{}`", wasm.display()))?;
    // What was planned, shown and checked against the lock must be what is kept under its digest.
    if sha256_of(&bytes) != sha256 {
        return Err(Report::input(format!("driver `{}` has changed since it was planned", wasm.display()))
            .hint("run again, and see with `osiris plan` what it wants")
            .into());
    }
    let code = engine
        .precompile_component(&bytes)
        .map_err(anyhow::Error::from)
        .with_context(|| format!("cannot compile `{}`", wasm.display()))?;
    let mut file = tempfile::NamedTempFile::new_in(folder).context("cannot write to the compile cache")?;
    file.write_all(&code).and_then(|()| file.as_file().sync_all()).context("cannot write to the compile cache")?;
    file.persist(&entry).context("cannot write to the compile cache")?;
    Ok(entry)
}

/// The digest of a component, in hexadecimal.
pub fn sha256_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Loads what `compiled` made.
pub fn load(engine: &Engine, compiled: &Path) -> anyhow::Result<Component> {
    // SAFETY: the file is native code and must be one that `compiled` wrote: the host names it in
    // the job, out of a folder that is this user's alone.
    unsafe { Component::deserialize_file(engine, compiled) }
        .map_err(anyhow::Error::from)
        .with_context(|| format!("cannot load the compiled driver `{}`", compiled.display()))
}

/// `$OSIRIS_CACHE_DIR`, or `osiris/compiled` in the user's cache folder. Made with mode 0700, and
/// refused when another user owns it or may write to it, since its files are run as native code.
fn cache_folder() -> anyhow::Result<PathBuf> {
    let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = match named("OSIRIS_CACHE_DIR") {
        Some(folder) => folder,
        None => match named("XDG_CACHE_HOME").or_else(|| named("HOME").map(|home| home.join(".cache"))) {
            Some(cache) => cache.join("osiris").join("compiled"),
            None => bail!("cannot find a cache folder: set OSIRIS_CACHE_DIR or HOME"),
        },
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .with_context(|| format!("cannot create the compile cache `{}`", folder.display()))?;
    let found = fs::symlink_metadata(&folder).context("cannot inspect the compile cache")?;
    ensure!(
        found.is_dir() && found.uid() == rustix::process::geteuid().as_raw() && found.mode() & 0o022 == 0,
        "the compile cache `{}` must be a folder that you own and nobody else may write to (chmod 700)",
        folder.display()
    );
    Ok(folder)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The smallest component there is.
    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn a_driver_swapped_after_planning_does_not_take_its_place_in_the_cache() {
        let folder = tempfile::tempdir().unwrap();
        let wasm = folder.path().join("driver.wasm");
        fs::write(&wasm, EMPTY).unwrap();
        let engine = engine().unwrap();
        let cache = folder.path().join("cache");
        fs::create_dir(&cache).unwrap();
        let planned = sha256_of(b"the driver that was planned");
        let refused = compiled_in(&cache, &engine, &wasm, &planned, || {}).unwrap_err();
        assert!(refused.to_string().contains("has changed since it was planned"), "{refused}");
        assert_eq!(fs::read_dir(&cache).unwrap().count(), 0);
        assert!(compiled_in(&cache, &engine, &wasm, &sha256_of(EMPTY), || {}).unwrap().starts_with(&cache));
    }
}
