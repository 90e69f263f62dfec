//! `osiris connections list`: lists the configured connections.

use std::process::ExitCode;

use serde_json::{Map, Value, json};

use crate::cli::ask::ConnectionContext;
use crate::cli::prepare::PlaceArguments;
use crate::cli::{print, print_json, table};
use crate::pipeline::connections;
use crate::untrusted::line;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    place: PlaceArguments,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn list(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let context = ConnectionContext::new(&arguments.place)?;
    let all = context.connections.list();
    let described = all.iter().map(|(name, default)| {
        let fields = context.fields_to_show(&format!("@{name}"));
        let family = name.split('.').next().unwrap_or_default();
        let driver = context.driver(family, None).ok().map(|driver| driver.spec.name);
        let (place, problem) = match fields {
            Ok(fields) => (place(&fields), None),
            Err(report) => (String::new(), Some(report.message)),
        };
        (format!("@{name}"), *default, driver, place, problem)
    });
    if arguments.json {
        let all: Vec<Value> = described
            .map(|(name, default, driver, place, problem)| {
                json!({"connection": name, "default": default, "driver": driver, "leads_to": place, "problem": problem})
            })
            .collect();
        print_json(&all)?;
        return Ok(ExitCode::SUCCESS);
    }
    if all.is_empty() {
        print(&format!("no connections: `{}` names none in {}", connections::FILE, context.base.path.display()));
        return Ok(ExitCode::SUCCESS);
    }
    let mut shown = table(&["connection", "default", "driver", "leads to"]);
    let mut problems = String::new();
    for (name, default, driver, place, problem) in described {
        if let Some(problem) = problem {
            problems.push_str(&format!("\nwarning: {}", line(&problem)));
        }
        shown.add_row([name, if default { "yes" } else { "" }.to_owned(), driver.unwrap_or_default(), place]);
    }
    if !problems.is_empty() {
        problems.push('\n');
    }
    print(&format!("{shown}\n{problems}\ntry them with `osiris connections doctor`"));
    Ok(ExitCode::SUCCESS)
}

/// Where a connection leads, without anything secret.
fn place(fields: &Map<String, Value>) -> String {
    let text =
        |name: &str| fields.get(name).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    match (text("host"), text("url").or_else(|| text("endpoint"))) {
        (Some(host), _) => {
            let port = text("port").map_or_else(String::new, |port| format!(":{port}"));
            let database = text("database").map_or_else(String::new, |database| format!("/{database}"));
            format!("{host}{port}{database}")
        }
        // The text before an `@` or after a `?` may contain a secret.
        (None, Some(url)) => {
            url.split('?').next().unwrap_or_default().rsplit('@').next().unwrap_or_default().to_owned()
        }
        (None, None) => String::new(),
    }
}
