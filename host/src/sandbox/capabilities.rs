//! Root's privileges, which no step keeps: a process that is confined has no capability, also when run by root.

use std::os::fd::BorrowedFd;

use anyhow::Context;
use rustix::fs::fstat;
use rustix::process::{getegid, geteuid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, remove_capability_from_bounding_set, set_capabilities,
};

/// Drops every capability, for good. Where root was granted a file that its owner keeps to himself, the right to read
/// stays, since DuckDB opens the file again: what can be opened at all is bounded by the granted files.
///
/// # Errors
/// When the kernel refuses.
pub fn drop_all(granted: &[BorrowedFd<'_>]) -> anyhow::Result<()> {
    let needed = geteuid().is_root() && !granted.iter().all(|file| is_readable(*file));
    let kept = if needed { CapabilitySet::DAC_READ_SEARCH } else { CapabilitySet::empty() };
    let _ = clear_ambient_capability_set();
    for capability in CapabilitySet::all().iter() {
        // Refused without the right to, and for capabilities that this kernel does not have.
        let _ = remove_capability_from_bounding_set(capability);
    }
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets).context("cannot give up capabilities")
}

/// Whether the file's mode lets this process read it. What cannot be asked is taken to be readable: then opening fails.
fn is_readable(file: BorrowedFd<'_>) -> bool {
    let Ok(found) = fstat(file) else { return true };
    let read = if found.st_uid == geteuid().as_raw() {
        0o400
    } else if found.st_gid == getegid().as_raw() {
        0o040
    } else {
        0o004
    };
    found.st_mode & read != 0
}
