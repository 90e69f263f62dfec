//! The command line: one file per verb. Results go to stdout, everything else to stderr.

mod ask;
mod backfill;
mod connections;
mod copy;
mod discover;
mod doctor;
mod drivers;
mod e2b_bridge;
mod exchange;
mod expectations;
mod fetch;
mod folders;
mod init;
mod intervals;
mod limits;
mod located;
mod lock;
mod plan;
mod prepare;
mod progress;
mod query;
mod rejects;
mod run;
mod sandbox;
mod secret_sources;
mod sessions;
mod state;
mod terminal;
mod test;
mod validate;
mod worker;

use std::process::ExitCode;

use crate::contract;
use crate::driver::compiler::{self, Allowance};
use crate::driver::inspect;
use crate::environment;
use crate::error::{Fault, Place, Report, Reports};
use crate::untrusted;
use clap::{Parser, Subcommand};
use serde_json::{Value, json};

/// The exit code of a run that the user interrupted, which is the shell's for SIGINT.
const INTERRUPTED: u8 = 130;

#[derive(Parser)]
#[command(
    name = "osiris",
    version,
    about = "Runs data pipelines whose drivers are sandboxed WebAssembly components",
    long_about = "Runs data pipelines whose drivers (extractors, processors, writers) are sandboxed WebAssembly \
                  components.\n\nEach step runs in a separate process that can access its inputs, its output and the \
                  files it was granted, and nothing else. Steps pass data as DuckDB files, which any DuckDB client opens.",
    after_help = "Start here:\n  osiris plan pipeline.yaml       show the steps and what each may access\n  \
                  osiris run pipeline.yaml        run it\n  osiris query latest STEP 'select * from main limit 5'\n  \
                  osiris drivers list             list the available drivers\n\n\
                  Exit codes: 0 done, 1 a step failed, 2 your input is wrong, 3 a fault of Osiris, 4 another run is at work, \
                  130 interrupted\n\n\
                  Environment:\n  OSIRIS_BASE       the base folder, unless `--base` names it\n  \
                  OSIRIS_SESSIONS   the folder of sessions, unless `--sessions` names it\n  \
                  OSIRIS_STATE      the folder of states, unless `--state` names it\n  \
                  OSIRIS_DRIVERS    a folder of drivers, searched after `--drivers`\n  \
                  OSIRIS_PARAM_X    the value of the parameter `x`, unless `--param` or the profile sets it\n  \
                  OSIRIS_CACHE_DIR  the folder of compiled drivers [default: osiris in $XDG_CACHE_HOME or ~/.cache]\n  \
                  OSIRIS_LOG        the level of the messages about Osiris itself: error, warn, info, debug or trace [default: warn]"
)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run a pipeline
    Run(run::Arguments),
    /// Write a project with a first pipeline
    Init(init::Arguments),
    /// Copy tables or files from a source to a target, without writing a pipeline
    Copy(copy::Arguments),
    /// Run a pipeline once for each hour, day, week or month of a range
    Backfill(backfill::Arguments),
    /// Show what a pipeline would do: steps in order, their drivers, inputs and grants
    Plan(plan::Arguments),
    /// Check pipelines without running them
    Validate(validate::Arguments),
    /// Test pipelines with tables in place of what they read and write
    Test(test::Arguments),
    /// Pin a pipeline's drivers, or accept changed ones
    Lock(lock::Arguments),
    /// Show which protections this machine offers
    Doctor(doctor::Arguments),
    /// List connections, and try them
    #[command(subcommand)]
    Connections(connections::Verb),
    /// Show what a connection can read: tables, columns, types, keys
    Discover(discover::Discover),
    /// Write, build and try drivers; list, inspect and pack them
    #[command(subcommand, after_help = drivers::EXAMPLES)]
    Drivers(drivers::Verb),
    /// Run a SELECT over the output of a step
    Query(query::Arguments),
    /// List, show and remove sessions
    #[command(subcommand)]
    Sessions(sessions::Verb),
    /// List and show the rows that drivers and checks rejected
    #[command(subcommand)]
    Rejects(rejects::Verb),
    /// Remove from an exchange what nobody needs
    #[command(subcommand)]
    Exchange(exchange::Verb),
    /// Show the states that steps keep between runs, or reset them
    #[command(subcommand)]
    State(state::Verb),
    /// Run steps for a host on another machine, which speaks to it over stdin and stdout
    Worker(worker::Arguments),
    /// The step process (internal)
    #[command(hide = true)]
    Step,
    /// The process behind `query` (internal)
    #[command(hide = true)]
    Look,
    /// The process that runs steps in sandboxes of E2B (internal)
    #[command(hide = true)]
    E2bBridge(e2b_bridge::Arguments),
    /// The process that tries the sandbox (internal)
    #[command(hide = true)]
    Confine,
    /// The process that compiles a driver (internal)
    #[command(hide = true)]
    Compile { cpu_seconds: u64, memory_bytes: u64 },
    /// The process that reads drivers and judges configs (internal)
    #[command(hide = true)]
    Inspect {
        cpu_seconds: u64,
        memory_bytes: u64,
        #[arg(long)]
        require_sandbox: bool,
    },
}

pub fn main() -> ExitCode {
    main_with(std::env::args_os())
}

/// Runs the command line `arguments`, which begin with the program's name: the entry point for programs that embed this
/// one.
pub fn main_with(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> ExitCode {
    // A core file would contain the secrets of all steps. Best effort: a failure to lower the limit is ignored.
    let _ = crate::sandbox::no_core_files();
    crate::sandbox::raise_open_files();
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(mut error) => {
            suggest_no_internal_command(&mut error);
            // A closed pipe is not a failure.
            let _ = error.print();
            if error.use_stderr() {
                let message = error.to_string();
                let first = message.lines().next().unwrap_or_default();
                print_failures(&[Report::input(first.strip_prefix("error: ").unwrap_or(first))]);
            }
            return ExitCode::from(if error.use_stderr() { Fault::Input.exit_code() } else { 0 });
        }
    };
    let outcome = match arguments.verb {
        // These processes only talk to the host, so nothing else is set up for them.
        Verb::Step => return crate::step::main(),
        Verb::Look => return crate::step::look::main(),
        Verb::Confine => return crate::sandbox::try_it(),
        Verb::Compile { cpu_seconds, memory_bytes } => {
            return compiler::main_with(Allowance { cpu_seconds, memory_bytes }, contract::compile);
        }
        Verb::Inspect { cpu_seconds, memory_bytes, require_sandbox } => {
            return inspect::main(Allowance { cpu_seconds, memory_bytes }, require_sandbox);
        }
        Verb::Run(arguments) => logged(|| run::run(&arguments)),
        Verb::Init(arguments) => logged(|| init::init(&arguments)),
        Verb::Copy(arguments) => logged(|| copy::copy(&arguments)),
        Verb::Backfill(arguments) => logged(|| backfill::backfill(&arguments)),
        Verb::Plan(arguments) => logged(|| plan::plan(&arguments)),
        Verb::Validate(arguments) => logged(|| validate::validate(&arguments)),
        Verb::Test(arguments) => logged(|| test::test(&arguments)),
        Verb::Lock(arguments) => logged(|| lock::lock(&arguments)),
        Verb::Doctor(arguments) => logged(|| doctor::doctor(&arguments)),
        Verb::Worker(arguments) => logged(|| worker::worker(&arguments)),
        Verb::E2bBridge(arguments) => logged(|| e2b_bridge::e2b_bridge(&arguments)),
        Verb::Connections(verb) => logged(|| connections::connections(&verb)),
        Verb::Discover(arguments) => logged(|| discover::discover(&arguments)),
        Verb::Exchange(verb) => logged(|| exchange::exchange(&verb)),
        Verb::State(verb) => logged(|| state::state(&verb)),
        Verb::Drivers(verb) => logged(|| drivers::drivers(&verb)),
        Verb::Query(arguments) => logged(|| query::query(&arguments)),
        Verb::Rejects(verb) => logged(|| rejects::rejects(&verb)),
        Verb::Sessions(verb) => logged(|| sessions::sessions(&verb)),
    };
    terminal::flush();
    outcome.unwrap_or_else(|error| fail(&error))
}

/// Removes internal commands from the suggestions for a misspelt one.
fn suggest_no_internal_command(error: &mut clap::Error) {
    use clap::CommandFactory;
    use clap::error::{ContextKind, ContextValue};
    let is_hidden = |name: &String| Arguments::command().find_subcommand(name).is_some_and(clap::Command::is_hide_set);
    if let Some(ContextValue::Strings(names)) = error.get(ContextKind::SuggestedSubcommand) {
        let shown: Vec<String> = names.iter().filter(|name| !is_hidden(name)).cloned().collect();
        error.remove(ContextKind::SuggestedSubcommand);
        if !shown.is_empty() {
            error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(shown));
        }
    }
}

/// Runs a verb with the host's own log on stderr, at the level that `OSIRIS_LOG` sets (default: warnings).
fn logged(verb: impl FnOnce() -> anyhow::Result<ExitCode>) -> anyhow::Result<ExitCode> {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env(environment::LOG).unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(terminal::LogLine::default)
        .without_time()
        .with_target(false)
        .init();
    verb()
}

/// Prints errors and their remedies; the exit code says whose fault the first is.
fn fail(error: &anyhow::Error) -> ExitCode {
    let reports = reports(error);
    print_reports(&reports);
    print_failures(&reports);
    ExitCode::from(reports.first().map_or(Fault::Host, |report| report.fault).exit_code())
}

fn print_reports(reports: &[Report]) {
    for (place, report) in reports.iter().enumerate() {
        let apart = if place == 0 { "" } else { "\n" };
        eprintln!("{apart}error: {}", untrusted::paragraph(&report.message));
        if let Some(Place::Spot { file, line, column }) = &report.place {
            eprintln!("  --> {}:{line}:{column}", untrusted::line(file));
        }
        if let Some(hint) = &report.hint {
            eprintln!("hint: {}", untrusted::paragraph(hint));
        }
    }
}

/// All that an error says is wrong.
fn reports(error: &anyhow::Error) -> Vec<Report> {
    if let Some(reports) = error.downcast_ref::<Reports>() {
        return reports.iter().cloned().collect();
    }
    let message = format!("{error:#}");
    vec![match error.downcast_ref::<Report>() {
        Some(report) => Report { message, ..report.clone() },
        None => Report { fault: Fault::Host, ..Report::input(message) },
    }]
}

/// Prints the failure as a JSON object if `--json` was given, whatever the exit code, so also for invalid arguments. All
/// errors are in `errors`, the first is `error`, too.
fn print_failures(reports: &[Report]) {
    let mut arguments = std::env::args_os().skip(1).take_while(|argument| argument != "--");
    let verb = arguments.next();
    if !arguments.any(|argument| argument == "--json") {
        return;
    }
    let errors: Vec<Value> = reports.iter().map(as_json).collect();
    let mut failure = json!({"status": "failed", "error": errors.first(), "errors": errors});
    if verb.is_some_and(|verb| verb == "run") {
        failure["steps"] = json!([]);
    }
    // If this fails, the error is on stderr anyway.
    let _ = print_json(&failure);
}

fn as_json(report: &Report) -> Value {
    let fault = match report.fault {
        Fault::Input => "input",
        Fault::Step => "step",
        Fault::Host => "host",
        Fault::Busy => "busy",
    };
    let mut json = json!({"message": report.message, "hint": report.hint, "fault": fault});
    if let Some(Place::Spot { file, line, column }) = &report.place {
        (json["file"], json["line"], json["column"]) = (json!(file), json!(line), json!(column));
    }
    json
}

/// Prints a result, parts of which may come from a driver.
fn print(text: &str) {
    print_data(&untrusted::lines(text));
}

/// Prints a result as JSON without characters that control a terminal.
fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    print_data(&untrusted::json(&serde_json::to_string_pretty(value)?));
    Ok(())
}

/// Prints data as it is. A closed pipe is not an error: its reader has seen enough.
fn print_data(text: &str) {
    use std::io::Write;
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes());
    if !text.ends_with('\n') {
        let _ = stdout.write_all(b"\n");
    }
}

/// A table in the style of all results: a header, no lines between rows, and no cell that could pass for another row.
struct Table(comfy_table::Table);

fn table(head: &[&str]) -> Table {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_header(head.iter().map(|name| name.to_uppercase()));
    Table(table)
}

impl Table {
    fn add_row<T: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.0.add_row(cells.into_iter().map(|cell| untrusted::line(cell.as_ref()).into_owned()));
    }

    /// Aligns columns of numbers to the right.
    fn align_right(&mut self, columns: impl IntoIterator<Item = usize>) {
        for column in columns {
            if let Some(column) = self.0.column_mut(column) {
                column.set_cell_alignment(comfy_table::CellAlignment::Right);
            }
        }
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A number of things in words: `1 row`, `1,234 rows`.
fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// `1234567` as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A duration in milliseconds in a form for people.
fn spell_duration(milliseconds: u64) -> String {
    match milliseconds {
        0..1000 => format!("{milliseconds} ms"),
        1000..60_000 => format!("{:.1} s", milliseconds as f64 / 1000.0),
        _ => format!("{} min {} s", milliseconds / 60_000, milliseconds / 1000 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn no_cell_passes_for_another_row() {
        let mut shown = table(&["a", "b"]);
        shown.add_row(["x\nerror: y", "\u{1b}[2J"]);
        let text = shown.to_string();
        assert!(text.lines().count() == 2 && text.contains(r"x\nerror: y") && text.contains(r"\u{1b}[2J"), "{text}");
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (336_776, "336,776"), (1_234_567, "1,234,567")]
        {
            assert_eq!(grouped(number), text);
        }
        assert_eq!([0, 1, 1000].map(|number| counted(number, "row")), ["0 rows", "1 row", "1,000 rows"]);
    }
}
