//! `filesystem.parquet_extractor`: reads Parquet files exactly, with DuckDB's own reader.
//!
//! If DuckDB's type for a column cannot hold everything that the file's type can, the values are examined first.

mod exact;
mod footer;
mod leaves;
mod part;
mod schema;
mod table;
mod thrift;
mod unify;
mod value;

use conversions::SourceType;
use input_files::{FileOptions, PathColumns, Selection};
use osiris_sdk::sql::{quote_name, quote_text};
use osiris_sdk::{Extractor, Output, Result, context};
use parquet_types::Stored;

use part::Part;
use schema::Column;

#[derive(Debug, serde::Deserialize)]
struct Config {
    #[serde(flatten)]
    files: FileOptions,
    columns: Option<Vec<String>>,
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
        let selection = Selection::new(&config.files.selection())?;
        if selection.is_empty() {
            return selection.write_nothing(&output);
        }
        let paths = PathColumns::new(&selection.names, &config.files.path_columns())?;
        let (mut parts, columns) = Part::open_all(&config, &selection.names)?;
        paths.check_free(columns.iter().map(String::as_str))?;
        for part in &parts {
            part.report_renamed();
        }
        table::decide(&config, &mut parts, columns.len())?;
        for part in &mut parts {
            part::named(&part.name.clone(), part.prepare())?;
        }
        let columns =
            table::Table { config: &config, parts: &parts, columns: &columns, paths: &paths }.write(&output)?;
        selection.remember(|| Ok(columns))
    }
}

/// The SQL of a column in its recorded type, without an alias, if the file stores that type in the expected way.
fn expression(column: &Column, recorded: Option<&String>) -> String {
    let name = quote_name(&column.name);
    if column.kind == "TIME" {
        let message =
            quote_text(&format!("column `{}` holds a time of day that is not between 00:00 and 24:00", column.name));
        return format!(
            "case when {name} < time '00:00:00' or {name} > time '24:00:00' then error({message}) else {name} end"
        );
    }
    let Some(recorded) = recorded else { return name };
    if recorded.bytes().filter(|byte| *byte == b'(').count() > MOST_PARENTHESES {
        return name;
    }
    let (original, kind) = (SourceType::parse(recorded), SourceType::parse(&column.kind));
    if is_stored_as(&original, &kind) {
        return format!("cast({name} as {original})");
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

osiris_sdk::export!(ParquetExtractor: extractor);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_types_are_restored_only_in_matching_columns() {
        let column = |kind: &str| Column {
            own_name: "a".into(),
            name: "a".into(),
            kind: kind.into(),
            leaves: 0..1,
            only_nulls: false,
        };
        let sql = |kind: &str, recorded: Option<&str>| expression(&column(kind), recorded.map(str::to_owned).as_ref());
        assert_eq!(sql("INTEGER", None), "\"a\"");
        assert_eq!(sql("DECIMAL(38,0)", Some("HUGEINT")), "cast(\"a\" as HUGEINT)");
        assert_eq!(sql("VARCHAR[]", Some("INTERVAL[2]")), "cast(\"a\" as INTERVAL[2])");
        assert!(sql("TIME", None).contains("error("));
    }
}
