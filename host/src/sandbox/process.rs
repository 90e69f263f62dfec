//! Removes what no step process ever needs: inherited files, core dumps, tracers, survival of its host, and the host's
//! namespaces.

#![expect(unsafe_code, reason = "closes file descriptors that nothing owns")]

use std::sync::OnceLock;

use anyhow::Context;
use rustix::process::{DumpableBehavior, Resource, Rlimit, Signal};

use super::namespaces::{self, Separation};

/// The result of leaving the host's namespaces.
static SEPARATION: OnceLock<Separation> = OnceLock::new();

/// Drops all of that. Call it first, while the process has one thread and has opened nothing.
///
/// # Errors
/// If the kernel refuses.
pub fn shed() -> anyhow::Result<()> {
    SEPARATION.get_or_init(namespaces::separate);
    shed_in_place()
}

/// Like [`shed`], for tests that leave the process in the host's namespaces.
///
/// # Errors
/// If the kernel refuses.
pub fn shed_in_place() -> anyhow::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .context("cannot tie the step process to its host")?;
    close_inherited().context("cannot close inherited files")?;
    no_core_files().context("cannot switch core files off")?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).context("cannot make the process undumpable")
}

/// Whether the process has namespaces of its own; it has none before [`shed`].
pub fn separation() -> Separation {
    SEPARATION.get().cloned().unwrap_or(Separation::Shared("nothing was shed".to_owned()))
}

/// Prevents this process and its children from writing core files, which contain all of their memory.
///
/// # Errors
/// If the kernel refuses.
pub fn no_core_files() -> std::io::Result<()> {
    Ok(rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?)
}

/// Closes every file except stdin, stdout and stderr.
fn close_inherited() -> std::io::Result<()> {
    // SAFETY: the process has just started, so nothing in it owns a file beyond the first three.
    match unsafe { libc::close_range(3, libc::c_uint::MAX, 0) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Permanently gives up all privileges that a set-uid program could grant.
pub fn no_new_privileges() -> anyhow::Result<()> {
    rustix::thread::set_no_new_privs(true).context("cannot give up new privileges")
}
