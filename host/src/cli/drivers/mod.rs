//! `osiris drivers`: one file per verb about drivers.

mod inspect;
mod list;
mod pack;
mod test;

use std::path::PathBuf;
use std::process::ExitCode;

use super::prepare::PlaceArguments;
use crate::driver::catalog::Catalog;
use crate::error::Report;

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// List the drivers that pipelines can name
    List(list::Arguments),
    /// Show a driver's kind, options, grants and imports
    Inspect(inspect::Arguments),
    /// Add a spec to a component, which makes it a driver
    Pack(pack::Arguments),
    /// Test a driver
    Test(test::Arguments),
}

pub fn drivers(verb: &Verb) -> anyhow::Result<ExitCode> {
    match verb {
        Verb::List(arguments) => list::list(arguments)?,
        Verb::Inspect(arguments) => inspect::inspect(arguments)?,
        Verb::Pack(arguments) => pack::pack(arguments)?,
        Verb::Test(arguments) => return test::test(arguments),
    }
    Ok(ExitCode::SUCCESS)
}

fn catalog(place: &PlaceArguments) -> Result<Catalog, Report> {
    let base = place.base.clone().unwrap_or_else(|| PathBuf::from("."));
    place.catalog(&base)
}
