//! `osiris connections doctor`: checks whether connections work.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;

use crate::cli::ask::{AskArguments, Inquiry};
use crate::cli::{print, print_json, spell_duration, table};
use crate::error::{Blame, Failure, Report};
use crate::pipeline::connections;
use crate::protocol::{Call, Message};
use crate::run::probe::ProbeReport;
use crate::untrusted::Untrusted;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Connections to try, such as `@postgres.main` [default: all]
    connections: Vec<String>,
    #[command(flatten)]
    ask: AskArguments,
}

/// The result of a check, in the words of Python Osiris's doctor.
fn category(told: &ProbeReport) -> &str {
    let kind = match &told.outcome {
        Ok(_) => return "ok",
        Err(failure) => failure.kind.raw(),
    };
    match kind {
        "auth" => "auth",
        "denied" => "permission",
        "transient" | "rate-limited" => "network",
        "timeout" => "timeout",
        _ => "unknown",
    }
}

pub fn doctor(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let ask = &arguments.ask;
    let inquiry = Inquiry::new(ask)?;
    let mut wanted = arguments.connections.clone();
    if wanted.is_empty() {
        wanted = inquiry.context.connections.list().into_iter().map(|(name, _)| format!("@{name}")).collect();
    }
    if wanted.is_empty() {
        return Err(Report::input(format!("`{}` names no connection", connections::FILE))
            .hint("write one as `connections: {family: {alias: {host: …}}}` in the base folder")
            .into());
    }
    let mut shown = table(&["connection", "ok", "category", "latency", "what it says"]);
    let (mut all, mut healthy) = (Vec::new(), true);
    for reference in &wanted {
        let (driver, told) = attempt(&inquiry, reference)?;
        let ok = told.outcome.is_ok();
        healthy &= ok;
        let message = match &told.outcome {
            Ok(Message::Checked { message }) => message.clone(),
            Ok(_) => Untrusted::default(),
            Err(failure) => failure.message.clone(),
        };
        let latency = u64::try_from(told.duration.as_millis()).unwrap_or(u64::MAX);
        all.push(json!({"connection": reference, "driver": driver, "ok": ok, "category": category(&told), "latency_ms": latency, "message": message}));
        shown.add_row([
            reference.clone(),
            if ok { "yes" } else { "NO" }.to_owned(),
            category(&told).to_owned(),
            spell_duration(latency),
            message.to_string(),
        ]);
    }
    if ask.json {
        print_json(&all)?;
    } else {
        print(&shown.to_string());
    }
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Checks one connection. A failure is returned as a result instead of an error, so that the others are tried too.
fn attempt(inquiry: &Inquiry<'_>, reference: &str) -> anyhow::Result<(String, ProbeReport)> {
    let mut label = String::new();
    let told = inquiry.driver(reference).and_then(|driver| {
        label = driver.label();
        inquiry.ask(reference, &driver, Call::Check)
    });
    let told = told.or_else(|error| {
        let report = error.downcast::<Report>()?;
        let failure =
            Failure { hint: report.hint.map(Untrusted::from), ..Failure::new(Blame::User, "config", report.message) };
        anyhow::Ok(ProbeReport { outcome: Err(failure), duration: Duration::ZERO, warnings: Vec::new() })
    })?;
    Ok((label, told))
}
