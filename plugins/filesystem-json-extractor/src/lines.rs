//! `on_bad_lines: skip`: keeps the lines that hold an object, whatever stands between them.
//!
//! DuckDB's JSON reader can overlook errors, but then gives a null for a line it cannot read and for the one
//! after it. So lines are read as text here, and those that hold an object are taken apart by SQL.

use osiris_sdk::sql::{create_table, query, quote_name, quote_text};
use osiris_sdk::{Error, Output, Result, context};

use crate::options::{Config, pointer};
use crate::wanted;

/// Reads the good lines of the file into the table `main`.
///
/// # Errors
/// When the file cannot be read, or a wanted column does not exist.
pub fn read(config: &Config, file: &str, output: &Output) -> Result<()> {
    let lines = text_lines(config, file);
    let good =
        format!("(select line::json as line from {lines} where json_valid(line) and json_type(line) = 'OBJECT')");
    let columns = columns(config, &good)?;
    let rows = create_table(output, "main", &select(config, &good, &columns)?)?;
    if config.limit.is_none() {
        tell_skipped(&lines, rows)?;
    }
    Ok(())
}

/// One column: its name in the table, its key in the records, its type as `json_transform` takes it.
struct LineColumn {
    name: String,
    key: String,
    kind: String,
    given: bool,
}

impl LineColumn {
    fn value(&self) -> String {
        format!("json_transform(line -> {}, {})", pointer(&self.key), quote_text(&self.kind))
    }

    /// Whether a line's value fits a type that the config gave.
    fn fits(&self) -> String {
        let place = pointer(&self.key);
        format!("(coalesce(json_type(line, {place}), 'NULL') = 'NULL' or {} is not null)", self.value())
    }
}

/// The file's lines as text. The delimiter is made of control characters, which no JSON may hold bare.
fn text_lines(config: &Config, file: &str) -> String {
    let (bytes, compression) = (config.record_bytes(), config.compression());
    let buffer = bytes.saturating_mul(2);
    let read = format!(
        "read_csv({file}, auto_detect = false, header = false, columns = {{'line': 'VARCHAR'}}, \
         delim = chr(31) || chr(30) || chr(29) || chr(28), quote = '', escape = '', comment = '', strict_mode = false, \
         ignore_errors = true, max_line_size = {bytes}, buffer_size = {buffer}, compression = '{compression}')"
    );
    format!("(select line from {read} where trim(line, chr(32) || chr(9) || chr(13)) <> '')")
}

fn columns(config: &Config, good: &str) -> Result<Vec<LineColumn>> {
    let structure = text(&format!("select json_group_structure(line)::varchar from {good}"))?;
    let structure = quote_text(structure.as_deref().filter(|told| told.starts_with('{')).unwrap_or("{}"));
    let keys = format!("select key, value::varchar as kind from json_each({structure}::json)");
    let mut columns: Vec<LineColumn> = Vec::new();
    for batch in query(&keys)? {
        let batch = batch?;
        let (keys, kinds) = (batch.column("key")?.strings()?, batch.column("kind")?.strings()?);
        for (key, kind) in keys.iter().zip(kinds.iter()) {
            let (key, kind) = (key.unwrap_or_default().to_owned(), kind.unwrap_or_default());
            let name = free_name(&key, &columns);
            let given = config.dtype.get(&name).map(|kind| json_text(kind));
            columns.push(LineColumn { name, key, given: given.is_some(), kind: given.unwrap_or_else(|| typed(kind)) });
        }
    }
    let named = if columns.is_empty() { config.named_columns() } else { config.dtype.clone().into_iter().collect() };
    for (name, kind) in named {
        if !columns.iter().any(|column| column.name == name) {
            columns.push(LineColumn { key: name.clone(), name, kind: json_text(&kind), given: true });
        }
    }
    narrow(good, &mut columns)?;
    Ok(columns)
}

fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A column's name as DuckDB's reader gives it: keys that are empty or differ in case only are renamed.
fn free_name(key: &str, taken: &[LineColumn]) -> String {
    let key = if key.is_empty() { format!("C{}", taken.len()) } else { key.to_owned() };
    let is_free = |name: &String| !taken.iter().any(|column| column.name.eq_ignore_ascii_case(name));
    let numbered = (1..).map(|number| format!("{key}_{number}"));
    std::iter::once(key.clone()).chain(numbered).find(is_free).unwrap_or(key)
}

/// What is only ever null has no type; it stays JSON. Inside a key's text these signs would be escaped.
fn typed(kind: &str) -> String {
    if kind == "\"NULL\"" {
        return "\"JSON\"".to_owned();
    }
    kind.replace(":\"NULL\"", ":\"JSON\"").replace("[\"NULL\"]", "[\"JSON\"]")
}

/// Whole numbers without a sign are told as UBIGINT; where each fits, they are BIGINT as everywhere else.
fn narrow(good: &str, columns: &mut [LineColumn]) -> Result<()> {
    let unsigned = |column: &LineColumn| !column.given && column.kind == "\"UBIGINT\"";
    let places: Vec<usize> = (0..columns.len()).filter(|&place| unsigned(&columns[place])).collect();
    if places.is_empty() {
        return Ok(());
    }
    let fits = places.iter().map(|&place| {
        let value = format!("line ->> {}", pointer(&columns[place].key));
        format!("coalesce(bool_and(({value}) is null or try_cast({value} as bigint) is not null), true)::varchar")
    });
    let asked = format!("select {} from {good}", fits.collect::<Vec<_>>().join(", "));
    let Some(batch) = query(&asked)?.next_batch()? else { return Ok(()) };
    for (answer, &place) in places.iter().enumerate() {
        if batch.column_at(answer).strings()?.get(0) == Some("true") {
            columns[place].kind = "\"BIGINT\"".to_owned();
        }
    }
    Ok(())
}

fn select(config: &Config, good: &str, columns: &[LineColumn]) -> Result<String> {
    let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
    let wanted = wanted(config.columns.as_deref(), &names)?;
    let find = |name: &String| columns.iter().find(|column| column.name == *name);
    let values: Vec<String> = wanted
        .iter()
        .filter_map(find)
        .map(|column| format!("{} as {}", column.value(), quote_name(&column.name)))
        .collect();
    let fits: Vec<String> = columns.iter().filter(|column| column.given).map(LineColumn::fits).collect();
    let condition = if fits.is_empty() { String::new() } else { format!(" where {}", fits.join(" and ")) };
    Ok(format!("select {} from {good}{condition}{}", values.join(", "), config.limit_clause()))
}

/// Says how many lines were left out, blank ones not counted.
fn tell_skipped(lines: &str, rows: u64) -> Result<()> {
    let all = text(&format!("select count(*)::varchar from {lines}"))?.unwrap_or_default();
    let all: u64 = all.parse().map_err(|_| Error::internal(format!("DuckDB counts `{all}` lines")))?;
    let skipped = all.saturating_sub(rows);
    context::metric("lines_skipped", skipped as f64);
    if skipped > 0 {
        context::warn("lines were left out that are no JSON object or do not fit their types", &[("lines", &skipped)]);
    }
    Ok(())
}

/// The one text that a SELECT gives.
fn text(select: &str) -> Result<Option<String>> {
    let Some(batch) = query(select)?.next_batch()? else { return Ok(None) };
    Ok(batch.column_at(0).strings()?.get(0).map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_only_null_stays_json() {
        assert_eq!(typed("\"NULL\""), "\"JSON\"");
        assert_eq!(typed(r#"{"NULL":["NULL"],"a":{"b":"NULL"}}"#), r#"{"NULL":["JSON"],"a":{"b":"JSON"}}"#);
    }

    #[test]
    fn keys_that_differ_in_case_get_names_of_their_own() {
        let mut columns = Vec::new();
        for key in ["a", "A", "a_1", "", "C3"] {
            let name = free_name(key, &columns);
            columns.push(LineColumn { name, key: key.to_owned(), kind: String::new(), given: false });
        }
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["a", "A_1", "a_1_1", "C3", "C3_1"]);
    }
}
