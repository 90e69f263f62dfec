//! `osiris validate`: finds all that is wrong with pipelines without running them.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::prepare::{PipelineArguments, PlannedPipeline, prepare_bound};
use super::run::Pins;
use super::secret_sources::Commands;
use super::{as_json, counted, print, print_data, print_reports, reports};
use crate::error::{Fault, Report};
use crate::pipeline::StepId;
use crate::untrusted;
use crate::warning::Warning;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  osiris validate pipeline.yaml\n  osiris validate pipelines/*.yaml --base . --offline"
)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// More pipelines, each with the same parameters and profile
    #[arg(value_name = "PIPELINE")]
    more: Vec<PathBuf>,
    /// Use nothing but the pipelines, `osiris.yaml`, the connections file and the drivers: no secrets, no variables that have no value,
    /// no data and no earlier sessions
    #[arg(long)]
    offline: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Arguments {
    fn prepare(&self, pipeline: &PipelineArguments) -> anyhow::Result<PlannedPipeline> {
        let commands = if self.offline { Commands::Offline } else { Commands::StandIn };
        prepare_bound(pipeline, Pins::Enforced, commands, true)
    }
}

pub fn validate(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if arguments.more.is_empty() {
        let valid = arguments.prepare(&arguments.pipeline)?;
        if arguments.json {
            print_data(&untrusted::json(&valid_json(&valid).to_string()));
        } else {
            say_valid(&valid);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut found = Vec::new();
    let mut fault = None;
    for path in std::iter::once(&arguments.pipeline.pipeline).chain(&arguments.more) {
        let pipeline = PipelineArguments { pipeline: path.clone(), ..arguments.pipeline.clone() };
        let file = path.display().to_string();
        match arguments.prepare(&pipeline) {
            Ok(valid) if arguments.json => found.push(json!({"file": file, "pipeline": valid_json(&valid)})),
            Ok(valid) => say_valid(&valid),
            Err(error) => {
                let wrong = reports(&error);
                fault = fault.or_else(|| wrong.first().map(|report| report.fault));
                if arguments.json {
                    found.push(json!({"file": file, "errors": wrong.iter().map(as_json).collect::<Vec<_>>()}));
                } else {
                    say_wrong(&file, &wrong);
                }
            }
        }
    }
    if arguments.json {
        let all = json!({"valid": fault.is_none(), "pipelines": found});
        print_data(&untrusted::json(&all.to_string()));
    }
    Ok(fault.map_or(ExitCode::SUCCESS, |fault: Fault| ExitCode::from(fault.exit_code())))
}

/// What a valid pipeline's author should know all the same.
fn noticed(valid: &PlannedPipeline) -> impl Iterator<Item = (Option<&StepId>, &Warning)> {
    let of_steps = valid.plan.steps.iter().flat_map(|step| step.notices.iter().map(|notice| (Some(&step.id), notice)));
    valid.plan.notices.iter().map(|notice| (None, notice)).chain(of_steps)
}

fn valid_json(valid: &PlannedPipeline) -> Value {
    let warning = |(id, notice): (_, &Warning)| json!({"step": id, "message": notice.message, "fields": notice.fields});
    let warnings: Vec<Value> = noticed(valid).map(warning).collect();
    json!({"pipeline": valid.plan.pipeline, "valid": true, "steps": valid.plan.steps.len(), "warnings": warnings})
}

fn say_valid(valid: &PlannedPipeline) {
    for (id, notice) in noticed(valid) {
        let place = id.map_or_else(String::new, |id| format!("step `{id}`: "));
        eprintln!("warning: {place}{}", notice.paragraph());
    }
    let steps = counted(valid.plan.steps.len() as u64, "step");
    print(&format!("pipeline `{}` is valid: {steps}", valid.plan.pipeline));
}

fn say_wrong(file: &str, wrong: &[Report]) {
    eprintln!("\n{}: {}", untrusted::line(file), counted(wrong.len() as u64, "error"));
    print_reports(wrong);
    eprintln!();
}
