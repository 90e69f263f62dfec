//! Wasmtime's configuration, and where compiled components are stored.

#![expect(unsafe_code, reason = "loads compiled components")]

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use wasmtime::{Config, CustomCodeMemory};

use crate::environment;
pub use wasmtime::Engine;
pub use wasmtime::component::Component;

/// The engine of host and step processes. They must agree, since one compiles what the other runs.
pub fn engine() -> anyhow::Result<Engine> {
    started(&config())
}

/// The engine of a compile process, which looks at what it compiles but never runs it. The process could not make memory
/// executable.
pub fn compiling_engine() -> anyhow::Result<Engine> {
    started(config().with_custom_code_memory(Some(Arc::new(NotExecutable))))
}

fn config() -> Config {
    let mut config = Config::new();
    config.epoch_interruption(true);
    config.max_wasm_stack(1 << 20);
    config
}

fn started(config: &Config) -> anyhow::Result<Engine> {
    Engine::new(config).map_err(anyhow::Error::from).context("cannot start the WebAssembly runtime")
}

/// Leaves compiled code as it is: data.
struct NotExecutable;

impl CustomCodeMemory for NotExecutable {
    fn required_alignment(&self) -> usize {
        // Data has none.
        1
    }

    fn publish_executable(&self, _: *const u8, _: usize) -> wasmtime::Result<()> {
        Ok(())
    }

    fn unpublish_executable(&self, _: *const u8, _: usize) -> wasmtime::Result<()> {
        Ok(())
    }
}

/// Loads the compiler's output.
pub fn load(engine: &Engine, compiled: &Path) -> anyhow::Result<Component> {
    // SAFETY: the file is native code and must be one that the compiler wrote: the host names it in the job, from a
    // folder that only this user can write to.
    unsafe { Component::deserialize_file(engine, compiled) }
        .map_err(anyhow::Error::from)
        .with_context(|| format!("cannot load the compiled driver `{}`", compiled.display()))
}

/// How long an unused entry of the cache is kept.
const UNUSED_AFTER: std::time::Duration = std::time::Duration::from_secs(90 * 24 * 60 * 60);

/// The size that the cache is reduced to before something is added, in bytes. A driver in Python takes 40 MB for each of
/// its builds.
const MAX_CACHE: u64 = 4 << 30;

/// How long an entry stays in any case: a run that is about to load it may have found it as long ago as a use is recorded.
const KEPT_FOR: std::time::Duration = std::time::Duration::from_secs(2 * 24 * 60 * 60);

/// Removes what has not been used for a long time from the cache: drivers that have changed since, and the remains of
/// an interrupted compilation. What cannot be removed is left for the next time.
pub fn remove_unused(folder: &Path) {
    remove_beyond(folder, MAX_CACHE);
}

/// Removes what has not been used for a long time, and then what was used longest ago until the rest has at most `most`
/// bytes.
fn remove_beyond(folder: &Path, most: u64) {
    let mut left = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_own = [".cwasm", ".spec"].iter().any(|ending| name.to_string_lossy().ends_with(ending))
            || name.to_string_lossy().starts_with(".tmp");
        let found = entry.metadata().ok().filter(fs::Metadata::is_file);
        let Some((found, used)) = found.and_then(|found| Some((found.len(), found.modified().ok()?))) else { continue };
        if is_own && used.elapsed().is_ok_and(|age| age > UNUSED_AFTER) {
            let _ = fs::remove_file(entry.path());
        } else if is_own && !name.to_string_lossy().starts_with(".tmp") {
            left.push((used, found, entry.path()));
        }
    }
    left.sort();
    let mut bytes: u64 = left.iter().map(|(_, bytes, _)| bytes).sum();
    for (used, size, path) in left {
        if bytes <= most || used.elapsed().is_ok_and(|age| age < KEPT_FOR) {
            return;
        }
        if fs::remove_file(path).is_ok() {
            bytes -= size;
        }
    }
}

/// Opens an entry of the cache, if it is a regular file.
#[expect(clippy::disallowed_methods, reason = "neither follows a symlink nor waits for a pipe")]
pub fn open_entry(path: &Path) -> Option<fs::File> {
    let file = fs::File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW).open(path).ok()?;
    file.metadata().is_ok_and(|found| found.is_file()).then_some(file)
}

/// Records that an entry of the cache was used, for the removal of unused ones.
pub fn mark_used(entry: &fs::File) {
    let fresh = entry
        .metadata()
        .and_then(|found| found.modified())
        .is_ok_and(|used| used.elapsed().is_ok_and(|age| age < std::time::Duration::from_secs(24 * 60 * 60)));
    if !fresh {
        // At worst, an entry whose use is not recorded is compiled again.
        let _ = entry.set_modified(std::time::SystemTime::now());
    }
}

/// `$OSIRIS_CACHE_DIR`, or `osiris/compiled` in the user's cache folder. Created with mode 0700, and refused if another
/// user owns it or may write to it, since its files are run as native code.
pub fn cache_folder() -> anyhow::Result<PathBuf> {
    let named = |name: &str| environment::variable(name).map(PathBuf::from);
    let folder = match named(environment::CACHE_FOLDER) {
        Some(folder) => folder,
        None => {
            match named(environment::CACHE_HOME).or_else(|| named(environment::HOME).map(|home| home.join(".cache"))) {
                Some(cache) => cache.join("osiris").join("compiled"),
                None => bail!("cannot find a cache folder: set OSIRIS_CACHE_DIR or HOME"),
            }
        }
    };
    DirBuilder::new().recursive(true).mode(0o700).create(&folder).with_context(|| {
        format!("cannot create the compile cache `{}`; OSIRIS_CACHE_DIR names another folder", folder.display())
    })?;
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
    #![allow(clippy::disallowed_methods, clippy::unwrap_used)]
    use super::*;
    use std::time::{Duration, SystemTime};

    #[test]
    fn what_was_used_longest_ago_leaves_a_full_cache() {
        let folder = tempfile::tempdir().unwrap();
        for (name, days) in
            [("old.cwasm", 100), ("a.cwasm", 5), ("b.cwasm", 4), ("c.spec", 1), (".tmp1", 5), ("notes.txt", 200)]
        {
            let path = folder.path().join(name);
            fs::write(&path, [0; 100]).unwrap();
            let used = SystemTime::now() - Duration::from_secs(days * 24 * 60 * 60);
            fs::File::options().write(true).open(&path).unwrap().set_modified(used).unwrap();
        }
        let left = |most| {
            remove_beyond(folder.path(), most);
            let mut names: Vec<_> =
                fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        assert_eq!(left(300), [".tmp1", "a.cwasm", "b.cwasm", "c.spec", "notes.txt"]);
        assert_eq!(left(299), [".tmp1", "b.cwasm", "c.spec", "notes.txt"]);
        assert_eq!(left(0), [".tmp1", "c.spec", "notes.txt"], "what was used recently stays");
    }
}
