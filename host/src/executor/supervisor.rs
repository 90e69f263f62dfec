//! Ends processes at their limits, from two dedicated threads.
//!
//! Neither thread prints, writes to a log, waits for a message or takes a lock that anybody holds while waiting for
//! something else. So neither a terminal that nobody reads nor a watched process can block them. One checks time, CPU
//! and memory; the other checks the disk, so that a slow file system delays only its own limit.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::{Signal, pidfd_send_signal};

use super::disk::{Disk, DiskAllowance};
use super::figures::Figures;
use crate::error::{Blame, DISK_FULL, Failure};
use crate::grants::limits::Limits;
use crate::size::spell;

/// How often each thread checks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The number of threads that a step's process may have: more than DuckDB, wasmtime's pollables and HTTP calls ever
/// start.
pub const MAX_THREADS: u64 = 1000;

/// The pause after a step was ended for want of free space, before the next one may be: its space has to be freed
/// first.
const SETTLE: Duration = Duration::from_secs(3);

/// The limits of a process.
#[derive(Debug)]
pub struct Allowance {
    /// Counted from the start of the watch.
    pub time: Duration,
    /// How long after its limits of time and CPU time a process may take to end by itself.
    pub grace: Duration,
    /// The other limits of a process whose figures are read; without figures, only the kernel enforces them.
    pub figures: Option<FiguresAllowance>,
    pub disk: Option<DiskAllowance>,
}

/// Limits on what the kernel counts for a process.
#[derive(Debug)]
pub struct FiguresAllowance {
    pub figures: Figures,
    pub cpu: Duration,
    pub resident_bytes: u64,
}

/// Why a process was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overrun {
    Time(Duration),
    Cpu(Duration),
    /// The memory that it used, in bytes.
    Memory(u64),
    Threads(u64),
    /// The limit of its scratch folder, in bytes.
    Scratch(u64),
    /// The limit of a written file, in bytes.
    File(u64),
    /// The free space on the disk, and the space that the step used.
    Floor {
        free: u64,
        taken: u64,
    },
    /// The kernel gives no figures for it.
    Unseen,
}

impl Overrun {
    /// The failure of a step of `driver` that was ended for this reason.
    pub fn failure(self, driver: &str) -> Failure {
        let (blame, kind, ended, limit) = match self {
            Self::Time(limit) => {
                (Blame::Driver, "timeout", format!("after {} s, its time limit", limit.as_secs()), Some(Limits::WALL))
            }
            Self::Cpu(limit) => {
                let ended = format!("after {} s of CPU time, its limit", limit.as_secs());
                (Blame::Driver, "cpu", ended, Some(Limits::CPU))
            }
            Self::Memory(held) => {
                let ended = format!("when its process held {} of memory", spell(held));
                (Blame::Driver, "memory", ended, Some(Limits::ENGINE_MEMORY))
            }
            Self::Threads(threads) => (Blame::Driver, "threads", format!("when it had {threads} threads"), None),
            Self::Scratch(most) => {
                let ended = format!("when its scratch folder took more than {}", spell(most));
                (Blame::Driver, "disk", ended, Some(Limits::SPILL))
            }
            Self::File(most) => {
                let ended = format!("when a file it wrote was larger than {}", spell(most));
                (Blame::Driver, "output", ended, Some(Limits::OUTPUT))
            }
            Self::Floor { free, taken } => {
                let ended =
                    format!("because the disk has only {} left, and it had taken {}", spell(free), spell(taken));
                (Blame::Host, DISK_FULL, ended, None)
            }
            Self::Unseen => {
                (Blame::Host, "unmeasured", "because the kernel gives no figures of its process".to_owned(), None)
            }
        };
        let hint = match self {
            Self::Floor { .. } => Some("free some space, or run fewer steps at once with `--jobs N`".into()),
            Self::Unseen => Some("see `osiris doctor`: is `/proc` mounted?".into()),
            _ => limit.map(|limit| format!("give the step more with `{}`", limit.usage()).into()),
        };
        Failure { hint, ..Failure::new(blame, kind, format!("driver `{driver}` was ended {ended}")) }
    }
}

/// The two threads; they end with the last clone of this.
#[derive(Debug, Clone)]
pub struct Supervisor(Arc<Mutex<BTreeMap<u64, Arc<WatchedProcess>>>>);

#[derive(Debug)]
struct WatchedProcess {
    process: Arc<OwnedFd>,
    begun: Instant,
    allowance: Allowance,
    overrun: OnceLock<Overrun>,
}

/// Watches a process until this is dropped.
#[derive(Debug)]
pub struct Watch {
    number: u64,
    watched: Arc<WatchedProcess>,
    all: Supervisor,
}

impl Supervisor {
    /// # Errors
    /// If the machine provides no threads.
    pub fn start() -> anyhow::Result<Self> {
        let all = Self(Arc::default());
        let (looking, measuring) = (Arc::downgrade(&all.0), Arc::downgrade(&all.0));
        let mut ended: Option<Instant> = None;
        every("osiris-limits", looking, |all| {
            for watched in all {
                watched.end_at_limit(watched.look());
            }
        })?;
        every("osiris-disk", measuring, move |all| {
            if end_by_disk(all, ended.is_none_or(|ended| ended.elapsed() > SETTLE)) {
                ended = Some(Instant::now());
            }
        })?;
        Ok(all)
    }

    /// Watches a process from now on. The watch must be dropped before the process is waited for.
    pub fn watch(&self, number: u64, process: Arc<OwnedFd>, allowance: Allowance) -> Watch {
        let watched = Arc::new(WatchedProcess { process, begun: Instant::now(), allowance, overrun: OnceLock::new() });
        self.all().insert(number, Arc::clone(&watched));
        Watch { number, watched, all: self.clone() }
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<WatchedProcess>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    /// Why the process was ended, if it was.
    pub fn overrun(&self) -> Option<Overrun> {
        self.watched.overrun.get().copied()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.all.all().remove(&self.number);
    }
}

/// Starts a thread that calls `look` with everything that is watched, until the last [`Supervisor`] is dropped.
fn every(
    name: &str,
    all: Weak<Mutex<BTreeMap<u64, Arc<WatchedProcess>>>>,
    mut look: impl FnMut(&[Arc<WatchedProcess>]) + Send + 'static,
) -> anyhow::Result<()> {
    let looking = move || {
        while let Some(all) = all.upgrade() {
            let watched: Vec<_> = all.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
            drop(all);
            look(&watched);
            drop(watched);
            std::thread::sleep(LOOK_EVERY);
        }
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(looking).context("cannot start the supervisor")?;
    Ok(())
}

impl WatchedProcess {
    fn end_at_limit(&self, overrun: Option<Overrun>) -> bool {
        let Some(overrun) = overrun else { return false };
        // The first reason is the one that is reported; the signal is sent until the process has gone.
        let _ = self.overrun.set(overrun);
        let _ = pidfd_send_signal(&self.process, Signal::KILL);
        true
    }

    /// Whether time, CPU, memory or threads are exhausted.
    fn look(&self) -> Option<Overrun> {
        let allowance = &self.allowance;
        if self.begun.elapsed() > allowance.time + allowance.grace {
            return Some(Overrun::Time(allowance.time));
        }
        let FiguresAllowance { figures, cpu, resident_bytes } = allowance.figures.as_ref()?;
        let Some(used) = figures.read() else { return Some(Overrun::Unseen) };
        if used.cpu > *cpu + allowance.grace {
            Some(Overrun::Cpu(*cpu))
        } else if used.resident_bytes > *resident_bytes {
            Some(Overrun::Memory(used.resident_bytes))
        } else if used.threads > MAX_THREADS {
            Some(Overrun::Threads(used.threads))
        } else {
            None
        }
    }
}

/// Ends processes that use too much disk space and, if `may` is set, the largest of those on a disk that is nearly
/// full. Returns whether it ended one for the latter reason.
fn end_by_disk(all: &[Arc<WatchedProcess>], may: bool) -> bool {
    let mut largest: BTreeMap<u64, (Disk, u64, &WatchedProcess)> = BTreeMap::new();
    for watched in all {
        let Some(allowance) = &watched.allowance.disk else { continue };
        let taken = allowance.taken();
        if taken.scratch_bytes > allowance.scratch_bytes {
            watched.end_at_limit(Some(Overrun::Scratch(allowance.scratch_bytes)));
        } else if taken.largest_file > allowance.file_bytes {
            watched.end_at_limit(Some(Overrun::File(allowance.file_bytes)));
        } else if let Some(disk) = Disk::of(&allowance.scratch) {
            let before = largest.entry(disk.id).or_insert((disk, 0, watched));
            if taken.all_bytes > before.1 {
                *before = (disk, taken.all_bytes, watched);
            }
        }
    }
    let mut ended = false;
    for (disk, taken, watched) in largest.into_values() {
        // If steps use little space, somebody else has filled the disk, and ending them would free nothing.
        if may && disk.free < disk.floor() && taken >= disk.floor() / 2 {
            ended |= watched.end_at_limit(Some(Overrun::Floor { free: disk.free, taken }));
        }
    }
    ended
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, clippy::unwrap_used)]
    use super::*;
    use rustix::process::{Pid, PidfdFlags, pidfd_open};
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Command, Stdio};

    fn start(script: &str) -> (Child, Arc<OwnedFd>) {
        let child = Command::new("sh").args(["-c", script]).stdout(Stdio::null()).spawn().unwrap();
        let process = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
        (child, Arc::new(process))
    }

    /// How a process with these limits ends, and why.
    fn watched(script: &str, limit: impl FnOnce(&mut Allowance, u32)) -> (Option<i32>, Option<Overrun>) {
        let supervisor = Supervisor::start().unwrap();
        let (mut child, process) = start(script);
        let mut allowance =
            Allowance { time: Duration::from_secs(60), grace: Duration::ZERO, figures: None, disk: None };
        limit(&mut allowance, child.id());
        let watch = supervisor.watch(1, process, allowance);
        let signal = loop {
            // A zombie still has figures until it is waited for.
            match watch.overrun() {
                Some(_) => break child.wait().unwrap().signal(),
                None if figures_are_gone(child.id()) => break child.wait().unwrap().signal(),
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        (signal, watch.overrun())
    }

    fn figures_are_gone(id: u32) -> bool {
        std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| stat.contains(") Z "))
    }

    fn measured(id: u32, cpu: u64, resident_bytes: u64) -> Option<FiguresAllowance> {
        Some(FiguresAllowance { figures: Figures::open(id).unwrap(), cpu: Duration::from_secs(cpu), resident_bytes })
    }

    #[test]
    fn a_process_within_its_limits_is_left_alone() {
        assert_eq!(watched("exit 3", |allowance, id| allowance.figures = measured(id, 60, 1 << 30)), (None, None));
    }

    #[test]
    fn a_process_is_ended_at_each_limit() {
        let time = Duration::from_millis(300);
        let sleeping = watched("sleep 100", |allowance, _| allowance.time = time);
        assert_eq!(sleeping, (Some(9), Some(Overrun::Time(time))));
        let stopped = watched("kill -STOP $$", |allowance, _| allowance.time = time);
        assert_eq!(stopped, (Some(9), Some(Overrun::Time(time))), "a stopped process is ended like any other");
        let spinning = watched("while :; do :; done", |allowance, id| allowance.figures = measured(id, 1, 1 << 30));
        assert_eq!(spinning, (Some(9), Some(Overrun::Cpu(Duration::from_secs(1)))));
        let (signal, overrun) = watched("sleep 100", |allowance, id| allowance.figures = measured(id, 60, 1));
        assert!(matches!((signal, overrun), (Some(9), Some(Overrun::Memory(2..)))), "{overrun:?}");
    }

    #[test]
    fn a_process_without_figures_is_ended() {
        let supervisor = Supervisor::start().unwrap();
        let (mut gone, _) = start("exit 0");
        let figures = measured(gone.id(), 60, 1 << 30);
        gone.wait().unwrap();
        let (mut child, process) = start("sleep 100");
        let allowance = Allowance { time: Duration::from_secs(60), grace: Duration::ZERO, figures, disk: None };
        let watch = supervisor.watch(1, process, allowance);
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        assert_eq!(watch.overrun(), Some(Overrun::Unseen));
    }

    #[test]
    fn a_folder_over_its_limit_ends_its_step_and_no_other() {
        let supervisor = Supervisor::start().unwrap();
        let mut watches = Vec::new();
        for (number, most) in [(1, 1 << 30), (2, 10_000)] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("spill"), vec![1; 100_000]).unwrap();
            let scratch = cap_std::fs::Dir::open_ambient_dir(folder.path(), cap_std::ambient_authority()).unwrap();
            let disk = DiskAllowance { scratch, scratch_bytes: most, files: Vec::new(), file_bytes: 1 << 30 };
            let (child, process) = start("sleep 100");
            let allowance =
                Allowance { time: Duration::from_secs(60), grace: Duration::ZERO, figures: None, disk: Some(disk) };
            watches.push((child, supervisor.watch(number, process, allowance), folder));
        }
        let [(small, kept, _), (large, ended, _)] = &mut watches[..] else { unreachable!() };
        assert_eq!(large.wait().unwrap().signal(), Some(9));
        assert_eq!((ended.overrun(), kept.overrun()), (Some(Overrun::Scratch(10_000)), None));
        assert!(small.try_wait().unwrap().is_none());
        small.kill().unwrap();
        small.wait().unwrap();
    }
}
