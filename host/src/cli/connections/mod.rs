//! `osiris connections`: lists connections and checks whether they work.

mod doctor;
mod list;

use std::process::ExitCode;

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// List the connections that `osiris_connections.yaml` names
    List(list::Arguments),
    /// Try connections: connect and log in without changing anything
    Doctor(doctor::Arguments),
}

pub fn connections(verb: &Verb) -> anyhow::Result<ExitCode> {
    match verb {
        Verb::List(arguments) => list::list(arguments),
        Verb::Doctor(arguments) => doctor::doctor(arguments),
    }
}
