//! What this machine can protect, for `osiris doctor`; tested, not guessed.

#![expect(unsafe_code, reason = "makes a system call that has no safe wrapper")]

use std::process::{ExitCode, Stdio};

use anyhow::{Context, bail};
use landlock::ABI;
use serde::Serialize;

use super::{Confinement, own_process};

/// One protection, and whether the machine offers it.
#[derive(Debug, Clone, Serialize)]
pub struct Protection {
    pub name: &'static str,
    pub given: bool,
    /// Whether `--require-sandbox` requires it.
    pub demanded: bool,
    /// What it does here, or what is missing and the remedy.
    pub words: String,
}

/// Tests every protection without changing the calling process.
pub fn protections() -> Vec<Protection> {
    let abi = landlock_abi();
    let landlock = |name, since: ABI, does: &str| {
        let given = abi >= since as i32;
        let words = if given {
            does.to_owned()
        } else {
            format!("needs Landlock {} ({}); this kernel has {}", since as i32, kernel_of(since), named(abi))
        };
        Protection { name, given, demanded: true, words }
    };
    let seccomp_given = has_seccomp_filters();
    vec![
        landlock("files", ABI::V3, "a step can open only its inputs, its scratch folder and its granted files"),
        landlock("tcp", ABI::V4, "a step cannot connect to or listen on TCP ports"),
        landlock("devices", ABI::V5, "a step cannot send control calls (ioctl) to devices"),
        landlock("signals", ABI::V6, "a step cannot signal other processes or reach abstract sockets"),
        Protection {
            name: "system-calls",
            given: seccomp_given,
            demanded: true,
            words: if seccomp_given {
                "a step can make only the calls it needs: no exec, fork, ptrace, socket, io_uring, bpf or namespace"
                    .to_owned()
            } else {
                "needs a kernel with CONFIG_SECCOMP_FILTER".to_owned()
            },
        },
        walls(),
        counted(),
    ]
}

/// Limits by cgroup, if one is delegated.
fn counted() -> Protection {
    let (given, words) = match super::cgroup::delegated() {
        Ok(_) => {
            (true, "the kernel counts a step's memory and threads in a cgroup of its own, and enforces both".to_owned())
        }
        Err(why) => (false, format!("{why}; the other limits of memory and threads hold without it")),
    };
    Protection { name: "cgroup", given, demanded: false, words }
}

/// The second wall, as a process that tested it reported.
fn walls() -> Protection {
    let missing = match tried() {
        Ok(tried) => tried.shared,
        Err(error) => Some(format!("cannot be tried: {error:#}")),
    };
    Protection {
        name: "walls",
        given: missing.is_none(),
        demanded: false,
        words: match missing {
            None => "a step has an empty root folder, no network, no IPC with other processes and no capabilities"
                .to_owned(),
            Some(why) => format!(
                "{why}; the other protections hold without it. It needs user namespaces: see the sysctls \
                 `user.max_user_namespaces` and `kernel.apparmor_restrict_unprivileged_userns`, and in a container its \
                 seccomp profile"
            ),
        },
    }
}

/// What confinement achieves on this machine. A separate process tests it, since confinement cannot be undone.
///
/// # Errors
/// If the process cannot be started, or cannot confine itself.
pub fn tried() -> anyhow::Result<Confinement> {
    let output =
        own_process("confine").stdin(Stdio::null()).output().context("cannot start a process to try the sandbox")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).context("cannot understand the process that tried the sandbox")
}

/// Runs the hidden command `osiris confine`: confines itself, and reports on stdout what the kernel enforces.
pub fn try_it() -> ExitCode {
    let confinement = super::shed().and_then(|()| super::confine(&super::Reach::default()));
    match confinement.and_then(|confinement| Ok(serde_json::to_string(&confinement)?)) {
        Ok(found) => {
            println!("{found}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether this kernel supports system call filters, so that a refused filter is a mistake in the filter.
pub fn has_seccomp_filters() -> bool {
    let action: u32 = libc::SECCOMP_RET_ERRNO;
    // SAFETY: the call reads one number, which lives until it returns.
    unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action) == 0 }
}

/// The Landlock version of this kernel; 0 if it has none.
fn landlock_abi() -> i32 {
    // SAFETY: with this flag the call reads no memory and returns a number.
    let abi = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<libc::c_void>(), 0_usize, VERSION_FLAG)
    };
    i32::try_from(abi).unwrap_or_default().max(0)
}

/// `LANDLOCK_CREATE_RULESET_VERSION` of linux/landlock.h.
const VERSION_FLAG: u32 = 1;

fn named(abi: i32) -> String {
    if abi == 0 { "none; see that `landlock` is in the boot option `lsm=`".to_owned() } else { abi.to_string() }
}

fn kernel_of(abi: ABI) -> &'static str {
    match abi {
        ABI::V3 => "Linux 6.2",
        ABI::V4 => "Linux 6.7",
        ABI::V5 => "Linux 6.10",
        _ => "Linux 6.12",
    }
}
