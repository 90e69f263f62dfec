//! Keys: whole, and unique as the table's types compare them.

use conversions::{first_null, key_of_rows};
use database_client::DuplicateKey;
use osiris_sdk::sql::query;
use osiris_sdk::{Error, Input, Result, context};

use crate::column::Chosen;
use crate::config::same_name;
use crate::select;

/// The SELECT of the rows that are written, after checking their keys.
///
/// # Errors
/// `data`, naming the rows, for a key that is null or that two rows have.
pub fn checked(input: &Input, columns: &[Chosen], key: &[String], duplicates: DuplicateKey) -> Result<String> {
    let table = input.sql_name();
    if key.is_empty() {
        return Ok(select(columns, &table));
    }
    let expressions = refuse_nulls(input, columns, key, "primary_key")?;
    let number = number(columns);
    let named: Vec<String> =
        expressions.iter().enumerate().map(|(place, expression)| format!("{expression} as k{place}")).collect();
    let names: Vec<String> = (0..key.len()).map(|place| format!("k{place}")).collect();
    let keys = format!("(select {}, row_number() over () as {number} from {table})", named.join(", "));
    let twice = format!(
        "select (count(*) - 1)::varchar as others, min({number})::ubigint as one, (list_sort(list({number})))[2]::ubigint as \
         other from {keys} group by {} having count(*) > 1",
        names.join(", ")
    );
    let found =
        query(&format!("select sum(others::hugeint)::varchar, arg_min(one, one), arg_min(other, one) from ({twice})"))?
            .next_batch()?;
    let Some(batch) = found.filter(|batch| !batch.column_at(0).is_null(0)) else { return Ok(select(columns, &table)) };
    if duplicates == DuplicateKey::Last {
        let count = batch.column_at(0).strings()?.get(0).unwrap_or_default().to_owned();
        context::warn(
            "rows were left out, since a later row of the input has their key",
            &[("key", &key.join(", ")), ("count", &count)],
        );
        let numbered = format!("(select *, row_number() over () as {number} from {table})");
        return Ok(format!(
            "{} qualify row_number() over (partition by {} order by {number} desc) = 1 order by {number}",
            select(columns, &numbered),
            expressions.join(", ")
        ));
    }
    let row =
        |place: usize| -> Result<u64> { Ok(batch.column_at(place).values::<u64>()?.first().copied().unwrap_or(0)) };
    let rows = [row(1)?, row(2)?];
    let texts = key_of_rows(input, key, &rows)?;
    Err(Error::data(format!(
        "rows {} and {} of the input have one key: {}; keep one of them in SQL, or set `on_duplicate_key: last`",
        rows[0],
        rows[1],
        texts.join(" and ")
    )))
}

/// The expressions of the columns that `option` names, after making sure that none is null in any row.
///
/// # Errors
/// `data`, naming the first row with a null, or a column that is not written.
pub fn refuse_nulls<'a>(input: &Input, columns: &'a [Chosen], names: &[String], option: &str) -> Result<Vec<&'a str>> {
    let expression = |name: &String| {
        let found = columns.iter().find(|column| same_name(&column.name, name));
        found.map(|column| column.expression.as_str()).ok_or_else(|| {
            Error::data(format!("the table has no column `{name}`, which `{option}` names and the contract leaves out"))
        })
    };
    let expressions = names.iter().map(expression).collect::<Result<Vec<&str>>>()?;
    if let Some((row, _)) = first_null(input, &expressions)? {
        let texts = key_of_rows(input, names, &[row])?.concat();
        return Err(Error::data(format!("the key is null in row {row}: {texts}; every row needs a whole key")));
    }
    Ok(expressions)
}

/// A name for the rows' numbers that no column has.
fn number(columns: &[Chosen]) -> String {
    let mut number = "_osiris_number".to_owned();
    while columns.iter().any(|column| same_name(&column.name, &number)) {
        number.push('_');
    }
    number
}
