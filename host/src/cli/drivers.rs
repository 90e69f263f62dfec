//! `osiris drivers`: lists drivers, shows what one declares, and packs a new one.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::driver::catalog::{Catalog, Driver, Listing, pack};
use crate::driver::inspector::Inspector;
use crate::driver::lock::Pin;
use crate::driver::{compiler, runtime};
use crate::error::Report;
use serde_json::{Value, json};

use super::prepare::PlaceArguments;
use super::{print, print_json, table};
use crate::untrusted::{self, line};

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// List the drivers that pipelines can name
    List(List),
    /// Show a driver's kind, options, grants and imports
    Inspect(Inspect),
    /// Add a spec to a component, which makes it a driver
    Pack(Pack),
}

#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    place: PlaceArguments,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub struct Inspect {
    /// A component name such as `filesystem.csv_extractor`, or a path to a .wasm file
    driver: String,
    #[command(flatten)]
    place: PlaceArguments,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  osiris drivers pack target/wasm32-wasip2/release/hello.wasm --spec spec.yaml -o drivers/my.hello.wasm"
)]
pub struct Pack {
    /// The component, as the compiler made it
    wasm: PathBuf,
    /// Its spec
    #[arg(long, value_name = "FILE", default_value = "spec.yaml")]
    spec: PathBuf,
    /// Where to write the driver: a file, or a folder, in which the file is named after the spec
    #[arg(short, long, value_name = "PATH")]
    output: PathBuf,
    /// Compile it, which checks its imports and exports; the first run then does not have to
    #[arg(long, value_name = "BOOL", default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    compile: bool,
}

pub fn drivers(verb: &Verb) -> anyhow::Result<ExitCode> {
    match verb {
        Verb::List(arguments) => list(arguments)?,
        Verb::Inspect(arguments) => inspect(arguments)?,
        Verb::Pack(arguments) => pack_driver(arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn catalog(place: &PlaceArguments) -> Result<Catalog, Report> {
    let base = place.base.clone().unwrap_or_else(|| PathBuf::from("."));
    place.catalog(&base)
}

fn list(arguments: &List) -> anyhow::Result<()> {
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

fn inspect(arguments: &Inspect) -> anyhow::Result<()> {
    let catalog = catalog(&arguments.place)?;
    // A path on the command line is relative to the current folder, as everywhere.
    let driver = if arguments.driver.ends_with(".wasm") {
        catalog.inspector.read(&PathBuf::from(&arguments.driver))?
    } else {
        catalog.find(&arguments.driver)?
    };
    if arguments.json {
        let described = json!({"spec": driver.spec, "path": driver.path, "sha256": driver.sha256, "contract": driver.contract, "imports": driver.imports, "fixed_hosts": Pin::of(&driver)?.hosts});
        print_json(&described)?;
    } else {
        print(&in_words(&driver));
    }
    Ok(())
}

fn in_words(driver: &Driver) -> String {
    let spec = &driver.spec;
    let mut text = format!("{} {}: {}\n", spec.name, spec.version, spec.title);
    if !spec.description.raw().trim().is_empty() {
        let _ = writeln!(text, "\n    {}", spec.description.paragraph());
    }
    let _ = writeln!(
        text,
        "\nkind      {}\ncontract  osiris:driver@{}\nfile      {}\nsha256    {}",
        spec.kind,
        driver.contract,
        driver.path.display(),
        driver.sha256
    );
    let _ = writeln!(
        text,
        "\nIt may\n{}",
        abilities(driver).iter().map(|line| format!("  - {line}")).collect::<Vec<_>>().join("\n")
    );
    let _ = writeln!(text, "\nOptions\n{}", options(&spec.config_schema));
    for (alias, option) in &spec.aliases {
        let _ = writeln!(text, "  {} is another name of {}", line(alias), line(option));
    }
    for (option, reason) in &spec.ignored {
        let (option, reason) = (line(option), line(reason));
        let _ = writeln!(text, "  {option} is accepted without effect: {reason}");
    }
    for example in &spec.examples {
        let yaml = crate::driver::spec::to_yaml(&example.config);
        let _ = writeln!(
            text,
            "\n{}\n{}",
            example.title,
            yaml.lines().map(|text| format!("  {}", line(text))).collect::<Vec<_>>().join("\n")
        );
    }
    text
}

/// What the driver's imports and requested grants allow, in words.
fn abilities(driver: &Driver) -> Vec<String> {
    let imports =
        |interface: &str| driver.imports.iter().any(|name| name.starts_with(&format!("osiris:driver/{interface}@")));
    let mut words = Vec::new();
    if imports("sql") {
        words.push("run SELECTs over its inputs, inside DuckDB".to_owned());
    }
    if imports("tables") {
        words.push("read its inputs' and write its output's columns".to_owned());
    }
    words.extend(driver.spec.grants.words());
    words.extend(driver.offers.iter().map(|offer| match offer.as_str() {
        "check" => "try its connection (`osiris connections doctor`)".to_owned(),
        _ => "list the tables of its connection (`osiris discover`)".to_owned(),
    }));
    let strangers: Vec<&str> = driver
        .imports
        .iter()
        .map(String::as_str)
        // A name without a package is a type used by the driver's own exports.
        .filter(|name| name.contains(':') && !name.starts_with("osiris:driver/") && !name.starts_with("wasi:"))
        .collect();
    if !strangers.is_empty() {
        words.push(format!("cannot run here: it imports {}", line(&strangers.join(", "))));
    }
    if words.is_empty() {
        words.push("only log".to_owned());
    }
    words
}

fn options(schema: &Value) -> String {
    let Some(properties) =
        schema.get("properties").and_then(Value::as_object).filter(|properties| !properties.is_empty())
    else {
        return "  none".to_owned();
    };
    let required: Vec<&str> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let mut shown = table(&["  option", "type", "default", "what it does"]);
    for (name, property) in properties {
        let kind = match (property.get("enum").and_then(Value::as_array), property.get("type")) {
            (Some(choices), _) => choices.iter().map(plain).collect::<Vec<_>>().join("|"),
            (None, Some(Value::Array(kinds))) => kinds.iter().map(plain).collect::<Vec<_>>().join("|"),
            (None, Some(kind)) => plain(kind),
            (None, None) => "any".to_owned(),
        };
        let default = match property.get("default") {
            _ if required.contains(&name.as_str()) => "(required)".to_owned(),
            Some(Value::Array(items)) if items.len() > 3 => format!("{} values", items.len()),
            Some(default) => plain(default),
            None => String::new(),
        };
        let words = property.get("description").and_then(Value::as_str).unwrap_or_default();
        shown.add_row([format!("  {name}"), kind, default, words.to_owned()].map(|text| line(&text).into_owned()));
    }
    shown.to_string()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[expect(clippy::disallowed_methods, reason = "reads the file that the user names")]
fn pack_driver(arguments: &Pack) -> anyhow::Result<()> {
    let spec = std::fs::read_to_string(&arguments.spec).map_err(|error| {
        Report::input(format!("cannot read spec `{}`: {error}", arguments.spec.display()))
            .hint("name the driver's spec with `--spec FILE`")
    })?;
    let engine = runtime::engine()?;
    let component = arguments.wasm.display().to_string();
    let compile = |driver: &Driver| {
        if arguments.compile {
            compiler::compiled(&engine, (&driver.path, &component), &driver.sha256, || (), &|| false)?;
        }
        Ok(())
    };
    let driver = pack(&Inspector::default(), &arguments.wasm, &spec, &arguments.spec, &arguments.output, compile)?;
    print(&format!("packed {} into {}", driver.label(), driver.path.display()));
    Ok(())
}
