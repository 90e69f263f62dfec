//! `osiris plan`: what a pipeline would do, without doing it.

use std::fmt::Write;
use std::process::ExitCode;

use crate::exchange::Location;
use crate::grants::limits::Limits;
use crate::grants::pattern;
use crate::pipeline::StepId;
use crate::pipeline::expect::{MostRejected, Severity};
use crate::plan::{Plan, PlannedStep};
use crate::protocol::REJECTED;
use crate::run::matched::{self, Sum};
use crate::session::Base;
use crate::size;
use serde_json::{Map, Value, json};

use super::prepare::{PipelineArguments, prepare};
use super::run::Pins;
use super::secret_sources::Commands;
use super::{counted, print, print_json};
use crate::untrusted::{self, line};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn plan(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let prepared = prepare(&arguments.pipeline, Pins::Enforced, Commands::StandIn)?;
    let exchange = prepared.exchange.as_ref().map(|access| &access.location);
    if arguments.json {
        let beside = prepared.plan.side_by_side();
        let steps: Vec<Value> = prepared
            .plan
            .steps
            .iter()
            .zip(&beside)
            .map(|(step, beside)| as_json(step, beside, &prepared.base))
            .collect();
        let plan = json!({"pipeline": prepared.plan.pipeline, "base": prepared.base.path, "exchange": exchange.map(ToString::to_string), "limits": prepared.limits, "warnings": prepared.plan.notices, "steps": steps});
        print_json(&plan)?;
    } else {
        print(&in_words(&prepared.plan, &prepared.base, &prepared.limits, exchange));
    }
    Ok(ExitCode::SUCCESS)
}

fn as_json(step: &PlannedStep, beside: &[&StepId], base: &Base) -> Value {
    let driver = &step.driver;
    let inputs: Vec<Value> = step
        .inputs
        .iter()
        .filter(|input| !input.is_reference)
        .map(|input| json!({"alias": input.alias, "from_step": input.step, "table": input.table, "also": input.also}))
        .collect();
    let files = matched::count(base, step);
    let files: Vec<Value> =
        files.iter().map(|(path, sum)| json!({"path": path, "files": sum.files, "bytes": sum.bytes})).collect();
    json!({
        "id": step.id,
        "on": step.on.name(),
        "resources": step.resources,
        "component": step.component,
        "driver": {"name": driver.spec.name, "version": driver.spec.version, "sha256": driver.sha256, "path": driver.path},
        "kind": driver.spec.kind,
        "needs": step.needs,
        "beside": beside,
        "inputs": inputs,
        "config": step.masked_config,
        "files": files,
        "instances": step.instances,
        "retries": step.retries.more,
        "retry": {"backoff_ms": step.retries.backoff.as_millis(), "on": step.retries.on},
        "rejects": step.rejects,
        "expect": step.expect,
        "warnings": step.notices,
        "grants": step.grants.json(),
    })
}

/// The most steps that are listed as running beside a step.
const MAX_BESIDE: usize = 8;

fn in_words(plan: &Plan, base: &Base, limits: &Limits, exchange: Option<&Location>) -> String {
    let folder = base.path.display().to_string();
    let mut text =
        format!("pipeline `{}`, base folder {}\neach step {}\n", line(&plan.pipeline), line(&folder), limits.words());
    if let Some(exchange) = exchange {
        let _ = writeln!(
            text,
            "outputs and written files travel through {}, which has the ledger",
            line(&exchange.to_string())
        );
    }
    for notice in &plan.notices {
        let _ = writeln!(text, "warning  {}", notice);
    }
    let beside = plan.side_by_side();
    for (number, (step, beside)) in plan.steps.iter().zip(beside).enumerate() {
        let driver = &step.driver;
        let _ = writeln!(
            text,
            "\n{}. {}  ({} {}, sha256 {}…)",
            number + 1,
            step.id,
            driver.spec.kind,
            driver.label(),
            &driver.sha256[..12]
        );
        let path = driver.path.strip_prefix(&base.path).unwrap_or(&driver.path);
        let _ = writeln!(text, "   driver   {}", line(&path.to_string_lossy()));
        if let Some(travels) = travels(step, exchange.is_some()) {
            let _ = writeln!(text, "   on       {}", line(&travels));
            if !step.resources.is_empty() {
                let _ = writeln!(text, "   wants    {}", line(&step.resources.to_string()));
            }
        }
        write_waits(&mut text, step, &beside, plan);
        if step.instances > 1 {
            let _ = writeln!(text, "   shared   among {} instances of its driver", step.instances);
        }
        if step.retries.more > 0 {
            let _ = writeln!(text, "   retries  {}", retries(step));
        }
        write_quality(&mut text, step);
        write_grants(&mut text, step, base);
        for notice in &step.notices {
            let _ = writeln!(text, "   warning  {}", notice);
        }
        let _ = writeln!(
            text,
            "   config   {}",
            untrusted::json(&serde_json::to_string(&chosen(step)).unwrap_or_default())
        );
    }
    text
}

/// How many rows a step may reject, and what is checked of its tables.
fn write_quality(text: &mut String, step: &PlannedStep) {
    let most = match step.expect.most_rejected {
        Some(MostRejected::Percent(share)) => format!("{share}% of its rows"),
        _ => counted(u64::from(step.rejects), "row"),
    };
    if step.rejects > 0 {
        let _ = writeln!(text, "   rejects  up to {most}, into its table `{REJECTED}`");
    }
    let checks = &step.expect.checks;
    if checks.is_empty() {
        return;
    }
    let when = if step.driver.spec.kind.makes_tables() {
        "of its output, before anything reads it"
    } else {
        "of its input, before its driver is called"
    };
    let _ = writeln!(text, "   expects  {} {when}", counted(checks.len() as u64, "check"));
    for check in checks {
        let otherwise = match check.severity {
            _ if check.rejects => "; offending rows are rejected",
            Severity::Warn => "; otherwise a warning",
            Severity::Error => "",
        };
        let _ = writeln!(text, "            {}{otherwise}", line(&check.name));
    }
}

/// The worker that runs a step, and what travels to it and back, apart from what goes through an exchange.
fn travels(step: &PlannedStep, has_exchange: bool) -> Option<String> {
    let worker = step.on.worker()?;
    let inputs = match step.inputs.len() {
        0 => None,
        _ if has_exchange => None,
        1 => Some("its input".to_owned()),
        many => Some(format!("its {many} inputs")),
    };
    let databases = &step.grants.databases;
    let read =
        step.grants.read.iter().chain(&step.grants.read_matching).chain(&databases.read).chain(&databases.update);
    let read = read.map(|file| format!("`{}`", file.name));
    let secrets = (!step.secrets.is_empty()).then(|| "its secrets".to_owned());
    let there: Vec<String> = ["its driver".to_owned()].into_iter().chain(inputs).chain(read).chain(secrets).collect();
    let output = step.stores_tables().then(|| "its output".to_owned());
    let written = step.grants.written().map(|file| format!("`{}`", file.name));
    let back: Vec<String> = output.into_iter().chain(written).filter(|_| !has_exchange).collect();
    let back = if back.is_empty() { "nothing".to_owned() } else { back.join(", ") };
    Some(format!("worker `{}`: there travel {}; back travels {back}", worker.name, there.join(", ")))
}

/// What a step may touch, and how many files its patterns and folders stand for.
fn write_grants(text: &mut String, step: &PlannedStep, base: &Base) {
    let grants = step.grants.words();
    let may = if grants.is_empty() { "nothing outside the session".to_owned() } else { grants.join("; ") };
    let _ = writeln!(text, "   may      {}", line(&may));
    for (path, sum) in matched::count(base, step) {
        if pattern::is_pattern(path.as_ref()) || sum.files != 1 {
            let _ = writeln!(text, "   matches  {}: `{}`", found(sum), line(&path));
        }
    }
}

/// The files that a path stands for at present.
fn found(sum: Sum) -> String {
    match sum.files {
        0 => "no file yet".to_owned(),
        files => format!("{} ({}) at present", counted(files as u64, "file"), size::spell(sum.bytes)),
    }
}

/// When the step is tried again, in words.
fn retries(step: &PlannedStep) -> String {
    let spec = &step.driver.spec;
    let often = counted(u64::from(step.retries.more), "time");
    let sends = spec.kind.delivers() && !spec.retry_safe && !step.grants.endpoints().is_empty();
    let unless = if sends { ", unless it has connected by then" } else { "" };
    format!("up to {often} after a failure that may be temporary{}{unless}", step.retries.words())
}

/// What a step reads and waits for, and what may run at the same time.
fn write_waits(text: &mut String, step: &PlannedStep, beside: &[&StepId], plan: &Plan) {
    let once_checked = |id: &StepId| once_checked(plan, id);
    for input in &step.inputs {
        if input.is_reference {
            let _ =
                writeln!(text, "   looks up table `{}` of step `{}`, for its checks", line(&input.table), input.step);
            continue;
        }
        let table = if input.table == "main" { String::new() } else { format!(", table `{}`", line(&input.table)) };
        let also = if input.also.is_empty() {
            String::new()
        } else {
            format!(" (in SQL also {})", line(&input.also.join(", ")))
        };
        let _ = writeln!(
            text,
            "   input    {} from step `{}`{table}{also}{}",
            line(&input.alias),
            input.step,
            once_checked(&input.step)
        );
    }
    for need in step.needs.iter().filter(|need| step.inputs.iter().all(|input| input.step != **need)) {
        let _ = writeln!(text, "   after    {need}{}", once_checked(need));
    }
    if !beside.is_empty() {
        let names: Vec<&str> = beside.iter().take(MAX_BESIDE).map(|id| id.as_str()).collect();
        let more =
            if beside.len() > MAX_BESIDE { format!(" and {} more", beside.len() - MAX_BESIDE) } else { String::new() };
        let _ = writeln!(text, "   beside   {}{more}", names.join(", "));
    }
}

/// That a step has no output before its checks have passed.
fn once_checked(plan: &Plan, id: &StepId) -> String {
    match plan.steps.iter().find(|step| step.id == *id).map_or(0, |step| step.expect.checks.len()) {
        0 => String::new(),
        1 => ", once its check has passed".to_owned(),
        several => format!(", once its {several} checks have passed"),
    }
}

/// The masked config without the options that have the driver's default value.
fn chosen(step: &PlannedStep) -> Map<String, Value> {
    let default = |name: &str| step.driver.spec.config_schema.pointer("/properties")?.get(name)?.get("default");
    let chosen = step.masked_config.iter().filter(|(name, value)| default(name) != Some(value));
    chosen.map(|(name, value)| (name.clone(), value.clone())).collect()
}
