//! `osiris drivers inspect`: what one driver declares.

use std::fmt::Write;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::catalog;
use crate::cli::prepare::PlaceArguments;
use crate::cli::{print, print_json, table};
use crate::driver::catalog::Driver;
use crate::driver::lock::Pin;
use crate::untrusted::line;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A component name such as `filesystem.csv_extractor`, or a path to a .wasm file
    driver: String,
    #[command(flatten)]
    place: PlaceArguments,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn inspect(arguments: &Arguments) -> anyhow::Result<()> {
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
