//! Takes from a process everything but what it was granted: the operating system's layer of the sandbox.
//!
//! `shed` drops what no step ever needs, before anything else happens. `confine` closes the process
//! in before it opens an input; `narrow` closes the way to the inputs' files once they are open.

mod landlock;
mod limits;
mod machine;
mod process;
mod seccomp;

use std::os::fd::BorrowedFd;
use std::path::Path;

pub use limits::{CpuClock, limit, limit_compiler};
pub use machine::{Protection, protections};
pub use process::{no_core_files, shed};

/// What a process may reach once it is confined.
#[derive(Debug, Default)]
pub struct Reach<'a> {
    /// Files, open already: what is granted is the file that was found, not whatever its path names later.
    pub read: Vec<BorrowedFd<'a>>,
    pub write: Vec<BorrowedFd<'a>>,
    /// A folder that is the process's own.
    pub scratch: Option<&'a Path>,
    /// Whether it may take open streams from its host and use them. It makes none itself.
    pub network: bool,
}

/// What the kernel made of the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confinement {
    /// What the kernel does not enforce, in words.
    pub missing: Vec<String>,
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
    let mut missing = Vec::new();
    missing.extend(landlock::restrict(reach)?);
    missing.extend(seccomp::restrict(reach.network)?);
    Ok(Confinement { missing })
}

/// Takes from an already confined process what `reach` lacks. Files that are open stay usable.
///
/// # Errors
/// When a rule cannot be made, or the kernel refuses the rules.
pub fn narrow(reach: &Reach<'_>) -> anyhow::Result<()> {
    landlock::restrict(reach).map(|_| ())
}
