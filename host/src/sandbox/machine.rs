//! What this machine can protect, for `osiris doctor`; tried out, not guessed.

#![expect(unsafe_code, reason = "makes a system call that has no safe wrapper")]

use landlock::ABI;
use serde::Serialize;

/// One protection and whether the machine gives it.
#[derive(Debug, Clone, Serialize)]
pub struct Protection {
    pub name: &'static str,
    pub given: bool,
    /// What it does here, or what is missing and the cure.
    pub words: String,
}

/// Tries every protection in a way that leaves the calling process as it was.
pub fn protections() -> Vec<Protection> {
    let abi = landlock_abi();
    let landlock = |name, since: ABI, does: &str| {
        let given = abi >= since as i32;
        let words = if given {
            does.to_owned()
        } else {
            format!("needs Landlock {} ({}); this kernel has {}", since as i32, kernel_of(since), named(abi))
        };
        Protection { name, given, words }
    };
    let seccomp = std::fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
    let seccomp_given = seccomp.split_whitespace().any(|action| action == "errno");
    vec![
        landlock("files", ABI::V3, "a step opens its inputs, its own folder and granted files, and no other"),
        landlock("tcp", ABI::V4, "a step reaches no TCP port"),
        landlock("devices", ABI::V5, "a step sends no control calls to devices"),
        landlock("signals", ABI::V6, "a step signals no process outside, and reaches no abstract socket"),
        Protection {
            name: "system-calls",
            given: seccomp_given,
            words: if seccomp_given {
                "a step makes the calls it needs: no exec, fork, ptrace, socket, io_uring, bpf or namespace".to_owned()
            } else {
                "needs a kernel with CONFIG_SECCOMP_FILTER".to_owned()
            },
        },
    ]
}

/// The Landlock version of this kernel; 0 where there is none.
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
