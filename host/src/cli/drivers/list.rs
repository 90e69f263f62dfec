//! `osiris drivers list`: the drivers that pipelines can name.

use serde_json::{Value, json};

use super::catalog;
use crate::cli::prepare::PlaceArguments;
use crate::cli::{print, print_json, table};
use crate::driver::catalog::Listing;
use crate::untrusted;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    place: PlaceArguments,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn list(arguments: &Arguments) -> anyhow::Result<()> {
    let catalog = catalog(&arguments.place)?;
    let Listing { drivers, problems, others } = catalog.list();
    for problem in problems.iter().chain(others) {
        eprintln!("warning: {}", untrusted::paragraph(problem));
    }
    if arguments.json {
        let all: Vec<Value> = drivers
            .values()
            .map(|driver| {
                json!({"name": driver.spec.name, "version": driver.spec.version, "kind": driver.spec.kind, "title": driver.spec.title,
                       "path": driver.path, "sha256": driver.sha256})
            })
            .collect();
        print_json(&all)?;
        return Ok(());
    }
    if drivers.is_empty() {
        let folders: Vec<String> = catalog.folders.iter().map(|folder| format!("  {}", folder.display())).collect();
        print(&format!("no drivers in\n{}", folders.join("\n")));
        return Ok(());
    }
    let mut shown = table(&["driver", "version", "kind", "what it does"]);
    for driver in drivers.values() {
        shown.add_row([
            driver.spec.name.clone(),
            driver.spec.version.clone(),
            driver.spec.kind.to_string(),
            driver.spec.title.to_string(),
        ]);
    }
    print(&format!("{shown}\n\nshow a driver's options with `osiris drivers inspect NAME`"));
    Ok(())
}
