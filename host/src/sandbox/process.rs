//! What no step process ever needs: inherited files, core dumps, tracers, a life beyond its host's, the host's namespaces.

#![expect(unsafe_code, reason = "closes file descriptors that nothing owns")]

use std::sync::OnceLock;

use anyhow::Context;
use rustix::process::{DumpableBehavior, Resource, Rlimit, Signal};

use super::namespaces::{self, Separation};

/// What leaving the host's namespaces gave.
static SEPARATION: OnceLock<Separation> = OnceLock::new();

/// Drops it. Call it first of all, while the process has one thread and has opened nothing.
///
/// # Errors
/// When the kernel refuses.
pub fn shed() -> anyhow::Result<()> {
    SEPARATION.get_or_init(namespaces::separate);
    shed_in_place()
}

/// [`shed`] for tests that leave the process in the host's namespaces.
///
/// # Errors
/// When the kernel refuses.
pub fn shed_in_place() -> anyhow::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .context("cannot tie the step process to its host")?;
    close_inherited().context("cannot close inherited files")?;
    no_core_files().context("cannot switch core files off")?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).context("cannot make the process undumpable")
}

/// Whether the process has namespaces of its own; none where it has not shed anything.
pub fn separation() -> Separation {
    SEPARATION.get().cloned().unwrap_or(Separation::Shared("nothing was shed".to_owned()))
}

/// Keeps this process and its children from writing core files, which hold all of their memory.
///
/// # Errors
/// When the kernel refuses.
pub fn no_core_files() -> std::io::Result<()> {
    Ok(rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?)
}

/// Closes every file but stdin, stdout and stderr.
fn close_inherited() -> std::io::Result<()> {
    // SAFETY: the process has just begun: nothing in it owns a file beyond the first three.
    match unsafe { libc::close_range(3, libc::c_uint::MAX, 0) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Gives up, for good, whatever a set-uid program could give.
pub fn no_new_privileges() -> anyhow::Result<()> {
    rustix::thread::set_no_new_privs(true).context("cannot give up new privileges")
}
