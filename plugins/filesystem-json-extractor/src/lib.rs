//! `filesystem.json_extractor`: reads one JSON file through DuckDB's own reader.

mod lines;
mod options;
mod whole;

use osiris_sdk::sql::{create_table, query, quote_name};
use osiris_sdk::{Error, ErrorKind, Extractor, Output, Result, context, files};

use options::{Config, OnBadLines};

/// The one column of a file whose values are not objects; DuckDB's reader calls it so.
const WHOLE: &str = "json";

struct JsonExtractor;

impl Extractor for JsonExtractor {
    type Config = Config;

    fn extract(mut config: Config, output: Output) -> Result<()> {
        let source = files::open(&config.path)?;
        config.settle(source.size())?;
        whole::check(&source)?;
        let file = source.sql_literal();
        let done = match config.on_bad_lines {
            OnBadLines::Skip => lines::read(&config, &file, &output),
            OnBadLines::Error => match read(&config, &file, &output) {
                // A later value does not fit the type that the first records suggest: look at all of them.
                Err(error) if matches!(error.kind, ErrorKind::Data) && config.sample_size >= 0 => {
                    context::info("reading again, with types inferred from every record", &[]);
                    read(&config.of_every_record(), &file, &output)
                }
                done => done,
            },
        };
        done.map_err(|error| explain(&config, &file, error))
    }
}

/// A column as it was inferred, with its DuckDB type.
struct Inferred {
    name: String,
    kind: String,
}

fn read(config: &Config, file: &str, output: &Output) -> Result<()> {
    let mut shape = config.clone();
    let (mut from, mut inferred) = untyped(&mut shape, file)?;
    let only_whole = matches!(inferred.as_slice(), [only] if only.name == WHOLE);
    if only_whole && is_empty(&from)? {
        from = config.empty_reader(file);
        inferred = infer(&from)?;
    } else if !config.dtype.is_empty() {
        check_names(config, file, &inferred)?;
        let columns: Vec<(&str, &str)> = inferred.iter().map(|one| (one.name.as_str(), one.kind.as_str())).collect();
        let typed = config.typed_columns(&columns);
        from = shape.records_from(&config.typed_reader(file, &typed));
        inferred = typed.into_iter().map(|(name, kind)| Inferred { name, kind }).collect();
    }
    let names: Vec<String> = inferred.into_iter().map(|one| one.name).collect();
    create_table(output, "main", &config.select(&from, &names)?)?;
    Ok(())
}

/// The file with types inferred: what stands after FROM, and its columns. What is found out about the file's
/// shape goes into `shape`.
fn untyped(shape: &mut Config, file: &str) -> Result<(String, Vec<Inferred>)> {
    let mut reader = shape.reader(file);
    if !shape.records.is_empty() {
        shape.are_objects = check_records(shape, &reader)?;
    }
    let mut inferred = infer(&shape.records_from(&reader))?;
    // DuckDB makes one MAP of records with many keys that few of them share; here keys are columns.
    if matches!(inferred.as_slice(), [only] if only.name == WHOLE && only.kind.starts_with("MAP(")) {
        shape.maps = false;
        reader = shape.reader(file);
        inferred = infer(&shape.records_from(&reader))?;
    }
    Ok((shape.records_from(&reader), inferred))
}

/// Columns and types of `from`, which reads no record for it beyond what its reader looks at itself.
fn infer(from: &str) -> Result<Vec<Inferred>> {
    let names = query(&format!("select columns(*)::varchar from {from} limit 0"))?;
    let names: Vec<String> = names.schema().columns().map(|field| field.name.clone()).collect();
    let types =
        format!("select typeof(columns(t.*)) from (values (1)) one left join (select * from {from} limit 0) t on true");
    let batch = query(&types)?.next_batch()?.ok_or_else(|| Error::internal("DuckDB tells no types"))?;
    let kind = |place: usize| -> Result<String> {
        Ok(batch.column_at(place).strings()?.get(0).unwrap_or_default().to_owned())
    };
    names.into_iter().enumerate().map(|(place, name)| Ok(Inferred { name, kind: kind(place)? })).collect()
}

fn is_empty(from: &str) -> Result<bool> {
    Ok(query(&format!("select 1 from {from} limit 1"))?.next_batch()?.is_none())
}

/// Whether the list that `records` leads to is one of objects.
///
/// # Errors
/// When it leads to no list.
fn check_records(config: &Config, reader: &str) -> Result<bool> {
    let path = config.records.join(".");
    let told = format!("(select {} as item from {reader} as doc)", config.records_path());
    let kind = infer(&told)
        .map_err(|error| match error.kind {
            ErrorKind::Config => Error::not_found(format!("`records: {path}` leads nowhere: {}", error.message)),
            _ => error,
        })?
        .pop()
        .map(|one| one.kind)
        .unwrap_or_default();
    if kind.ends_with("[]") {
        return Ok(kind.starts_with("STRUCT(") && !kind.ends_with("[][]"));
    }
    Err(Error::data(format!("`records: {path}` leads to a {kind}, where a list was expected")))
}

/// DuckDB renames keys that are empty or differ in case only; such a column cannot be given a type by its key.
fn check_names(config: &Config, file: &str, inferred: &[Inferred]) -> Result<()> {
    if !config.records.is_empty() {
        return Ok(());
    }
    let suspects = inferred
        .iter()
        .map(|one| one.name.as_str())
        .filter(|name| options::looks_renamed(name, inferred.iter().map(|one| one.name.as_str())));
    for name in suspects {
        if is_empty(&config.records_with_key(file, name))? {
            return Err(Error::config(format!(
                "`dtype` cannot be given for a file in which keys are empty or differ in case only: the column `{name}` is not called so there; cast columns in the next step"
            )));
        }
    }
    Ok(())
}

/// DuckDB's message names the file it was given and how to call its reader; the first lines say what is wrong.
fn explain(config: &Config, file: &str, error: Error) -> Error {
    let told = error
        .message
        .lines()
        .take_while(|line| !line.trim().is_empty() && !line.starts_with("Try ") && !line.starts_with("LINE "));
    let place = format!(" in file \"{}\",", file.trim_matches('\'').replace("''", "'"));
    let mut told = told.collect::<Vec<_>>().join("; ").replace(&place, "");
    if let Some((before, _)) = told.split_once(", try ignore_errors=true") {
        told = format!("{before}; `max_depth: 1` keeps nested values as JSON");
    }
    if let Some((before, _)) = told.split_once("Try increasing \"maximum_object_size\"") {
        told = format!("{}; `max_record_bytes` raises the bound", before.trim_end_matches([' ', '.', ';']));
    }
    if told.contains("Malformed JSON") && config.may_skip() {
        told.push_str("; `on_bad_lines: skip` leaves such lines out");
    }
    Error { message: format!("cannot read `{}`: {}", config.path, told.trim_end()), ..error }
}

/// The columns that the config wants out of those there are.
fn wanted<'a>(columns: Option<&'a [String]>, known: &'a [String]) -> Result<&'a [String]> {
    let wanted = columns.unwrap_or(known);
    match wanted.iter().find(|name| !known.contains(name)) {
        None => Ok(wanted),
        Some(unknown) => {
            let known: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
            Err(Error::not_found(format!("there is no column `{unknown}`; the file has: {}", known.join(", "))))
        }
    }
}

fn select_list(names: &[String]) -> String {
    names.iter().map(|name| quote_name(name)).collect::<Vec<_>>().join(", ")
}

osiris_sdk::export!(JsonExtractor: extractor);
