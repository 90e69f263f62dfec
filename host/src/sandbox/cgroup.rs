//! A cgroup for each step process, if one is delegated to the host: the kernel then counts the memory and the threads of
//! the process and of anything that it might start, and enforces both limits without the host.
//!
//! In cgroup v2, processes are only in leaves. The host therefore creates the groups beside its own, in the parent: as
//! systemd arranges with `Delegate=yes` and `DelegateSubgroup=`.

#![expect(clippy::disallowed_methods, reason = "the files are the kernel's, in `/proc` and in the host's cgroup")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The controllers that a step's group needs.
const CONTROLLERS: [&str; 2] = ["memory", "pids"];

/// The remedy if no cgroup is delegated.
const REMEDY: &str = "start Osiris by `systemd-run --user --pty -p Delegate=yes -p DelegateSubgroup=host …`";

/// A cgroup in which the host may create others.
#[derive(Debug)]
pub struct Delegated {
    folder: PathBuf,
}

/// A step process's cgroup. Dropping it removes it, once the process is gone.
#[derive(Debug)]
pub struct Group {
    folder: PathBuf,
    memory_bytes: u64,
}

/// The cgroup that is delegated to this process; `Err` says why there is none, and what provides one.
pub fn delegated() -> Result<&'static Delegated, &'static str> {
    static FOUND: OnceLock<Result<Delegated, String>> = OnceLock::new();
    let read = |file| fs::read_to_string(file).unwrap_or_default();
    let find = || {
        let folder = parent(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo"))?;
        if !is_given(&folder) {
            return Err(format!("its cgroup is not delegated; {REMEDY}"));
        }
        Delegated::open(folder)
    };
    FOUND.get_or_init(find).as_ref().map_err(String::as_str)
}

/// The parent of the cgroup in `cgroups`, as `/proc/self/cgroup` shows it; `mounts` is `/proc/self/mountinfo`.
fn parent(cgroups: &str, mounts: &str) -> Result<PathBuf, String> {
    let own = cgroups.lines().find_map(|line| line.strip_prefix("0::"));
    let mount = mounts.lines().find_map(mount_point);
    let (Some(own), Some(mount)) = (own, mount) else { return Err("there is no cgroup v2".to_owned()) };
    match Path::new(own.trim_start_matches('/')).parent() {
        Some(parent) if !parent.starts_with("..") => Ok(mount.join(parent)),
        _ => Err(format!("this process is in the root of its cgroups; {REMEDY}")),
    }
}

/// Whether the cgroup is delegated. Root may write to every cgroup, so systemd's mark decides (`user.delegate`, see its
/// document CGROUP_DELEGATION); for other users, only a delegated one is writable.
fn is_given(folder: &Path) -> bool {
    let mut mark = [0; 1];
    !rustix::process::geteuid().is_root()
        || (rustix::fs::getxattr(folder, "user.delegate", &mut mark[..]) == Ok(1) && mark == *b"1")
}

impl Delegated {
    /// The cgroup `folder`, with the controllers turned on for its children.
    fn open(folder: PathBuf) -> Result<Self, String> {
        let known = words(&folder.join("cgroup.controllers"));
        if !CONTROLLERS.iter().all(|controller| known.iter().any(|known| known == controller)) {
            return Err(format!("its cgroup does not count memory and processes; {REMEDY}"));
        }
        let switch = folder.join("cgroup.subtree_control");
        for controller in CONTROLLERS {
            if !words(&switch).iter().any(|on| on == controller)
                && fs::write(&switch, format!("+{controller}")).is_err()
            {
                return Err(format!("its cgroup is not delegated; {REMEDY}"));
            }
        }
        let delegated = Self { folder };
        match delegated.group("try", 1 << 30, 1000) {
            Ok(_) => Ok(delegated),
            Err(error) => Err(format!("no cgroup can be created: {error}; {REMEDY}")),
        }
    }

    /// Creates a group whose processes have at most `memory_bytes` of memory and `processes` processes and threads.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn group(&self, name: &str, memory_bytes: u64, processes: u64) -> io::Result<Group> {
        let folder = self.folder.join(format!("osiris-{}-{name}", std::process::id()));
        fs::create_dir(&folder)?;
        let group = Group { folder, memory_bytes };
        group.set("memory.max", memory_bytes)?;
        group.set("pids.max", processes)?;
        Ok(group)
    }
}

impl Group {
    /// Moves a process into the group. Processes that it starts later are in it too.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn admit(&self, process: u32) -> io::Result<()> {
        self.set("cgroup.procs", u64::from(process))
    }

    /// The limit, if the kernel ended a process at it.
    pub fn ran_out_of(&self) -> Option<u64> {
        let events = fs::read_to_string(self.folder.join("memory.events")).unwrap_or_default();
        let kills = events.lines().find_map(|line| line.strip_prefix("oom_kill "))?;
        (kills.trim() != "0").then_some(self.memory_bytes)
    }

    fn set(&self, file: &str, value: u64) -> io::Result<()> {
        fs::write(self.folder.join(file), value.to_string())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A group that still has a process stays; it limits that process further.
        let _ = fs::remove_dir(&self.folder);
    }
}

fn words(file: &Path) -> Vec<String> {
    fs::read_to_string(file).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

/// The mount point in a line of `/proc/self/mountinfo`, if it is one of cgroup v2 (proc_pid_mountinfo(5)).
fn mount_point(line: &str) -> Option<PathBuf> {
    let (mount, kind) = line.split_once(" - ")?;
    (kind.split(' ').next() == Some("cgroup2")).then(|| mount.split(' ').nth(4).map(PathBuf::from))?
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const CGROUPS: &str = "1:name=systemd:/x\n0::/user.slice/run-1.scope/host\n";

    fn mounts(folder: &Path) -> String {
        format!(
            "22 1 0:20 / /proc rw - proc proc rw\n30 24 0:26 / {} rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n",
            folder.display()
        )
    }

    /// A folder with the files that the kernel provides in a delegated cgroup.
    fn scope(controllers: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let scope = root.path().join("user.slice/run-1.scope");
        fs::create_dir_all(scope.join("host")).unwrap();
        fs::write(scope.join("cgroup.controllers"), controllers).unwrap();
        fs::write(scope.join("cgroup.subtree_control"), "memory pids\n").unwrap();
        root
    }

    #[test]
    fn a_group_is_created_beside_the_hosts_own_with_its_limits() {
        let root = scope("cpu memory pids\n");
        let delegated = Delegated::open(parent(CGROUPS, &mounts(root.path())).unwrap()).unwrap();
        assert_eq!(delegated.folder, root.path().join("user.slice/run-1.scope"));
        let group = delegated.group("7", 123_456_789, 1000).unwrap();
        group.admit(4711).unwrap();
        assert_eq!(group.folder.parent(), Some(delegated.folder.as_path()));
        for (file, value) in [("memory.max", "123456789"), ("pids.max", "1000"), ("cgroup.procs", "4711")] {
            assert_eq!(fs::read_to_string(group.folder.join(file)).unwrap(), value, "{file}");
        }
        assert_eq!(group.ran_out_of(), None);
        for (events, expected) in [("low 0\noom 3\noom_kill 0\n", None), ("oom 3\noom_kill 1\n", Some(123_456_789))] {
            fs::write(group.folder.join("memory.events"), events).unwrap();
            assert_eq!(group.ran_out_of(), expected);
        }
        assert!(delegated.group("7", 1, 1).is_err(), "it is another process's");
    }

    #[test]
    fn without_a_delegated_cgroup_the_reason_is_reported() {
        let root = scope("cpu pids\n");
        let why = |cgroups: &str, mounts: &str| parent(cgroups, mounts).and_then(Delegated::open).unwrap_err();
        assert_eq!(why("4:memory:/x\n", &mounts(root.path())), "there is no cgroup v2");
        assert_eq!(why(CGROUPS, "22 1 0:20 / /proc rw - proc proc rw\n"), "there is no cgroup v2");
        assert!(why("0::/\n", &mounts(root.path())).contains("in the root of its cgroups"));
        assert!(why(CGROUPS, &mounts(root.path())).contains("does not count memory and processes"));
        assert!(why("0::/user.slice/nix/host\n", &mounts(root.path())).contains("systemd-run"));
    }
}
