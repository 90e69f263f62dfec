//! Root's privileges, which no step keeps: a confined process has no capabilities, even when run by root.

use std::os::fd::BorrowedFd;

use anyhow::Context;
use rustix::fs::fstat;
use rustix::process::{getegid, geteuid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, remove_capability_from_bounding_set, set_capabilities,
};

/// Drops every capability permanently. If root was granted a file that only its owner may read, the capability to read
/// it is kept, because DuckDB opens the file again; which files can be opened at all is still limited to the granted
/// ones.
///
/// # Errors
/// If the kernel refuses.
pub fn drop_all(granted: &[BorrowedFd<'_>]) -> anyhow::Result<()> {
    let needed = geteuid().is_root() && !granted.iter().all(|file| is_readable(*file));
    let kept = if needed { CapabilitySet::DAC_READ_SEARCH } else { CapabilitySet::empty() };
    let _ = clear_ambient_capability_set();
    for capability in CapabilitySet::all().iter() {
        // Refused without the privilege, and for capabilities that this kernel does not have.
        let _ = remove_capability_from_bounding_set(capability);
    }
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets).context("cannot give up capabilities")
}

/// Whether the file's mode lets this process read it. A file that cannot be queried counts as readable; opening it then
/// fails.
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
