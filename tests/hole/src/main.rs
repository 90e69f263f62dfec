//! Osiris with holes in its step process and its compiler, to show what native code could do in their place.
//!
//! It represents a flaw in DuckDB or wasmtime that lets a driver run machine code. Everything is as in the real
//! program, including the pipeline, except that a step makes the system call that its config names instead of running
//! its driver.

mod blind;
mod calls;

use std::process::ExitCode;

use osiris::contract::{DriverCall, Tally};
use osiris::driver::compiler::Allowance;
use osiris::error::{Blame, Failure};
use osiris::protocol::{Call, LogLevel};
use osiris::step::Layers;

/// Switches DuckDB's lock off, to test the layer below it.
const UNLOCKED: &str = "--unlocked";

/// Switches the operating system's layer off, to test the layers above it.
const UNCONFINED: &str = "--unconfined";

/// Switches Landlock and seccomp off, to test the wall behind them: namespaces and no capabilities.
const WITHOUT_RULES: &str = "--without-rules";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().skip(1).map(String::as_str).collect::<Vec<_>>()[..] {
        ["blind", call, ref program @ ..] => blind::main(call, program),
        ["step"] => osiris::step::main_with(layers(), hole),
        ["compile", cpu_seconds, memory_bytes, ..] => {
            let number = |text: &str| text.parse().unwrap_or_default();
            let allowance = Allowance { cpu_seconds: number(cpu_seconds), memory_bytes: number(memory_bytes) };
            osiris::driver::compiler::main_with(allowance, compiler_hole)
        }
        _ => {
            let own = [UNLOCKED, UNCONFINED, WITHOUT_RULES];
            osiris::cli::main_with(arguments.iter().filter(|word| !own.contains(&word.as_str())).map(Into::into))
        }
    }
}

/// The layers that remain on, according to the command line of the host that started this step, perhaps by a worker of
/// this machine.
fn layers() -> Layers {
    let mut given = Vec::new();
    let mut process = std::os::unix::process::parent_id();
    while process > 1 {
        let line = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        given.extend(line.split(|byte| *byte == 0).map(<[u8]>::to_vec));
        process = parent(process).unwrap_or_default();
    }
    let is_given = |flag: &str| given.iter().any(|word| word == flag.as_bytes());
    let confined = !is_given(UNCONFINED);
    Layers { engine: !is_given(UNLOCKED), walls: confined, rules: confined && !is_given(WITHOUT_RULES) }
}

fn parent(process: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

/// Makes the call that is given in place of a component; compiles anything else.
fn compiler_hole(engine: &osiris::driver::runtime::Engine, bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let Some(call) = std::str::from_utf8(bytes).ok().and_then(|text| text.strip_prefix("call ")) else {
        return Ok(engine.precompile_component(bytes)?);
    };
    let (name, target) = call.split_once(' ').unwrap_or((call, ""));
    let seen = calls::make(name, target).map_err(|error| anyhow::anyhow!("refused: {error}"))?;
    Ok(format!("succeeded: {seen}").into_bytes())
}

fn hole(driver_call: &DriverCall<'_>) -> Result<Tally, Failure> {
    let &DriverCall { job, engine, reporter, .. } = driver_call;
    let text = |key: &str| job.config.get(key).and_then(|text| text.as_str()).unwrap_or_default();
    // Anything that is not a native call runs the driver, as in the real program.
    let asked = job.config.get("connection").and_then(|connection| connection.get("database"));
    let asked = asked.and_then(|call| call.as_str()).filter(|_| job.call == Call::Discover);
    if text("attack") != "native" && asked.is_none() {
        return osiris::step::call(driver_call);
    }
    let call = match asked {
        Some(asked) => asked,
        None if text("target").is_empty() => text("sql"),
        None => text("target"),
    };
    let (name, target) = call.split_once(' ').unwrap_or((call, ""));
    let outcome = calls::make(name, &target.replace("SCRATCH", &job.files.scratch.to_string_lossy()));
    let said = match &outcome {
        Ok(seen) => format!("succeeded: {seen}"),
        Err(error) => format!("refused: {error}"),
    };
    reporter.log(LogLevel::Info, said.clone(), [].into());
    match outcome {
        Ok(_) => {
            if job.kind.makes_tables() && job.call == Call::Run {
                engine
                    .create_table_as("main", "select true as breached")
                    .map_err(|error| failure(error.to_string()))?;
            }
            Ok(Tally::default())
        }
        Err(_) => Err(failure(said)),
    }
}

fn failure(message: String) -> Failure {
    Failure::new(Blame::Driver, "internal", message)
}
