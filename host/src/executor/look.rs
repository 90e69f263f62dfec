//! Starts the process behind `osiris query`, passes on its output as it arrives, and ends it at its limits.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use super::figures::Figures;
use super::process::handle;
use super::supervisor::{Allowance, FiguresAllowance, Overrun, Supervisor};
use crate::engine::InputTable;
use crate::error::Report;
use crate::grants::limits::Limits;
use crate::protocol::Look;
use crate::sandbox::own_process;

/// How much of the process's error message is read, in bytes.
const MAX_REASON: u64 = 16 << 10;

/// The longest line that is made harmless as a whole; a longer one is handled in parts.
const MAX_LINE: u64 = 1 << 20;

/// The destination of rows.
pub struct Rows<'a> {
    pub sink: &'a mut dyn Write,
    /// Makes each line harmless, if the destination could be affected by control characters.
    pub harmless: Option<fn(&str) -> String>,
}

/// The limits of a query within `seconds`. They are low: what exceeds them is work for a pipeline.
pub const fn limits(seconds: u64) -> Limits {
    let (engine_memory_bytes, threads) = (1 << 30, 2);
    let cpu_seconds = seconds * 2;
    Limits {
        wall_seconds: seconds,
        cpu_seconds,
        guest_memory_bytes: 0,
        engine_memory_bytes,
        spill_bytes: 0,
        threads,
        ..Limits::DEFAULT
    }
}

/// Runs a query in a confined process and passes its rows to `rows` as they arrive. It ends early if the reader has
/// gone.
///
/// # Errors
/// A [`Report`] in DuckDB's words if the statement is wrong or refused, or one that names the limit that it reached.
pub fn look(look: &Look, rows: &mut Rows<'_>, supervisor: &Supervisor) -> anyhow::Result<()> {
    let child = own_process("look")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start a process to look into the session")?;
    let mut child = ChildGuard(child);
    let process = Arc::new(handle(&child.0).context("cannot hold a process")?);
    let limits = look.limits;
    // The kernel also limits its memory and CPU time, in case its figures cannot be read.
    let figures = Figures::open(child.0.id()).ok().map(|figures| FiguresAllowance {
        figures,
        cpu: Duration::from_secs(limits.cpu_seconds),
        resident_bytes: limits.resident_bytes(),
    });
    let allowance =
        Allowance { time: Duration::from_secs(limits.wall_seconds), grace: Duration::ZERO, figures, disk: None };
    let watch = supervisor.watch(0, process, allowance);
    let mut stdin = child.0.stdin.take().context("the process has no stdin")?;
    let stdout = child.0.stdout.take().context("the process has no stdout")?;
    let mut stderr = child.0.stderr.take().context("the process has no stderr")?;
    let hear = move || {
        let mut reason = Vec::new();
        let _ = (&mut stderr).take(MAX_REASON).read_to_end(&mut reason);
        let _ = std::io::copy(&mut stderr, &mut std::io::sink());
        String::from_utf8_lossy(&reason).trim().to_owned()
    };
    let reason = std::thread::Builder::new().name("look".to_owned()).spawn(hear).context("cannot start a thread")?;
    // If the process has already ended, its stderr says why.
    let _ = stdin.write_all(&serde_json::to_vec(look)?);
    drop(stdin);
    if !hand_on(stdout, rows)? {
        return Ok(());
    }
    let overrun = watch.overrun();
    drop(watch);
    let status = child.0.wait().context("cannot wait for a process")?;
    if status.success() {
        return Ok(());
    }
    let reason = reason.join().unwrap_or_default();
    Err(match overrun {
        Some(overrun) => ended(overrun),
        None if reason.is_empty() => Report::step(format!("the query's process ended without a word ({status})"))
            .hint("the file may be damaged; the step that made it can be run again"),
        None => {
            let tables: Vec<String> = look.tables.iter().map(written).collect();
            Report::input(reason)
                .hint(format!("write one SELECT over {}", crate::error::listed(tables.iter().map(String::as_str))))
        }
    }
    .into())
}

/// A table as SQL names it.
fn written(table: &InputTable) -> String {
    let schema = table.schema.as_ref().map(|schema| format!("{schema}."));
    format!("{}{}", schema.unwrap_or_default(), table.alias)
}

fn ended(overrun: Overrun) -> Report {
    match overrun {
        Overrun::Time(limit) => {
            Report::step(format!("the query was ended after {} s, its time limit", limit.as_secs()))
                .hint("give it more with `--timeout SECONDS`, or select less")
        }
        Overrun::Cpu(limit) => {
            Report::step(format!("the query was ended after {} s of CPU time, its limit", limit.as_secs()))
                .hint("give it more with `--timeout SECONDS`, or select less")
        }
        Overrun::Memory(held) => {
            let held = crate::size::spell(held);
            Report::step(format!("the query was ended when its process held {held} of memory")).hint("select less")
        }
        other => Report::step(format!("the query was ended: {}", other.failure("osiris query").message)),
    }
}

/// Passes rows on; returns false once nobody reads them.
fn hand_on(stdout: ChildStdout, rows: &mut Rows<'_>) -> anyhow::Result<bool> {
    let written = match rows.harmless {
        None => std::io::copy(&mut { stdout }, &mut rows.sink).map(|_| ()),
        Some(harmless) => {
            let mut lines = BufReader::new(stdout);
            let mut line = Vec::new();
            loop {
                line.clear();
                match (&mut lines).take(MAX_LINE).read_until(b'\n', &mut line) {
                    Ok(0) => break Ok(()),
                    Ok(_) => {}
                    Err(error) => break Err(error),
                }
                if let Err(error) = rows.sink.write_all(harmless(&String::from_utf8_lossy(&line)).as_bytes()) {
                    break Err(error);
                }
            }
        }
    };
    match written.and_then(|()| rows.sink.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("cannot print rows"),
    }
}

/// A process that is killed on drop.
struct ChildGuard(Child);

impl Drop for ChildGuard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
