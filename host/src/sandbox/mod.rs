//! Restricts a process to what it was granted: the operating system's layer of the sandbox.
//!
//! `shed` drops what no step ever needs, before anything else happens. `confine` restricts the process before it reads
//! anything untrusted; `seal` removes the right to load code once the driver is loaded; `narrow` removes access to the
//! inputs' files once they are open.

mod capabilities;
pub mod cgroup;
mod landlock;
mod limits;
mod machine;
mod namespaces;
mod process;
mod seccomp;
mod start;

use std::os::fd::BorrowedFd;
use std::path::Path;

use serde::{Deserialize, Serialize};

use namespaces::Separation;
use seccomp::Code;

pub use limits::{CpuClock, limit, limit_compiler, raise_open_files};
pub use machine::{Protection, protections, tried, try_it};
pub use process::{no_core_files, shed, shed_in_place};
pub use start::own_process;

/// What a process may reach once it is confined.
#[derive(Debug, Default)]
pub struct Reach<'a> {
    /// Files that are already open: the grant is for the file that was found, not for whatever its path names later.
    pub read: Vec<BorrowedFd<'a>>,
    pub write: Vec<BorrowedFd<'a>>,
    /// Compiled code that the process has not loaded yet. It may map code into memory until [`seal`].
    pub load: Option<BorrowedFd<'a>>,
    /// The process's own folder.
    pub scratch: Option<&'a Path>,
    /// Whether it may receive open streams from its host and use them. It cannot create any itself.
    pub network: bool,
}

/// The result of applying the rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// A description of what the kernel does not enforce.
    pub missing: Vec<String>,
    /// Why there is no second wall of namespaces, if it is missing. The process is confined even without it.
    pub shared: Option<String>,
}

impl Confinement {
    pub fn is_whole(&self) -> bool {
        self.missing.is_empty()
    }

    pub fn words(&self) -> String {
        self.missing.join("; ")
    }
}

/// Confines the calling thread, and so all threads that it starts, to `reach`: files, network, signals and system
/// calls. Call it while the process has one thread.
///
/// # Errors
/// If a rule cannot be made, or the kernel refuses the rules.
pub fn confine(reach: &Reach<'_>) -> anyhow::Result<Confinement> {
    process::no_new_privileges()?;
    let shared = wall_in(reach)?;
    let mut missing = Vec::new();
    missing.extend(landlock::restrict(reach)?);
    missing.extend(seccomp::restrict(reach.network, if reach.load.is_some() { Code::Loads } else { Code::Loaded })?);
    Ok(Confinement { missing, shared })
}

/// Builds the second wall: an empty root, and no capabilities. Returns why there is no empty root, if it cannot be
/// made.
///
/// # Errors
/// If capabilities cannot be dropped.
pub fn wall_in(reach: &Reach<'_>) -> anyhow::Result<Option<String>> {
    let shared = match process::separation() {
        Separation::Shared(why) => Some(why),
        Separation::Own => namespaces::enclose(reach.scratch)
            .err()
            .map(|error| format!("this machine gives no empty root folder ({error})")),
    };
    capabilities::drop_all(&[reach.read.as_slice(), reach.load.as_slice()].concat())?;
    Ok(shared)
}

/// Removes the right to map code into memory, once `reach.load` is loaded.
///
/// # Errors
/// If the rules cannot be made, or the kernel refuses them.
pub fn seal(network: bool) -> anyhow::Result<()> {
    seccomp::seal(network)
}

/// Removes from an already confined process whatever `reach` lacks. Open files stay usable.
///
/// # Errors
/// If a rule cannot be made, or the kernel refuses the rules.
pub fn narrow(reach: &Reach<'_>) -> anyhow::Result<()> {
    landlock::restrict(reach).map(|_| ())
}
