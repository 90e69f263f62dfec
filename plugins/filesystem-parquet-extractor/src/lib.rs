//! `filesystem.parquet_extractor`: reads one Parquet file exactly, with DuckDB's own reader.
//!
//! If DuckDB's type for a column cannot hold everything that the file's type can, the values are examined first.

mod exact;
mod footer;
mod leaves;
mod schema;
mod thrift;
mod value;

use std::collections::BTreeMap;

use conversions::SourceType;
use osiris_sdk::sql::{quote_name, quote_text};
use osiris_sdk::{Error, Extractor, Output, Result, context, files, sql};
use parquet_types::Stored;

use exact::Decision;
use schema::{Column, Schema};

#[derive(Debug, serde::Deserialize)]
struct Config {
    path: String,
    columns: Option<Vec<String>>,
    limit: Option<u64>,
    nanoseconds: Nanoseconds,
}

/// How to handle nanoseconds that DuckDB's type for a column cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Nanoseconds {
    Refuse,
    Keep,
    Cut,
}

/// The most parentheses in the recorded name of a type, because the parser recurses into them.
const MOST_PARENTHESES: usize = 1000;

struct ParquetExtractor;

impl Extractor for ParquetExtractor {
    type Config = Config;

    fn extract(config: Config, output: Output) -> Result<()> {
        read(&config, &output).map_err(|error| error.context(format_args!("cannot read `{}`", config.path)))
    }
}

/// DuckDB's reader for a file. Folders such as `day=1` in its path never become a column or replace one.
fn reader(literal: &str) -> String {
    format!("read_parquet({literal}, hive_partitioning = false)")
}

fn read(config: &Config, output: &Output) -> Result<()> {
    let source = files::open(&config.path)?;
    let place = footer::find(&source, &config.path)?;
    let literal = source.sql_literal();
    footer::check_encryption(&source, place)?;
    let schema = Schema::read(&literal, &reader(&literal))?;
    let columns = schema.choose(config.columns.as_deref())?;
    report_renamed(&columns);
    let limit = config.limit.map_or_else(String::new, |limit| format!(" limit {limit}"));
    let decisions = decide(config, &source, place, &schema, &columns, &limit)?;
    let readings: Vec<_> = decisions.iter().map(|decision| decision.reading()).collect();
    let copy = if readings.iter().any(Option::is_some) {
        Some(footer::copy(&source, place, &config.path, &readings)?)
    } else {
        None
    };
    let from = reader(&copy.as_ref().map_or(literal.clone(), |copy| copy.sql_literal()));
    if decisions.iter().any(|decision| decision.is_made_by_the_driver()) {
        return exact::write(output, &exact::select(&columns, &from, &limit), &columns, &decisions);
    }
    let recorded = recorded_types(&literal)?;
    let chosen: Vec<String> = columns.iter().map(|column| expression(column, recorded.get(&column.own_name))).collect();
    let select = format!("select {} from {from}{limit}", chosen.join(", "));
    sql::create_table(output, "main", &select).map_err(|error| naming_column(error, &columns, &from, &limit))?;
    Ok(())
}

/// How each leaf of the schema is read, including those of columns that were not selected.
fn decide(
    config: &Config,
    source: &files::Source,
    place: footer::Place,
    schema: &Schema,
    columns: &[&Column],
    limit: &str,
) -> Result<Vec<Decision>> {
    let mut decisions = vec![Decision::AsIs; schema.leaves.len()];
    let is_risky = |column: &&&Column| schema.leaves[column.leaves.clone()].iter().any(Option::is_some);
    let risky: Vec<&Column> = columns.iter().filter(is_risky).copied().collect();
    if risky.is_empty() {
        return Ok(decisions);
    }
    let mut risks = vec![None; schema.leaves.len()];
    for column in &risky {
        risks[column.leaves.clone()].copy_from_slice(&schema.leaves[column.leaves.clone()]);
    }
    let readings: Vec<_> = risks.iter().map(|risk| risk.map(schema::Risk::looked_at)).collect();
    let copy = footer::copy(source, place, &config.path, &readings)?;
    let select = exact::select(&risky, &reader(&copy.sql_literal()), limit);
    let findings = exact::look(&select, &risky, &risks)?;
    for column in risky {
        for leaf in column.leaves.clone() {
            if let Some(risk) = risks[leaf] {
                decisions[leaf] = exact::decide(column, risk, &findings[leaf], config.nanoseconds)?;
            }
        }
    }
    Ok(decisions)
}

fn report_renamed(columns: &[&Column]) {
    for column in columns.iter().filter(|column| column.name != column.own_name) {
        let sentence = format!(
            "column `{}` is called `{}` here: another column has its name, or one that differs by case alone",
            column.own_name, column.name
        );
        context::warn(&sentence, &[("column", &column.own_name), ("name", &column.name)]);
    }
}

/// The DuckDB types that filesystem.parquet_writer recorded in the file, by column.
fn recorded_types(literal: &str) -> Result<BTreeMap<String, String>> {
    let key = quote_text(parquet_types::METADATA_KEY);
    let select = format!("select decode(value) as types from parquet_kv_metadata({literal}) where key = {key}::blob");
    for batch in sql::query(&select)? {
        if let Some(text) = batch?.column_at(0).strings()?.get(0) {
            return Ok(serde_json::from_str(text).unwrap_or_default());
        }
    }
    Ok(BTreeMap::new())
}

/// The SQL of a column in its recorded type, if the file stores that type in the expected way.
fn expression(column: &Column, recorded: Option<&String>) -> String {
    let name = quote_name(&column.name);
    if column.kind == "TIME" {
        let message =
            quote_text(&format!("column `{}` holds a time of day that is not between 00:00 and 24:00", column.name));
        return format!(
            "case when {name} < time '00:00:00' or {name} > time '24:00:00' then error({message}) else {name} end as {name}"
        );
    }
    let Some(recorded) = recorded else { return name };
    if recorded.bytes().filter(|byte| *byte == b'(').count() > MOST_PARENTHESES {
        return name;
    }
    let (original, kind) = (SourceType::parse(recorded), SourceType::parse(&column.kind));
    if is_stored_as(&original, &kind) {
        return format!("cast({name} as {original}) as {name}");
    }
    let sentence = format!(
        "column `{}` was recorded as {recorded} and is stored as {}, which do not belong together: it is read as stored",
        column.name, column.kind
    );
    context::warn(&sentence, &[("column", &column.name)]);
    name
}

fn is_stored_as(recorded: &SourceType, kind: &SourceType) -> bool {
    let usual = match parquet_types::stored(recorded) {
        Stored::Exactly(target) | Stored::Checked(target) => target == *kind,
        Stored::Same | Stored::Interval | Stored::Nowhere(_) => false,
    };
    usual || parquet_types::stored_as_text(recorded) == *kind
}

/// The error with the name of the column that causes it, found by reading the columns one after another.
fn naming_column(error: Error, columns: &[&Column], from: &str, limit: &str) -> Error {
    let fails = |column: &&&Column| {
        let reader = sql::query(&exact::select(&[**column], from, limit));
        reader.map_or(true, |mut reader| reader.any(|batch| batch.is_err()))
    };
    match columns.iter().find(fails) {
        // Whatever type DuckDB gives the error, a column that cannot be read by itself is the file's fault.
        Some(column) => Error::data(format!("column `{}` ({}): {}", column.name, column.kind, error.message)),
        None => error,
    }
}

osiris_sdk::export!(ParquetExtractor: extractor);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_types_are_restored_only_in_matching_columns() {
        let column = |kind: &str| Column { own_name: "a".into(), name: "a".into(), kind: kind.into(), leaves: 0..1 };
        let sql = |kind: &str, recorded: Option<&str>| expression(&column(kind), recorded.map(str::to_owned).as_ref());
        assert_eq!(sql("INTEGER", None), "\"a\"");
        assert_eq!(sql("DECIMAL(38,0)", Some("HUGEINT")), "cast(\"a\" as HUGEINT) as \"a\"");
        assert_eq!(sql("VARCHAR[]", Some("INTERVAL[2]")), "cast(\"a\" as INTERVAL[2]) as \"a\"");
        assert!(sql("TIME", None).contains("error("));
    }
}
