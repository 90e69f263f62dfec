//! Compiles each driver once, in a process without access to anything: the input of a compiler deserves as little trust
//! as a driver.
//!
//! The host reads a component, checks that it is the one that was planned, and hands its bytes over; the compile
//! process confines itself, compiles, and writes the native code to the one file it was given.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};

use crate::driver::runtime::{self, Engine};
use crate::driver::{catalog, inspector, spec};
use crate::error::Report;
use crate::sandbox::{self, Reach, own_process};

/// What compiling one driver may use. A component of 18 MB takes 8 s of CPU time and 0.4 GB.
pub const ALLOWANCE: Allowance = Allowance { cpu_seconds: 1200, memory_bytes: 6_000_000_000 };

/// How long compiling one driver may take, in seconds, regardless of how much CPU time it gets.
const WALL_SECONDS: u64 = 1800;

/// The largest compiled component that is written, in bytes.
const MAX_CODE: u64 = 4 << 30;

/// How much of a compile process's error message is read, in bytes.
const MAX_REASON: u64 = 2000;

/// The exit code of a compile process whose input does not compile.
const REFUSED: u8 = 1;

/// What a compile process may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    pub cpu_seconds: u64,
    pub memory_bytes: u64,
}

/// What a cached driver was checked against when it was compiled. The number is that of the checks: raise it when a
/// driver may be refused that was accepted before.
const CHECKED: (&str, &str, u32) = (env!("CARGO_PKG_VERSION"), spec::CONTRACT, 2);

/// The compiled form of the component at `wasm`, which errors call `name`; compiles it if it is not in the cache.
///
/// The key is the component's own digest, wasmtime's version and its configuration, so an entry never goes stale.
/// Entries appear complete, by a rename, so several processes may compile the same component.
///
/// # Errors
/// If the component differs from the one with digest `sha256`, does not compile within its allowance, or the cache
/// folder cannot be used safely. [`Interrupted`] if `interrupted`, which is called repeatedly, returns true.
pub fn compiled(
    engine: &Engine,
    (wasm, name): (&Path, &str),
    sha256: &str,
    compiling: impl FnOnce(),
    interrupted: &dyn Fn() -> bool,
) -> anyhow::Result<PathBuf> {
    compiled_in(&runtime::cache_folder()?, engine, wasm, sha256, |bytes, code| {
        compiling();
        apart(name, bytes, code, interrupted)
    })
}

fn compiled_in(
    folder: &Path,
    engine: &Engine,
    wasm: &Path,
    sha256: &str,
    compile: impl FnOnce(&[u8], &File) -> anyhow::Result<()>,
) -> anyhow::Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    CHECKED.hash(&mut hasher);
    let entry = folder.join(format!("{sha256}-{:016x}.cwasm", hasher.finish()));
    if let Some(found) = runtime::open_entry(&entry) {
        runtime::mark_used(&found);
        return Ok(entry);
    }
    runtime::remove_unused(folder);
    let (bytes, found_sha256) = inspector::read(wasm)?;
    // Only the bytes that were planned, shown and checked against the lock may be stored under their digest.
    if found_sha256 != sha256 {
        return Err(Report::input(format!("driver `{}` has changed since it was planned", wasm.display()))
            .hint("run again, and see with `osiris plan` what it wants")
            .into());
    }
    let code = tempfile::NamedTempFile::new_in(folder).context("cannot write to the compile cache")?;
    compile(&bytes, code.as_file())?;
    code.as_file().sync_all().context("cannot write to the compile cache")?;
    code.persist(&entry).context("cannot write to the compile cache")?;
    Ok(entry)
}

/// The user interrupted the compilation.
#[derive(Debug)]
pub struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted while a driver was compiled")
    }
}

impl std::error::Error for Interrupted {}

/// How often to check whether the user interrupted.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// Runs a process that compiles `bytes` into `code`.
fn apart(name: &str, bytes: &[u8], code: &File, interrupted: &dyn Fn() -> bool) -> anyhow::Result<()> {
    let code = code.try_clone().context("cannot write to the compile cache")?;
    let mut child = own_process("compile")
        .args([ALLOWANCE.cpu_seconds, ALLOWANCE.memory_bytes].map(|number| number.to_string()))
        // In a process group of its own, so that Ctrl-C reaches only the host.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(code)
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start a compile process")?;
    let mut stdin = child.stdin.take().context("a compile process has no stdin")?;
    let mut stderr = child.stderr.take().context("a compile process has no stderr")?;
    let listening = move || {
        let mut reason = Vec::new();
        let told = (&mut stderr).take(MAX_REASON).read_to_end(&mut reason);
        told.and(std::io::copy(&mut stderr, &mut std::io::sink())).map(|_| reason)
    };
    let listener = std::thread::Builder::new().spawn(listening).context("cannot hear a compile process")?;
    let status = std::thread::scope(|scope| {
        // The process reads all its input before it reports anything; if it ends early, its status says why. A process
        // that does not read blocks only this thread, until it has ended.
        let feeding = std::thread::Builder::new().spawn_scoped(scope, move || stdin.write_all(bytes));
        let status = match feeding {
            Ok(_) => wait(&mut child, name, interrupted),
            Err(error) => Err(error).context("cannot feed a compile process"),
        };
        if status.is_err() {
            let _ = child.kill().and_then(|()| child.wait());
        }
        status
    })?;
    // Ctrl-C can also reach a process that has not left the host's group yet.
    let signalled = matches!(status.signal(), Some(libc::SIGINT | libc::SIGTERM | libc::SIGHUP));
    if signalled || (!status.success() && interrupted()) {
        return Err(Interrupted.into());
    }
    let reason = listener.join().map_err(|_| anyhow!("cannot hear a compile process"))?;
    let reason = reason.context("cannot hear a compile process")?;
    let reason = String::from_utf8_lossy(&reason);
    judge(name, status, &reason.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Waits for the end of a compile process, until its time is over or the user interrupts.
fn wait(child: &mut Child, name: &str, interrupted: &dyn Fn() -> bool) -> anyhow::Result<ExitStatus> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for a compile process")? {
            return Ok(status);
        }
        if interrupted() {
            return Err(Interrupted.into());
        }
        if begun.elapsed() > Duration::from_secs(WALL_SECONDS) {
            let what = format!("driver `{name}` cannot be compiled: it takes more than {WALL_SECONDS} s");
            return Err(Report::input(what).hint("is the machine overloaded, or its compile process stopped?").into());
        }
        std::thread::sleep(ASK_EVERY);
    }
}

/// Decides whose fault the end of a compile process is.
fn judge(driver: &str, status: ExitStatus, reason: &str) -> anyhow::Result<()> {
    let beyond = |what: String| {
        Report::input(format!("driver `{driver}` cannot be compiled: it takes more than {what}"))
            .hint("no honest driver does; ask whoever made it")
    };
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(code), _) if code == i32::from(REFUSED) => {
            Err(Report::input(format!("driver `{driver}` cannot be compiled: {reason}"))
                .hint(
                    "build it for what Osiris has: WebAssembly 3.0 without GC and exceptions, components without async",
                )
                .into())
        }
        (_, Some(libc::SIGXCPU)) => Err(beyond(format!("{} s of CPU time", ALLOWANCE.cpu_seconds)).into()),
        (_, Some(libc::SIGABRT)) if reason.contains("memory allocation") => {
            Err(beyond(format!("{} of memory", crate::size::spell(ALLOWANCE.memory_bytes))).into())
        }
        (_, Some(signal)) => Err(anyhow!("cannot compile `{driver}`: the compile process died of signal {signal}")),
        _ => Err(anyhow!("cannot compile `{driver}`: {reason}")),
    }
}

/// Runs the hidden command `osiris compile`: reads a component from stdin and writes its form as `compile` makes it to
/// stdout. Tests replace the compiler by native code.
pub fn main_with(allowance: Allowance, compile: impl FnOnce(&Engine, &[u8]) -> anyhow::Result<Vec<u8>>) -> ExitCode {
    let fail = |code: u8, error: anyhow::Error| {
        // If stderr is closed, the message is lost.
        let _ = writeln!(std::io::stderr(), "{error:#}");
        ExitCode::from(code)
    };
    let (engine, bytes) = match prepare(allowance) {
        Ok(prepared) => prepared,
        Err(error) => return fail(crate::error::Fault::Host.exit_code(), error),
    };
    let code = match compile(&engine, &bytes) {
        Ok(code) => code,
        Err(error) => return fail(REFUSED, error),
    };
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(&code).and_then(|()| stdout.flush()).context("cannot write to the compile cache") {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(crate::error::Fault::Host.exit_code(), error),
    }
}

/// Confines the process, and then reads the component.
fn prepare(allowance: Allowance) -> anyhow::Result<(Engine, Vec<u8>)> {
    sandbox::shed()?;
    let engine = runtime::compiling_engine()?;
    sandbox::limit_compiler(allowance.cpu_seconds, allowance.memory_bytes, MAX_CODE)?;
    sandbox::confine(&Reach::default()).context("cannot confine the compile process")?;
    let mut bytes = Vec::new();
    std::io::stdin().lock().take(catalog::MAX_BYTES).read_to_end(&mut bytes).context("cannot read the component")?;
    Ok((engine, bytes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, clippy::unwrap_used)]
    use std::fs;

    use super::*;
    use crate::digest::sha256_of;
    use anyhow::bail;

    #[test]
    fn a_driver_swapped_after_planning_does_not_enter_the_cache_in_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let wasm = folder.path().join("driver.wasm");
        fs::write(&wasm, b"the driver").unwrap();
        let engine = runtime::engine().unwrap();
        let cache = folder.path().join("cache");
        fs::create_dir(&cache).unwrap();
        let compile = |bytes: &[u8], mut code: &File| Ok(code.write_all(bytes)?);
        let pipe = folder.path().join("pipe.wasm");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let unread = compiled_in(&cache, &engine, &pipe, &sha256_of(b"the driver"), compile).unwrap_err();
        assert!(unread.to_string().contains("plain file"), "{unread}");
        let planned = sha256_of(b"the driver that was planned");
        let refused = compiled_in(&cache, &engine, &wasm, &planned, compile).unwrap_err();
        assert!(refused.to_string().contains("has changed since it was planned"), "{refused}");
        let broken = compiled_in(&cache, &engine, &wasm, &sha256_of(b"the driver"), |_, _| bail!("no")).unwrap_err();
        assert_eq!(broken.to_string(), "no");
        assert_eq!(fs::read_dir(&cache).unwrap().count(), 0);
        let entry = compiled_in(&cache, &engine, &wasm, &sha256_of(b"the driver"), compile).unwrap();
        assert_eq!(fs::read(&entry).unwrap(), b"the driver");
        let again = compiled_in(&cache, &engine, &wasm, &sha256_of(b"the driver"), |_, _| bail!("compiled twice"));
        assert_eq!(again.unwrap(), entry);
    }

    #[test]
    fn a_failed_compile_process_is_blamed_on_the_right_party() {
        let judge = |wait: i32, reason: &str| judge("x.wasm", ExitStatus::from_raw(wait), reason);
        assert!(judge(0, "").is_ok());
        for (wait, reason, told, input) in [
            (1 << 8, "unknown import", "cannot be compiled: unknown import", true),
            (libc::SIGXCPU, "", "more than 1200 s of CPU time", true),
            (libc::SIGABRT, "memory allocation of 99 bytes failed", "more than 6.0 GB of memory", true),
            (libc::SIGABRT, "assertion", "signal 6", false),
            (libc::SIGKILL, "", "signal 9", false),
            (3 << 8, "cannot confine", "cannot confine", false),
        ] {
            let error = judge(wait, reason).unwrap_err();
            assert!(error.to_string().contains(told), "{error}");
            assert_eq!(error.downcast_ref::<Report>().is_some(), input, "{error}");
        }
    }
}
