//! Runs a program as if the kernel lacked something: the named system calls fail as on a kernel without them.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use libc::{
    BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, ENOSYS, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP,
    SECCOMP_MODE_FILTER, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, sock_filter, sock_fprog,
};

fn number(call: &str) -> Option<libc::c_long> {
    match call {
        "landlock" => Some(libc::SYS_landlock_create_ruleset),
        "seccomp" => Some(libc::SYS_seccomp),
        "unshare" => Some(libc::SYS_unshare),
        "mount" => Some(libc::SYS_mount),
        _ => None,
    }
}

/// `hole blind CALL PROGRAM ARGUMENT…`.
#[expect(unsafe_code, reason = "installs a filter by a system call")]
pub fn main(call: &str, program: &[&str]) -> ExitCode {
    let (Some(call), [program, arguments @ ..]) = (number(call), program) else { return ExitCode::FAILURE };
    let step = |code: u32, k: u32, skipped: u8| sock_filter { code: code as u16, jt: 0, jf: skipped, k };
    let mut filter = [
        // The number is the first field in a filter's input.
        step(BPF_LD | BPF_W | BPF_ABS, 0, 0),
        step(BPF_JMP | BPF_JEQ | BPF_K, call as u32, 1),
        step(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS as u32, 0),
        step(BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0),
    ];
    let filter = sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the kernel copies the filter, which lives until the calls return.
    let installed = unsafe {
        libc::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &raw const filter) == 0
    };
    if !installed {
        eprintln!("cannot install the filter: {}", std::io::Error::last_os_error());
        return ExitCode::FAILURE;
    }
    eprintln!("cannot run `{program}`: {}", Command::new(program).args(arguments).exec());
    ExitCode::FAILURE
}
