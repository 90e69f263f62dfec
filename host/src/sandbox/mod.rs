//! Takes from a process everything but what it was granted: the operating system's layer of the sandbox.
//!
//! `shed` drops what no step ever needs, before anything else happens. `confine` closes the process in before it reads
//! anything of a stranger's; `seal` takes the right to load code once the driver is loaded; `narrow` closes the way to
//! the inputs' files once they are open.

mod capabilities;
mod landlock;
mod limits;
mod machine;
mod namespaces;
mod process;
mod seccomp;

use std::os::fd::BorrowedFd;
use std::path::Path;

use serde::{Deserialize, Serialize};

use namespaces::Separation;
use seccomp::Code;

pub use limits::{CpuClock, limit, limit_compiler};
pub use machine::{Protection, protections, tried, try_it};
pub use process::{no_core_files, shed, shed_in_place};

/// What a process may reach once it is confined.
#[derive(Debug, Default)]
pub struct Reach<'a> {
    /// Files, open already: what is granted is the file that was found, not whatever its path names later.
    pub read: Vec<BorrowedFd<'a>>,
    pub write: Vec<BorrowedFd<'a>>,
    /// Compiled code that the process has yet to load. It may map code into memory until [`seal`].
    pub load: Option<BorrowedFd<'a>>,
    /// A folder that is the process's own.
    pub scratch: Option<&'a Path>,
    /// Whether it may take open streams from its host and use them. It makes none itself.
    pub network: bool,
}

/// What the kernel made of the rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// What the kernel does not enforce, in words.
    pub missing: Vec<String>,
    /// Why there is no second wall of namespaces, where there is none. A process is confined without it.
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

/// Confines the calling thread, and so all threads it starts, to `reach`: files, network, signals
/// and system calls. Call it while the process has one thread.
///
/// # Errors
/// When a rule cannot be made, or the kernel refuses the rules.
pub fn confine(reach: &Reach<'_>) -> anyhow::Result<Confinement> {
    process::no_new_privileges()?;
    let shared = wall_in(reach)?;
    let mut missing = Vec::new();
    missing.extend(landlock::restrict(reach)?);
    missing.extend(seccomp::restrict(reach.network, if reach.load.is_some() { Code::Loads } else { Code::Loaded })?);
    Ok(Confinement { missing, shared })
}

/// The second wall: an empty root, and no capabilities. Says why there is no empty root where there is none.
///
/// # Errors
/// When capabilities cannot be given up.
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

/// Takes the right to map code into memory, once what `reach.load` was is loaded.
///
/// # Errors
/// When the rules cannot be made, or the kernel refuses them.
pub fn seal(network: bool) -> anyhow::Result<()> {
    seccomp::seal(network)
}

/// Takes from an already confined process what `reach` lacks. Files that are open stay usable.
///
/// # Errors
/// When a rule cannot be made, or the kernel refuses the rules.
pub fn narrow(reach: &Reach<'_>) -> anyhow::Result<()> {
    landlock::restrict(reach).map(|_| ())
}
