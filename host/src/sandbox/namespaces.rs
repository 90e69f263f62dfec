//! Namespaces: give a process an empty root folder, no network, and no objects shared with other processes.
//!
//! This is a second wall behind Landlock and seccomp, if the kernel allows it to unprivileged users. What the process
//! may still open, it reaches through its open files (`/proc/self/fd`) and its scratch folder, which keeps its path.

#![expect(unsafe_code, reason = "leaves namespaces, which is unsafe for the table of open files alone")]

use std::ffi::CStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, mount_change, mount_remount,
    move_mount, open_tree, unmount,
};
use rustix::process::{chdir, getegid, geteuid, pivot_root};
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Whether the process has namespaces of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Separation {
    /// It has namespaces in which [`enclose`] can make an empty root.
    Own,
    /// It has none, for this reason.
    Shared(String),
}

/// Where open files are found by their number.
const DESCRIPTORS: &str = "/proc/self/fd";

/// The folder over which the empty root is mounted. Any folder would do: it is covered, and then gone.
const COVERED: &str = "/proc";

/// Enough for the few empty folders of the new root.
const SIZE: &CStr = c"size=64k,nr_inodes=256,mode=0755";

/// Leaves the host's namespaces. Call it while the process has one thread and is still dumpable, since an undumpable
/// process may not write its own user map.
pub fn separate() -> Separation {
    match leave() {
        Ok(()) => Separation::Own,
        Err(error) => Separation::Shared(format!("this machine gives no namespaces ({error})")),
    }
}

#[expect(clippy::disallowed_methods, reason = "the files are in `/proc/self`")]
fn leave() -> io::Result<()> {
    let mut apart = UnshareFlags::NEWNS | UnshareFlags::NEWNET | UnshareFlags::NEWIPC;
    // Root already has the privileges; in a user namespace it could no longer read the files of other users.
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    if user != 0 {
        apart |= UnshareFlags::NEWUSER;
    }
    // SAFETY: the table of open files stays shared; only its flag makes the call unsafe.
    unsafe { unshare_unsafe(apart) }?;
    if user != 0 {
        std::fs::write("/proc/self/setgroups", "deny")?;
        std::fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
        std::fs::write("/proc/self/gid_map", format!("{group} {group} 1"))?;
    }
    // Mounts made here are not visible outside.
    Ok(mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?)
}

/// Gives the process an empty, read-only root folder that contains only [`DESCRIPTORS`] and `scratch`.
///
/// # Errors
/// If the kernel refuses a mount. The old root is then still in place.
pub fn enclose(scratch: Option<&Path>) -> io::Result<()> {
    let clone = |path: &Path| open_tree(CWD, path, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC);
    let mut kept = vec![(PathBuf::from(DESCRIPTORS), clone(Path::new(DESCRIPTORS))?)];
    if let Some(scratch) = scratch {
        kept.push((scratch.to_owned(), clone(scratch)?));
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("osiris", COVERED, "tmpfs", flags, SIZE)?;
    if let Err(error) = fill(&kept).and_then(|()| Ok(chdir(COVERED)?)).and_then(|()| Ok(pivot_root(".", ".")?)) {
        let _ = chdir("/");
        let _ = unmount(COVERED, UnmountFlags::DETACH);
        return Err(error);
    }
    // The old root is mounted over the new one, at the same place.
    unmount(".", UnmountFlags::DETACH)?;
    chdir("/")?;
    Ok(mount_remount("/", flags | MountFlags::BIND | MountFlags::RDONLY, c"")?)
}

/// Moves `kept` into the new root, each to its previous path.
fn fill(kept: &[(PathBuf, OwnedFd)]) -> io::Result<()> {
    for (path, tree) in kept {
        let place = Path::new(COVERED).join(path.strip_prefix("/").map_err(io::Error::other)?);
        std::fs::create_dir_all(&place)?;
        move_mount(tree, "", CWD, &place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    }
    Ok(())
}
