//! Decides whether a driver's SELECT may run, by what DuckDB's own parser says it calls.
//!
//! DuckDB is locked besides; this closes what a lock leaves open: functions that show paths and
//! settings, take pointers, or run text as SQL. No I/O.

use serde::Deserialize;
use serde_json::Value;

/// Levels that the tree of a statement may have. An operator takes two of them, and DuckDB itself stops at a thousand
/// operators within one another.
const MOST_LEVELS: usize = 3000;

/// Levels that any thread's stack has room for.
const SHALLOW: usize = 100;

/// The stack, in bytes, for a tree of [`MOST_LEVELS`].
const DEEP_STACK: usize = 64 << 20;

/// Table functions that a step may call. The files they read are checked by DuckDB against its grants.
const TABLE_FUNCTIONS: &[&str] = &[
    "duckdb_columns",
    "duckdb_constraints",
    "duckdb_functions",
    "duckdb_keywords",
    "duckdb_schemas",
    "duckdb_tables",
    "duckdb_types",
    "duckdb_views",
    "generate_series",
    "histogram",
    "histogram_values",
    "icu_calendar_names",
    "json_each",
    "json_tree",
    "parquet_bloom_probe",
    "parquet_file_metadata",
    "parquet_full_metadata",
    "parquet_kv_metadata",
    "parquet_metadata",
    "parquet_scan",
    "parquet_schema",
    "pg_timezone_names",
    "pragma_collations",
    "pragma_show",
    "pragma_table_info",
    "pragma_version",
    "range",
    "read_blob",
    "read_csv",
    "read_csv_auto",
    "read_json",
    "read_json_auto",
    "read_json_objects",
    "read_json_objects_auto",
    "read_ndjson",
    "read_ndjson_auto",
    "read_ndjson_objects",
    "read_parquet",
    "read_text",
    "repeat",
    "repeat_row",
    "sniff_csv",
    "summary",
    "test_all_types",
    "test_vector_types",
    "unnest",
];

/// Functions in expressions that show the machine, or write where nobody looks.
const REFUSED_FUNCTIONS: &[&str] =
    &["current_query", "current_setting", "getenv", "json_execute_serialized_sql", "write_log"];

/// DuckDB's own views over functions that are refused.
const REFUSED_VIEWS: &[&str] = &[
    "duckdb_databases",
    "duckdb_extensions",
    "duckdb_logs",
    "duckdb_secrets",
    "duckdb_settings",
    "pg_prepared_statements",
    "pg_settings",
    "pragma_database_list",
];

/// Names that begin so are the host's own catalogs.
pub const OWN: &str = "osiris_";

/// Checks the tree that `json_serialize_sql` made of a driver's text.
///
/// # Errors
/// Says what is refused.
pub fn check(serialized: &str) -> Result<(), String> {
    match levels(serialized) {
        0..=SHALLOW => check_tree(serialized),
        levels @ ..=MOST_LEVELS => std::thread::scope(|scope| {
            let deep = std::thread::Builder::new().stack_size(DEEP_STACK);
            let walking = deep.spawn_scoped(scope, || check_tree(serialized));
            let failed = || format!("a statement nested {levels} levels deep, for which this machine has no room");
            walking.map_err(|_| failed())?.join().map_err(|_| failed())?
        }),
        levels => Err(format!(
            "a statement nested {levels} levels deep, where {MOST_LEVELS} are allowed; make a step of its own of a part"
        )),
    }
}

/// How deep arrays and objects lie within one another in a JSON text.
fn levels(json: &str) -> usize {
    let (mut level, mut deepest, mut in_text, mut escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_text,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => {
                level += 1;
                deepest = deepest.max(level);
            }
            b']' | b'}' if !in_text => level = level.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

fn check_tree(serialized: &str) -> Result<(), String> {
    let mut read = serde_json::Deserializer::from_str(serialized);
    // `levels` was bounded.
    read.disable_recursion_limit();
    let tree = Value::deserialize(&mut read).map_err(|_| "a statement that cannot be read".to_owned())?;
    if tree["error"] != Value::Bool(false) {
        return Err("a statement that is not a SELECT".to_owned());
    }
    match tree["statements"].as_array().map(Vec::as_slice) {
        Some([statement]) => walk(statement),
        Some(several) => Err(format!("{} statements where one SELECT is allowed", several.len())),
        None => Err("a statement that cannot be read".to_owned()),
    }
}

fn walk(node: &Value) -> Result<(), String> {
    match node {
        Value::Array(items) => items.iter().try_for_each(walk),
        Value::Object(fields) => {
            let word = |key: &str| fields.get(key).and_then(Value::as_str).unwrap_or_default().to_lowercase();
            for key in ["catalog_name", "schema_name", "catalog", "schema"] {
                if word(key).starts_with(OWN) {
                    return Err(format!("the catalog `{}`, which is the host's own", word(key)));
                }
            }
            match word("type").as_str() {
                "table_function" => {
                    let name = node["function"]["function_name"].as_str().unwrap_or_default().to_lowercase();
                    if !TABLE_FUNCTIONS.contains(&name.as_str()) {
                        return Err(format!("the table function `{name}`, which a step may not call"));
                    }
                }
                "function" | "window_aggregate" if REFUSED_FUNCTIONS.contains(&word("function_name").as_str()) => {
                    return Err(format!("the function `{}`, which a step may not call", word("function_name")));
                }
                "base_table" | "show_ref" if REFUSED_VIEWS.contains(&word("table_name").trim_matches('"')) => {
                    return Err(format!("the view `{}`, which shows the machine", word("table_name")));
                }
                _ => {}
            }
            fields.values().try_for_each(walk)
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A statement's tree with a function so many levels down.
    fn nested(levels: usize, function: &str) -> String {
        let (open, close) = (r#"{"children":["#.repeat(levels / 2), "]}".repeat(levels / 2));
        let call = format!(r#"{{"type":"FUNCTION","function_name":"{function}","text":"[{{\"["}}"#);
        format!(r#"{{"error":false,"statements":[{open}{call}{close}]}}"#)
    }

    #[test]
    fn a_deep_statement_is_walked_to_its_end() {
        for levels in [10, 200, 2900] {
            assert_eq!(check(&nested(levels, "abs")), Ok(()));
            assert!(check(&nested(levels, "getenv")).unwrap_err().contains("`getenv`"), "{levels} levels");
        }
        for levels in [3100, 1_000_000] {
            assert!(check(&nested(levels, "abs")).unwrap_err().contains("levels deep"));
        }
    }
}
