//! The calls, each of which machine code might make first in a process that it has taken over.

use std::fs::File;
use std::io::{Error, Read, Result, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::Command;
use std::ptr;
use std::time::Duration;

use osiris::channel::network::Network;
use osiris::grants::endpoint::Endpoint;
use osiris::grants::limits::Limits;

/// Makes the call named `name`, with `target` if it takes one; returns what it got.
pub fn make(name: &str, target: &str) -> Result<String> {
    match name {
        "read" => read(target),
        "write" => std::fs::write(target, "x").map(|()| "written".to_owned()),
        "list" => std::fs::read_dir(target).map(|entries| format!("{} entries", entries.count())),
        "delete" => std::fs::remove_file(target).map(|()| "deleted".to_owned()),
        "status" => read("/proc/self/status"),
        "symlink" => std::os::unix::fs::symlink("/etc/passwd", format!("{target}/link")).map(|()| "linked".to_owned()),
        "hard_link" => std::fs::hard_link("/etc/passwd", format!("{target}/link")).map(|()| "linked".to_owned()),
        "chmod" => std::fs::set_permissions(target, std::os::unix::fs::PermissionsExt::from_mode(0o777))
            .map(|()| "changed".to_owned()),
        "exec" => Command::new("/bin/true").status().map(|status| status.to_string()),
        "tcp" => TcpStream::connect(target).map(|_| "connected".to_owned()),
        "listen" => TcpListener::bind("127.0.0.1:0").map(|_| "listening".to_owned()),
        "udp" => UdpSocket::bind("0.0.0.0:0").map(|_| "bound".to_owned()),
        "unix" => UnixStream::connect(target).map(|_| "connected".to_owned()),
        "unix_pair" => UnixDatagram::pair().map(|_| "paired".to_owned()),
        "ask" => ask(target),
        "ask_nonsense" => ask("\u{0} 0"),
        "fill" => fill(target),
        "flood" => flood(),
        "talk" => talk(),
        "long_lines" => long_lines(),
        "forge" => forge(target),
        "forge_many" => forge(target).and_then(|_| forge_many()),
        "reserve" => reserve(),
        "threads" => threads(),
        "crash" => std::process::abort(),
        "linger" => linger(),
        "hoard" => hoard(),
        "spin" => spin(),
        _ => number(name),
    }
}

/// Requests a connection from the host, as the step itself would.
fn ask(target: &str) -> Result<String> {
    let (host, port) = target.rsplit_once(' ').unwrap_or((target, "0"));
    let endpoint = Endpoint { host: host.to_owned(), port: port.parse().unwrap_or_default() };
    match Network::new(&Limits::DEFAULT).connect(&endpoint, Duration::from_secs(5)) {
        Ok(stream) => Ok(format!("connected to {stream:?}")),
        Err(refused) => Err(Error::other(format!("{refused:?}"))),
    }
}

/// Writes files as long as it may.
fn fill(folder: &str) -> Result<String> {
    for number in 0.. {
        std::fs::write(format!("{folder}/{number}"), vec![1; 1_000_000])?;
    }
    Ok("filled".to_owned())
}

/// Allocates memory as long as there is any.
fn hoard() -> Result<String> {
    let mut taken = Vec::new();
    for _ in 0..100_000 {
        taken.push(vec![1_u8; 1 << 20]);
    }
    Ok(format!("took {} MB", taken.len()))
}

/// Computes forever.
fn spin() -> Result<String> {
    let mut number = 0_u64;
    loop {
        number = std::hint::black_box(number.wrapping_add(1));
    }
}

/// Logs 200 MB, bypassing every limit inside this process.
fn flood() -> Result<String> {
    let line = format!(r#"{{"type":"log","level":"info","message":"{}","fields":{{}}}}"#, "x".repeat(1 << 20));
    let mut stdout = std::io::stdout().lock();
    for _ in 0..200 {
        writeln!(stdout, "{line}")?;
    }
    Ok("flooded".to_owned())
}

/// Logs warnings forever, bypassing every limit inside this process.
fn talk() -> Result<String> {
    let line = format!(r#"{{"type":"log","level":"warn","message":"{}","fields":{{}}}}"#, "x".repeat(1 << 16));
    let mut stdout = std::io::stdout().lock();
    loop {
        writeln!(stdout, "{line}")?;
    }
}

/// Sends lines that are longer than the host reads.
fn long_lines() -> Result<String> {
    let mut stdout = std::io::stdout().lock();
    for _ in 0..20 {
        write!(stdout, "{}", "x".repeat(1 << 20))?;
    }
    writeln!(stdout)?;
    Ok("said too much".to_owned())
}

/// Claims HTTP exchanges that did not happen, with `secret` in them, and others that cannot be.
fn forge(secret: &str) -> Result<String> {
    let mut stdout = std::io::stdout().lock();
    let request = format!(r#"{{"method":"GET","url":"https://api.example.com/?q={secret}"}}"#);
    let response = format!(r#"{{"status":200,"headers":{{"x":"{secret}"}},"body":{{"json":["{secret}"]}}}}"#);
    for seen in [
        format!(r#"{{"request":{request},"response":{response}}}"#),
        format!(r#"{{"request":{request},"answered_by":99999999999999}}"#),
        format!(r#"{{"request":{request},"answered_by":0}}"#),
        "{\"request\":".to_owned(),
    ] {
        let seen = seen.replace('\\', "\\\\").replace('"', "\\\"");
        writeln!(stdout, r#"{{"type":"exchange","seen":"{seen}"}}"#)?;
    }
    Ok("forged".to_owned())
}

/// Claims 600 MB of HTTP exchanges.
fn forge_many() -> Result<String> {
    let text = "x".repeat(1 << 20);
    let seen = format!(r#"{{\"request\":{{\"url\":\"https://api.example.com/{text}\"}}}}"#);
    let mut stdout = std::io::stdout().lock();
    for _ in 0..600 {
        writeln!(stdout, r#"{{"type":"exchange","seen":"{seen}"}}"#)?;
    }
    Ok("forged".to_owned())
}

/// Requests two gigabytes at once, and touches none of them.
fn reserve() -> Result<String> {
    let mut taken = Vec::<u8>::new();
    taken.try_reserve_exact(2 << 30).map_err(Error::other)?;
    Ok(format!("reserved {} bytes", std::hint::black_box(&taken).capacity()))
}

/// Starts threads as long as it can.
fn threads() -> Result<String> {
    for _ in 0..100_000 {
        std::thread::Builder::new().stack_size(16 << 10).spawn(|| {
            loop {
                std::thread::park();
            }
        })?;
    }
    Ok("started 100,000 threads".to_owned())
}

/// Reports success, closes its outputs, and keeps running.
#[expect(unsafe_code, reason = "closes file descriptors by their numbers")]
fn linger() -> Result<String> {
    println!(r#"{{"type":"complete","tables":{{"main":1}},"rows_written":0}}"#);
    // SAFETY: closes its own stdout and stderr, which nothing in this process uses afterwards.
    unsafe {
        libc::close(1);
        libc::close(2);
    }
    loop {
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
}

fn read(path: &str) -> Result<String> {
    let mut text = Vec::new();
    File::open(path)?.take(4096).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// A system call by its number, with arguments that would do harm or be distinguishable from a refusal.
#[expect(clippy::too_many_lines, reason = "a table: a line for each call")]
#[expect(unsafe_code, reason = "makes system calls that have no safe wrapper, which is the attack")]
fn number(name: &str) -> Result<String> {
    let parent = || i64::from(std::os::unix::process::parent_id());
    let page = || {
        // SAFETY: a fresh anonymous mapping that nothing else refers to.
        unsafe {
            libc::mmap(
                ptr::null_mut(),
                4096,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            ) as i64
        }
    };
    let text = |text: &'static std::ffi::CStr| text.as_ptr() as i64;
    let anonymous = i64::from(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    let executable = i64::from(libc::PROT_READ | libc::PROT_EXEC);
    let (call, arguments): (libc::c_long, [i64; 6]) = match name {
        "fork" => (libc::SYS_clone, [i64::from(libc::SIGCHLD), 0, 0, 0, 0, 0]),
        "thread_in_namespace" => {
            let thread = libc::CLONE_VM | libc::CLONE_SIGHAND | libc::CLONE_THREAD;
            (libc::SYS_clone, [i64::from(thread | libc::CLONE_NEWNET), 0, 0, 0, 0, 0])
        }
        "own_signals" => (libc::SYS_fcntl, [0, i64::from(libc::F_SETOWN), parent(), 0, 0, 0]),
        "pipe_size" => (libc::SYS_fcntl, [1, i64::from(libc::F_SETPIPE_SZ), 4096, 0, 0, 0]),
        "vfork" => (libc::SYS_clone, [i64::from(libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD), 0, 0, 0, 0, 0]),
        "clone3" => (libc::SYS_clone3, [0, 0, 0, 0, 0, 0]),
        "execveat" => (libc::SYS_execveat, [-100, text(c"/bin/true"), 0, 0, 0, 0]),
        "ptrace" => (libc::SYS_ptrace, [i64::from(libc::PTRACE_ATTACH), parent(), 0, 0, 0, 0]),
        "read_parent_memory" => (libc::SYS_process_vm_readv, [parent(), 0, 0, 0, 0, 0]),
        "write_parent_memory" => (libc::SYS_process_vm_writev, [parent(), 0, 0, 0, 0, 0]),
        "kill_parent" => (libc::SYS_kill, [parent(), 0, 0, 0, 0, 0]),
        "signal_parent" => (libc::SYS_tgkill, [parent(), parent(), 0, 0, 0, 0]),
        "pidfd" => (libc::SYS_pidfd_open, [parent(), 0, 0, 0, 0, 0]),
        "io_uring" => (libc::SYS_io_uring_setup, [1, page(), 0, 0, 0, 0]),
        "bpf" => (libc::SYS_bpf, [0, page(), 128, 0, 0, 0]),
        "user_namespace" => (libc::SYS_unshare, [i64::from(libc::CLONE_NEWUSER), 0, 0, 0, 0, 0]),
        "enter_namespace" => (libc::SYS_setns, [0, 0, 0, 0, 0, 0]),
        "mount" => (libc::SYS_mount, [0, text(c"/tmp"), text(c"tmpfs"), 0, 0, 0]),
        "chroot" => (libc::SYS_chroot, [text(c"/"), 0, 0, 0, 0, 0]),
        "memory_file" => (libc::SYS_memfd_create, [text(c"x"), 0, 0, 0, 0, 0]),
        "map_executable" => (libc::SYS_mmap, [0, 4096, executable, anonymous, -1, 0]),
        "make_executable" => (libc::SYS_mprotect, [page(), 4096, executable, 0, 0, 0]),
        "raise_limit" => (libc::SYS_prlimit64, [0, i64::from(libc::RLIMIT_NOFILE), page(), 0, 0, 0]),
        "set_user" => (libc::SYS_setuid, [0, 0, 0, 0, 0, 0]),
        "keyring" => (libc::SYS_keyctl, [0, -3, 0, 0, 0, 0]),
        "user_faults" => (libc::SYS_userfaultfd, [0, 0, 0, 0, 0, 0]),
        "perf" => (libc::SYS_perf_event_open, [page(), 0, -1, -1, 0, 0]),
        "personality" => (libc::SYS_personality, [0xffff_ffff, 0, 0, 0, 0, 0]),
        "raw_socket" => (libc::SYS_socket, [i64::from(libc::AF_PACKET), i64::from(libc::SOCK_RAW), 0, 0, 0, 0]),
        "inet_socket" => (libc::SYS_socket, [i64::from(libc::AF_INET), i64::from(libc::SOCK_STREAM), 0, 0, 0, 0]),
        "inet6_socket" => (libc::SYS_socket, [i64::from(libc::AF_INET6), i64::from(libc::SOCK_STREAM), 0, 0, 0, 0]),
        "datagram_socket" => (libc::SYS_socket, [i64::from(libc::AF_INET), i64::from(libc::SOCK_DGRAM), 0, 0, 0, 0]),
        "unix_socket" => (libc::SYS_socket, [i64::from(libc::AF_UNIX), i64::from(libc::SOCK_STREAM), 0, 0, 0, 0]),
        "connect_stdin" | "reconnect" => (libc::SYS_connect, [0, page(), 16, 0, 0, 0]),
        "bind_stdin" => (libc::SYS_bind, [0, page(), 16, 0, 0, 0]),
        "listen_stdin" => (libc::SYS_listen, [0, 1, 0, 0, 0, 0]),
        "accept_stdin" => (libc::SYS_accept4, [0, 0, 0, 0, 0, 0]),
        "send_to_address" => (libc::SYS_sendto, [0, page(), 1, 0, page(), 16]),
        "send_message" => (libc::SYS_sendmsg, [0, page(), 0, 0, 0, 0]),
        "receive_elsewhere" => (libc::SYS_recvmsg, [1, page(), 0, 0, 0, 0]),
        "set_option" => {
            (libc::SYS_setsockopt, [0, i64::from(libc::SOL_SOCKET), i64::from(libc::SO_KEEPALIVE), page(), 4, 0])
        }
        "netlink" => (libc::SYS_socket, [i64::from(libc::AF_NETLINK), i64::from(libc::SOCK_RAW), 0, 0, 0, 0]),
        "module" => (libc::SYS_finit_module, [0, text(c""), 0, 0, 0, 0]),
        "reboot" => (libc::SYS_reboot, [0, 0, 0, 0, 0, 0]),
        "set_time" => (libc::SYS_clock_settime, [0, page(), 0, 0, 0, 0]),
        "make_device" => (libc::SYS_mknodat, [-100, text(c"device"), i64::from(libc::S_IFCHR), 0, 0, 0]),
        "make_pipe" => (libc::SYS_mknodat, [-100, text(c"pipe"), i64::from(libc::S_IFIFO), 0, 0, 0]),
        "watch_files" => (libc::SYS_inotify_init1, [0, 0, 0, 0, 0, 0]),
        "terminal_input" => (libc::SYS_ioctl, [0, 0x5412, page(), 0, 0, 0]),
        "undo_dumpable" => (libc::SYS_prctl, [i64::from(libc::PR_SET_DUMPABLE), 1, 0, 0, 0, 0]),
        "drop_death_signal" => (libc::SYS_prctl, [i64::from(libc::PR_SET_PDEATHSIG), 0, 0, 0, 0, 0]),
        _ => return Err(Error::other(format!("no call is named `{name}`"))),
    };
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: pointers are null, or point to a page of its own or to a constant; a call that succeeds fails the test.
    let result = unsafe { libc::syscall(call, a, b, c, d, e, f) };
    if result == -1 { Err(Error::last_os_error()) } else { Ok(format!("returned {result}")) }
}
