//! The input's keys: present, not null, each once, of a type that compares exactly.

use osiris_sdk::sql::{query, quote_name};
use osiris_sdk::{Error, Input, Result};

use crate::rows;

/// Makes sure that the columns `key` tell the input's rows apart.
///
/// # Errors
/// `not-found` for a column that does not exist, `data` for nulls and for keys that occur twice.
pub fn check(input: &Input, key: &[String]) -> Result<()> {
    let columns = rows::columns(input)?;
    for name in key {
        let Some(column) = columns.iter().find(|column| column.name == *name) else {
            let known: Vec<String> = columns.iter().map(|column| format!("`{}`", column.name)).collect();
            return Err(Error::not_found(format!("`primary_key` names `{name}`; the input has: {}", known.join(", "))));
        };
        if matches!(column.kind.as_str(), "DOUBLE" | "FLOAT") {
            return Err(Error::config(format!(
                "`primary_key` names `{name}`, a {}, which does not compare exactly",
                column.kind
            )));
        }
    }
    let names: Vec<String> = key.iter().map(|name| quote_name(name)).collect();
    let (list, table) = (names.join(", "), input.sql_name());
    let is_null: Vec<String> = names.iter().map(|name| format!("{name} is null")).collect();
    if let Some(found) = text(&format!("select count(*)::varchar from {table} where {}", is_null.join(" or ")))?
        && found != "0"
    {
        return Err(Error::data(format!("`primary_key` is null in {found} rows of `{}`", input.alias())));
    }
    let twice = format!(
        "select to_json(struct_pack({list}))::varchar from {table} group by {list} having count(*) > 1 order by all limit 1"
    );
    if let Some(found) = text(&twice)? {
        return Err(Error::data(format!(
            "`primary_key` does not tell rows of `{}` apart: {found} occurs more than once",
            input.alias()
        )));
    }
    Ok(())
}

fn text(select: &str) -> Result<Option<String>> {
    let Some(batch) = query(select)?.next_batch()? else { return Ok(None) };
    Ok(batch.column_at(0).strings()?.get(0).map(str::to_owned))
}
