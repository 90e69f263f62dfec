//! Osiris with holes in its step process and its compiler: what native code in their place can do there.
//!
//! It stands for a flaw in DuckDB or wasmtime that lets a driver run machine code. Everything is as
//! in the real program, down to the pipeline; but a step makes the system call that its config names
//! instead of running its driver.

mod calls;

use std::process::ExitCode;
use std::sync::Arc;

use osiris::channel::reporter::Reporter;
use osiris::contract::{Tally, Trust};
use osiris::driver::compiler::Allowance;
use osiris::engine::Engine;
use osiris::error::{Blame, Failure};
use osiris::protocol::Job;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["step"] => osiris::step::main_with(hole),
        ["compile", cpu_seconds, memory_bytes] => {
            let number = |text: &str| text.parse().unwrap_or_default();
            let allowance = Allowance { cpu_seconds: number(cpu_seconds), memory_bytes: number(memory_bytes) };
            osiris::driver::compiler::main_with(allowance, compiler_hole)
        }
        _ => osiris::cli::main(),
    }
}

/// Makes the call that stands where a component should; compiles what is none.
fn compiler_hole(engine: &osiris::driver::runtime::Engine, bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let Some(call) = std::str::from_utf8(bytes).ok().and_then(|text| text.strip_prefix("call ")) else {
        return Ok(engine.precompile_component(bytes)?);
    };
    let (name, target) = call.split_once(' ').unwrap_or((call, ""));
    let seen = calls::make(name, target).map_err(|error| anyhow::anyhow!("refused: {error}"))?;
    Ok(format!("succeeded: {seen}").into_bytes())
}

fn hole(
    job: &Job,
    _component: &osiris::driver::runtime::Component,
    engine: &Arc<Engine>,
    reporter: &Reporter,
    _trust: Trust,
) -> Result<Tally, Failure> {
    let call = job.config.get("sql").and_then(|call| call.as_str()).unwrap_or_default();
    if job.driver.starts_with("duckdb.processor@") {
        let query = job.config.get("query").and_then(|query| query.as_str()).unwrap_or_default();
        engine.create_table_as("main", query).map_err(|error| failure(error.to_string()))?;
        return Ok(Tally::default());
    }
    let call = if job.driver.starts_with("test.network_attack@") {
        job.config.get("target").and_then(|call| call.as_str()).unwrap_or_default()
    } else {
        call
    };
    let (name, target) = call.split_once(' ').unwrap_or((call, ""));
    let outcome = calls::make(name, &target.replace("SCRATCH", &job.scratch.to_string_lossy()));
    let said = match &outcome {
        Ok(seen) => format!("succeeded: {seen}"),
        Err(error) => format!("refused: {error}"),
    };
    reporter.log("info", said.clone(), [].into());
    match outcome {
        Ok(_) => {
            if job.kind.makes_tables() {
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
    Failure { blame: Blame::Driver, kind: "internal".to_owned(), message, hint: None }
}
