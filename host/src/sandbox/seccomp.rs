//! Seccomp: allows only the system calls that a confined step makes. All others fail with EPERM.
//!
//! The list consists of the calls that the whole suite makes after confinement, and of the variants that the same
//! library functions use on other kernels and C libraries.

use std::collections::BTreeMap;

use anyhow::Context;
use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Width, SeccompCmpOp as Op, SeccompCondition as Condition,
    SeccompFilter, SeccompRule, TargetArch,
};

use super::machine;

/// Calls that are allowed with any arguments.
const ALLOWED: &[c_long] = &[
    // Memory that is not executable; see `rules` for mmap and mprotect.
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    // Files: Landlock decides which ones.
    libc::SYS_close,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fadvise64,
    libc::SYS_fallocate,
    libc::SYS_fdatasync,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_lseek,
    libc::SYS_mkdirat,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_read,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_statfs,
    libc::SYS_statx,
    libc::SYS_unlinkat,
    libc::SYS_write,
    libc::SYS_writev,
    // Threads, waiting and time.
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_get_robust_list,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_nanosleep,
    libc::SYS_ppoll,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_sigaltstack,
    // An event loop for WASI's pollables.
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_eventfd2,
    // Further restrictions.
    libc::SYS_landlock_add_rule,
    libc::SYS_landlock_create_ruleset,
    libc::SYS_landlock_restrict_self,
    // Information about the process and the machine.
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getrusage,
    libc::SYS_getuid,
    libc::SYS_sysinfo,
    libc::SYS_uname,
];

/// Older forms of the above that only this architecture has.
#[cfg(target_arch = "x86_64")]
const OLDER: &[c_long] = &[
    libc::SYS_access,
    libc::SYS_epoll_wait,
    libc::SYS_lstat,
    libc::SYS_mkdir,
    libc::SYS_open,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_rmdir,
    libc::SYS_stat,
    libc::SYS_time,
    libc::SYS_unlink,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[c_long] = &[];

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

/// Whether the process may still map code into memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// It has yet to load compiled code, and then install a second filter.
    Loads,
    Loaded,
}

/// Installs the filter on every thread of the process; returns what is missing if the kernel has no seccomp.
///
/// # Errors
/// If the filter cannot be made, or if a kernel that supports such filters refuses this one.
pub fn restrict(network: bool, code: Code) -> anyhow::Result<Option<String>> {
    if !machine::has_seccomp_filters() {
        return Ok(Some("this kernel has no seccomp filters".to_owned()));
    }
    if TargetArch::try_from(std::env::consts::ARCH).is_err() {
        return Ok(Some(format!("the system-call filter is not written for {}", std::env::consts::ARCH)));
    }
    // If clone3 does not exist, the C library falls back to clone, whose flags a filter can read.
    let absent = Rules::from([(libc::SYS_clone3, Vec::new())]);
    install(absent, SeccompAction::Allow, SeccompAction::Errno(libc::ENOSYS as u32))?;
    allow(rules(network, code)?)?;
    Ok(None)
}

/// Forbids what [`Code::Loads`] still allows.
///
/// # Errors
/// If the filter cannot be made, or the kernel refuses it.
pub fn seal(network: bool) -> anyhow::Result<()> {
    if machine::has_seccomp_filters() { allow(rules(network, Code::Loaded)?) } else { Ok(()) }
}

/// Allows the calls in `rules`, and lets every other call fail.
fn allow(rules: Rules) -> anyhow::Result<()> {
    install(rules, SeccompAction::Errno(libc::EPERM as u32), SeccompAction::Allow)
}

fn install(rules: Rules, otherwise: SeccompAction, matched: SeccompAction) -> anyhow::Result<()> {
    let filter = SeccompFilter::new(rules, otherwise, matched, std::env::consts::ARCH.try_into()?);
    let program: BpfProgram = filter.and_then(TryInto::try_into).context("cannot make the system-call filter")?;
    seccompiler::apply_filter_all_threads(&program).context("the kernel refuses the system-call filter")
}

fn rules(network: bool, code: Code) -> anyhow::Result<Rules> {
    let mut rules: Rules = ALLOWED.iter().chain(OLDER).map(|call| (*call, Vec::new())).collect();
    let own = u64::from(std::process::id());
    let conditional = [
        // clone3 passes this filter only because the other one reports it as missing.
        (libc::SYS_clone3, None),
        // Threads, in no namespace of their own.
        (
            libc::SYS_clone,
            Some((0, Width::Dword, Op::MaskedEq(flag(libc::CLONE_THREAD) | NAMESPACES), flag(libc::CLONE_THREAD))),
        ),
        (libc::SYS_mmap, Some((2, Width::Dword, Op::MaskedEq(flag(libc::PROT_EXEC)), 0))),
        (libc::SYS_mprotect, Some((2, Width::Dword, Op::MaskedEq(flag(libc::PROT_EXEC)), 0))),
        // Limits may be read, not set.
        (libc::SYS_prlimit64, Some((2, Width::Qword, Op::Eq, 0))),
        // A process that aborts sends itself a signal.
        (libc::SYS_tgkill, Some((0, Width::Dword, Op::Eq, own))),
    ];
    for (call, condition) in conditional {
        let only = match condition {
            None => Vec::new(),
            Some((argument, width, operator, value)) => {
                vec![SeccompRule::new(vec![Condition::new(argument, width, operator, value)?])?]
            }
        };
        rules.insert(call, only);
    }
    if code == Code::Loads {
        for call in [libc::SYS_mmap, libc::SYS_mprotect, libc::SYS_seccomp] {
            rules.insert(call, Vec::new());
        }
    }
    if network {
        rules.extend(stream_rules()?);
    }
    rules.insert(libc::SYS_prctl, one_of(0, &[libc::PR_SET_NAME, libc::PR_SET_NO_NEW_PRIVS])?);
    rules.insert(libc::SYS_fcntl, one_of(1, FILE_CONTROLS)?);
    Ok(rules)
}

/// The calls that are needed to use a stream that the host has opened: none of them creates a socket, connects one or
/// names an address.
fn stream_rules() -> anyhow::Result<Rules> {
    let only = |argument, value| -> anyhow::Result<Vec<SeccompRule>> {
        Ok(vec![SeccompRule::new(vec![Condition::new(argument, Width::Qword, Op::Eq, value)?])?])
    };
    Ok(Rules::from([
        // Streams arrive over the socket that is stdin, and over no other.
        (libc::SYS_recvmsg, only(0, 0)?),
        (libc::SYS_recvfrom, only(4, 0)?),
        (libc::SYS_sendto, only(4, 0)?),
        (libc::SYS_shutdown, Vec::new()),
    ]))
}

/// The permitted operations on an open file: its flags, duplication, locks. Not signals, leases, notifications of a
/// folder's changes, or the size of a pipe.
const FILE_CONTROLS: &[i32] = &[
    libc::F_DUPFD,
    libc::F_DUPFD_CLOEXEC,
    libc::F_GETFD,
    libc::F_SETFD,
    libc::F_GETFL,
    libc::F_SETFL,
    libc::F_GETLK,
    libc::F_SETLK,
    libc::F_SETLKW,
];

/// Every flag of `clone` that makes a namespace.
const NAMESPACES: u64 = 0x7e02_0000;

/// Rules for a call whose argument at that position must be one of `values`.
fn one_of(argument: u8, values: &[i32]) -> anyhow::Result<Vec<SeccompRule>> {
    let rule = |value| Ok(SeccompRule::new(vec![Condition::new(argument, Width::Dword, Op::Eq, flag(value))?])?);
    values.iter().copied().map(rule).collect()
}

fn flag(bits: i32) -> u64 {
    u64::from(bits.unsigned_abs())
}
