//! `osiris discover`: shows the tables that a connection can read.

use std::process::ExitCode;

use serde_json::json;

use super::ask::{AskArguments, Inquiry};
use super::{counted, grouped, print, print_json, table};
use crate::digest::sha256_of;
use crate::driver::discovery::FoundTable;
use crate::error::Report;
use crate::protocol::{Call, Message};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  osiris discover @postgres.main\n  osiris discover @http.api --driver graphql.extractor --json"
)]
pub struct Discover {
    /// The connection, such as `@postgres.main`
    connection: String,
    #[command(flatten)]
    ask: AskArguments,
}

pub fn discover(arguments: &Discover) -> anyhow::Result<ExitCode> {
    let ask = &arguments.ask;
    let inquiry = Inquiry::new(ask)?;
    let driver = inquiry.driver(&arguments.connection)?;
    let told = inquiry.ask(&arguments.connection, &driver, Call::Discover)?;
    for line in &told.warnings {
        eprintln!("warn: {}", line.paragraph());
    }
    let tables = match told.outcome {
        Ok(Message::Discovered { tables }) => tables,
        Ok(_) => Vec::new(),
        Err(failure) => {
            let report = Report::step(format!("cannot discover `{}`: {}", arguments.connection, failure.message.raw()));
            return Err(match failure.hint {
                Some(hint) => report.hint(hint.raw()),
                None => report.hint(format!("try it with `osiris connections doctor {}`", arguments.connection)),
            }
            .into());
        }
    };
    if ask.json {
        let whole = json!({"connection": arguments.connection, "driver": driver.label(), "fingerprint": fingerprint(&tables)?, "tables": tables});
        print_json(&whole)?;
    } else {
        print(&in_words(&tables, &fingerprint(&tables)?));
    }
    Ok(ExitCode::SUCCESS)
}

/// A digest that changes only with the shape of what was found: not with the time, nor with the rows.
fn fingerprint(tables: &[FoundTable]) -> anyhow::Result<String> {
    let shapes: Vec<FoundTable> =
        tables.iter().map(|table| FoundTable { estimated_rows: None, ..table.clone() }).collect();
    Ok(sha256_of(&serde_json::to_vec(&shapes)?))
}

fn in_words(tables: &[FoundTable], fingerprint: &str) -> String {
    if tables.is_empty() {
        return "it shows no tables".to_owned();
    }
    let mut shown = table(&["table", "column", "type", "in duckdb", "null", "key", "rows"]);
    for found in tables {
        let name =
            found.schema.as_ref().map_or_else(|| found.name.to_string(), |schema| format!("{schema}.{}", found.name));
        for (place, column) in found.columns.iter().enumerate() {
            let first = place == 0;
            shown.add_row([
                if first { name.clone() } else { String::new() },
                column.name.to_string(),
                column.source_type.to_string(),
                column.duckdb_type.to_string(),
                if column.nullable { "yes" } else { "" }.to_owned(),
                if found.primary_key.contains(&column.name) { "yes" } else { "" }.to_owned(),
                found.estimated_rows.filter(|_| first).map_or_else(String::new, |rows| format!("~{}", grouped(rows))),
            ]);
        }
    }
    format!("{shown}\n\n{}, fingerprint {fingerprint}", counted(tables.len() as u64, "table"))
}
